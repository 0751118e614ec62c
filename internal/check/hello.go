package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/internal/services"
)

// tlsError is why a connection could not be secured; by is the setting that asks for it.
type tlsError struct {
	by  string
	err error
}

func (e *tlsError) Error() string { return fmt.Sprintf("TLS, as %s asks: %s", e.by, words(e.err)) }
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
	s := Step{Name: Hello, Target: g.target, fault: faultOf(err), cause: err}
	by := c.securedBy(g)
	if advice, ok := certificateAdvice(err, by); ok || g.uri.err != nil {
		if _, told := errors.AsType[*tlsError](err); !told && by != "" {
			err = &tlsError{by, err}
		}
		s.Text = words(err) + advice
		return s
	}
	if understood(err) {
		s.Text = words(err)
		return s
	}
	f := look(ctx, c.cfg.HelloTimeout, g.line.again)
	is := name(g.service.Kind)
	broken := g.line.closedAtOnce() || s.fault == silent || isTLS(err)
	switch {
	case f.kind == "" && f.closes:
		s.fault = closed
		s.Text = forwarder
	case g.service.Kind == services.TCP:
		s.Text = words(err)
	case f.kind == secured && by == "" && g.service.Kind != services.HTTPS:
		s.Text = "what answers there speaks TLS: " + map[services.Kind]string{
			services.MongoDB: "set tls=true in MONGO_URI, and tlsCAFile where its authority is your own",
			services.NSQD:    "an nsqd does so only when it is asked to; is the port right?",
		}[g.service.Kind]
		if g.service.Kind != services.MongoDB && g.service.Kind != services.NSQD {
			s.Text += "name it in DIALER_TLS, if the port is right"
		}
	case f.kind == g.service.Kind && by != "" && broken:
		s.Text = fmt.Sprintf("it speaks %s without TLS, and %s asks for TLS: take that out, or turn TLS on in the server", is, by)
	case f.kind != "" && !fits(g.service.Kind, f.kind, by):
		s.Text = fmt.Sprintf("what answers there is not %s but %s: is the port right?", is, f.what)
	case f.banner != "":
		s.Text = fmt.Sprintf("what answers there is not %s: it says %q", is, f.banner)
	case s.fault == silent:
		s.Text = "accepts the connection and does not answer: it is frozen, or a forwarder's target is silent"
	case g.line.closedAtOnce() && f.kind == "":
		s.Text = fmt.Sprintf("closes the connection when it is spoken to: what answers there is not %s, or takes no connections from here", is)
	case isTLS(err) && by != "":
		if _, told := errors.AsType[*tlsError](err); !told {
			err = &tlsError{by, err}
		}
		s.Text = words(err)
	case f.kind == "" && isAnother(err):
		s.Text = fmt.Sprintf("what answers there is not %s: %s", is, words(err))
	default:
		s.Text = words(err)
	}
	return s
}

const forwarder = "accepts the connection and closes it at once: a forwarder (such as socat) stands in front of a dead service"

// failedLookup is a step of a server that has greeted, and then did not say what it was asked for.
func failedLookup(target string, err error) Step {
	s := Step{Name: Lookup, Target: target, fault: faultOf(err), cause: err, Text: words(err)}
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

// isAnother reports whether an answer came that was not in the service's protocol.
func isAnother(err error) bool {
	return errors.Is(err, errNotMongoDB) || errors.Is(err, errNotSMB)
}

// understood reports whether the service has said in its own words what is wrong.
func understood(err error) bool {
	_, nsqd := errors.AsType[*nsqdial.ServerError](err)
	return nsqd || errors.Is(err, errHelloRefused) || errors.Is(err, errSMBRefused) || errors.Is(err, errUnwell)
}

func isTLS(err error) bool {
	_, ours := errors.AsType[*tlsError](err)
	_, plaintext := errors.AsType[tls.RecordHeaderError](err)
	return ours || plaintext
}

// certificateAdvice says what to do about a certificate that is refused, and whether it is one that was.
func certificateAdvice(err error, by string) (string, bool) {
	refused, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || by != "MONGO_URI" {
		return "", ok // the dialer gives its own
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](refused); unknown {
		return "; set tlsCAFile in MONGO_URI to the certificate of the authority that signed the server's", true
	}
	if _, other := errors.AsType[x509.HostnameError](refused); other {
		return "; name the server in MONGO_URI as its certificate does, and say where that name leads (DIAL_…)", true
	}
	return "", true
}
