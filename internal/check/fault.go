package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/gvpocr/worker/resolve"
)

// fault is how a step failed, as far as an operator has to know it.
type fault int

const (
	none        fault = iota
	refused           // nothing listens
	silent            // no answer
	unreachable       // no way there
	closed            // accepted, and closed at once
	unresolved        // a name server does not answer
	unknown           // nobody knows the name
	other
)

func faultOf(err error) fault {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return unreachable
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return silent
	}
	return other
}

// failedStep is a step before anything was said.
func failedStep(name, target string, err error) Step {
	s := Step{Name: name, Target: target, fault: faultOf(err), cause: err}
	switch {
	case name == Resolve && (errors.Is(err, resolve.ErrNotFound) || errors.Is(err, resolve.ErrAbsent) || isNotFound(err)):
		s.fault, s.Text = unknown, err.Error()
	case name == Resolve:
		s.fault, s.Text = unresolved, "a name server does not answer: "+err.Error()
	case s.fault == refused:
		s.Text = "refused: nothing listens there"
	case s.fault == silent:
		s.Text = "no answer: the machine is off, the address is wrong, or a firewall drops packets"
	case s.fault == unreachable:
		s.Text = "there is no way to that address"
	default:
		s.Text = err.Error()
	}
	return s
}

// isNotFound reports whether DNS says that a host does not exist.
func isNotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// failedHello is a step after TCP had connected.
func (l *line) failedHello(name, target string, err error) Step {
	s := Step{Name: name, Target: target, fault: faultOf(err), cause: err}
	var certificate *tls.CertificateVerificationError
	var plaintext tls.RecordHeaderError
	switch {
	case l.closedAtOnce():
		s.fault = closed
		s.Text = "accepts the connection and closes it at once: a forwarder (such as socat) stands in front of a dead service"
	case errors.As(err, &certificate), errors.As(err, &plaintext):
		s.Text = fmt.Sprintf("TLS, as DIALER_TLS asks: %v", err)
	case s.fault == silent:
		s.Text = "accepts the connection and does not answer: it is frozen, or a forwarder's target is silent"
	default:
		s.Text = err.Error()
	}
	return s
}

// withoutOperation drops "explain NAME:", which Explain says and nobody asked for.
func withoutOperation(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
