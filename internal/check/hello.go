package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/internal/printable"
	"github.com/gvpocr/worker/internal/services"
)

// tlsError is why a connection could not be secured; by is the setting that asks for it.
type tlsError struct {
	by  string
	err error
}

func (e *tlsError) Error() string {
	return fmt.Sprintf("TLS, as %s asks: %s", e.by, printable.Error(e.err))
}
func (e *tlsError) Unwrap() error { return e.err }

// greeting is what was said to one endpoint of a service, and what to make of a failure.
type greeting struct {
	service services.Service
	uri     mongoURI // that the service's connections follow
	target  string   // an ip:port
	line    *line
}

// securedBy returns the setting that asks for TLS, or nothing.
func (c *checker) securedBy(g greeting) string {
	host, _, _ := net.SplitHostPort(g.service.Address)
	switch {
	case g.uri.tls != nil || g.uri.err != nil:
		return "MONGO_URI"
	case c.dialer.Secures(host):
		return "DIALER_TLS"
	}
	return ""
}

// failedHello is a step after TCP had connected. What answers in other words, or in none, is looked at.
func (c *checker) failedHello(ctx context.Context, g greeting, err error) Step {
	by := c.securedBy(g)
	if _, told := errors.AsType[*tlsError](err); !told && by != "" && isTLS(err) {
		err = &tlsError{by, err}
	}
	s := Step{Name: Hello, Target: g.target, Text: printable.Error(err), fault: faultOf(err), cause: err}
	switch {
	case refusedCertificate(err):
		s.Text += certificateAdvice(err, by)
	case g.uri.err != nil, understood(err):
	default:
		f := look(ctx, c.cfg.HelloTimeout, g.line.again)
		if f.kind == "" && f.closes {
			s.fault = closed
		}
		if text := g.unlike(f, s, by); text != "" {
			s.Text = text
		}
	}
	return s
}

// unlike says how what was found differs from what should be there; it returns nothing if it does not. by is the setting
// that asks for TLS.
func (g greeting) unlike(f found, s Step, by string) string {
	kind, is := g.service.Kind, name(g.service.Kind)
	broken := g.line.closedAtOnce() || s.fault == silent || isTLS(s.cause)
	switch {
	case s.fault == closed:
		return forwarder
	case kind == services.TCP:
		return ""
	case f.kind == secured && by == "" && kind != services.HTTPS:
		return "what answers there speaks TLS" + cmp.Or(map[services.Kind]string{
			services.MongoDB: ": set tls=true in MONGO_URI, and tlsCAFile where its authority is your own",
			services.NSQD:    " from the start, and an nsqd only when it is asked to: is the port right?",
		}[kind], ": name it in DIALER_TLS, if the port is right")
	case f.kind == kind && by != "" && broken:
		return fmt.Sprintf("it speaks %s without TLS, and %s asks for TLS: take that out, or turn TLS on in the server", is, by)
	case f.kind != "" && !fits(kind, f.kind, by):
		return fmt.Sprintf("what answers there is not %s but %s: is the port right?", is, f.what)
	case f.banner != "":
		return fmt.Sprintf("what answers there is not %s: it says %q", is, f.banner)
	case s.fault == silent:
		return "accepts the connection and does not answer: it is frozen, or a forwarder's target is silent"
	case f.kind == "" && g.line.closedAtOnce():
		return fmt.Sprintf("closes the connection when it is spoken to: what answers there is not %s, or takes no connections from here", is)
	case f.kind == "" && (errors.Is(s.cause, errNotMongoDB) || errors.Is(s.cause, errNotSMB)):
		return fmt.Sprintf("what answers there is not %s: %s", is, printable.Error(s.cause))
	}
	return ""
}

const forwarder = "accepts the connection and closes it at once: a forwarder (such as socat) stands in front of a dead service"

// failedLookup is a step of a server that has greeted, and then did not say what it was asked for.
func failedLookup(target string, err error) Step {
	s := Step{Name: Lookup, Target: target, fault: faultOf(err), cause: err, Text: printable.Error(err)}
	if s.fault == silent {
		s.Text = "it greets, and then does not answer"
	}
	return s
}

// fits reports whether what was found may be what it should be: what is inside of TLS is not seen, and every HTTP server
// may be the backend.
func fits(kind, found services.Kind, securedBy string) bool {
	switch kind {
	case services.HTTP:
		return found == services.NSQDHTTP || found == services.NSQLookupd || found == services.HTTP || found == secured && securedBy != ""
	case services.HTTPS:
		return found == secured
	}
	return found == kind || found == secured && securedBy != ""
}

// understood reports whether the service has said in its own words what is wrong.
func understood(err error) bool {
	_, nsqd := errors.AsType[*nsqdial.ServerError](err)
	return nsqd || errors.Is(err, errHelloRefused) || errors.Is(err, errSMBRefused) || errors.Is(err, errUnwell)
}

// isTLS reports whether a connection could not be secured.
func isTLS(err error) bool {
	_, ours := errors.AsType[*tlsError](err)
	_, plaintext := errors.AsType[tls.RecordHeaderError](err)
	return ours || plaintext || refusedCertificate(err)
}

func refusedCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// certificateAdvice says what to do about a certificate that is refused, where the dialer does not.
func certificateAdvice(err error, by string) string {
	if by != "MONGO_URI" {
		return ""
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "; set tlsCAFile in MONGO_URI to the certificate of the authority that signed the server's"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "; name the server in MONGO_URI as its certificate does, and say where that name leads (DIAL_…)"
	}
	return ""
}
