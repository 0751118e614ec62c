package check

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/gvpocr/worker/internal/printable"
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
	nohost            // it leads to a host that does not exist
	malformed         // it is no address, whoever resolves it
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
	case name == Resolve && (errors.Is(err, resolve.ErrNotFound) || errors.Is(err, resolve.ErrAbsent)):
		s.fault, s.Text = unknown, printable.Error(err)
	case name == Resolve && missing(err) != "":
		s.fault, s.Text = nohost, printable.Error(err)
	case errors.Is(err, errMalformed):
		s.fault, s.Text = malformed, printable.Error(errors.Unwrap(err))
	case errors.Is(err, errNoEndpoint):
		s.Text = printable.Error(err)
	case name == Resolve:
		s.fault, s.Text = unresolved, "a name server does not answer: "+printable.Error(err)
	case s.fault == refused:
		s.Text = "refused: nothing listens there"
	case s.fault == silent:
		s.Text = "no answer: the machine is off, the address is wrong, or a firewall drops packets"
	case s.fault == unreachable:
		s.Text = "there is no way to that address"
	default:
		s.Text = printable.Error(err)
	}
	return s
}

// missing returns the host of which DNS says that it does not exist, or nothing.
func missing(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return dns.Name
	}
	return ""
}

// withoutOperation drops "explain NAME:", which Explain says and nobody asked for.
func withoutOperation(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
