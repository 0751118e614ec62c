package dialer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// ErrClosed is what a dial returns, inside its DialError, after Close. It is net.ErrClosed.
var ErrClosed = net.ErrClosed

var errClosed = fmt.Errorf("the dialer is closed: %w", ErrClosed)

// noEndpoint is the error of an answer that has nothing that network can reach.
func noEndpoint(network string, a resolve.Answer) error {
	addrs := strings.Join(endpointAddrs(a), ", ")
	switch {
	case addrs == "":
		return fmt.Errorf("%s gave no endpoint", cmp.Or(a.Source, "the resolver"))
	case slices.ContainsFunc(a.Endpoints, func(e resolve.Endpoint) bool { return tcpAddr(e.Addr) == nil }):
		return outOfReachError(addrs + " can't be dialed: " + hostNames)
	}
	return outOfReachError(fmt.Sprintf("%s can't reach %s; dial with tcp, or name an address of the other kind", network, addrs))
}

const hostNames = "a Cache has to answer with addresses; make it over resolve.Addresses"

// outOfReachError says that no endpoint of an answer can be dialed, however long one waits.
type outOfReachError string

func (e outOfReachError) Error() string { return string(e) }

// DialError says why a dial failed: what was tried, and what came of it. errors.Is and errors.As reach every cause.
type DialError struct {
	Name     string    // the address that was asked for: mongodb-proxy:27017
	Attempts []Attempt // the last attempt at each endpoint, in the order of the first ones

	source     string // who said which endpoints there are
	unresolved error  // why the last pass had nothing to try
	reason     error  // what ended the dial: the caller, Close, a bad address
	final      bool   // an attempt said that trying on is of no use
}

// Attempt is one try at one endpoint.
type Attempt struct {
	Addr    string // ip:port
	Err     error  // nil if it connected
	Elapsed time.Duration
}

// because notes what ended the dial.
func (e *DialError) because(err error) *DialError {
	e.reason = err
	return e
}

// add notes a failed attempt and reports whether it was the last that makes sense.
func (e *DialError) add(a Attempt) (final bool) {
	if p, ok := errors.AsType[*permanentError](a.Err); ok {
		a.Err, e.final = p.err, true
	}
	// One entry an endpoint: a long budget tries an endpoint often, and the last time says it all.
	i := slices.IndexFunc(e.Attempts, func(b Attempt) bool { return b.Addr == a.Addr })
	if i < 0 {
		e.Attempts = append(e.Attempts, a)
	} else {
		e.Attempts[i] = a
	}
	return e.final
}

// skip notes an endpoint whose breaker opened before its turn, unless it was tried.
func (e *DialError) skip(addr string) {
	if !slices.ContainsFunc(e.Attempts, func(a Attempt) bool { return a.Addr == addr }) {
		e.Attempts = append(e.Attempts, Attempt{Addr: addr, Err: ErrBreakerOpen})
	}
}

// Error reads like a net.OpError: operation, target, causes. What a person can do about it comes last.
func (e *DialError) Error() string {
	text := "dial " + e.Name
	if e.source != "" && len(e.Attempts) > 0 {
		text += " (" + e.source + ")"
	}
	var causes []string
	for _, a := range e.Attempts {
		causes = append(causes, fmt.Sprintf("%s: %s", a.Addr, plain(a)))
	}
	if e.unresolved != nil {
		causes = append(causes, e.unresolved.Error())
	}
	if e.reason != nil {
		causes = append(causes, e.reason.Error())
	}
	if advice := e.advice(); advice != "" {
		causes = append(causes, advice)
	}
	return text + ": " + strings.Join(causes, "; ")
}

// advice says what a person can do about attempts that failed, where that is known. Other errors say so themselves.
func (e *DialError) advice() string {
	if e.unresolved != nil || e.reason != nil {
		return ""
	}
	var refused, silent, unreachable bool
	for _, a := range e.Attempts {
		switch {
		case errors.Is(a.Err, syscall.ECONNREFUSED):
			refused = true
		case kindOf(a.Err) == silentFailure:
			silent = true
		case errors.Is(a.Err, syscall.EHOSTUNREACH), errors.Is(a.Err, syscall.ENETUNREACH):
			unreachable = true
		}
	}
	var questions []string
	if refused {
		questions = append(questions, "does the service run there")
	}
	if silent {
		questions = append(questions, "is the host up", "does a firewall stand between")
	}
	if unreachable {
		questions = append(questions, "is this machine's network up")
	}
	if len(questions) == 0 {
		return ""
	}
	return strings.Join(questions, ", ") + ", and is the address right?"
}

// plain leaves out of an attempt's error the operation and the address that Error has said already.
func plain(a Attempt) string {
	if errors.Is(a.Err, os.ErrDeadlineExceeded) {
		if a.Elapsed == 0 {
			return "no answer in time"
		}
		return fmt.Sprintf("no answer within %v", a.Elapsed.Round(time.Millisecond))
	}
	// Only the outermost error may lose its words: what wraps a net.OpError says more than it.
	switch op := a.Err.(type) { //nolint:errorlint // on purpose, see above
	case *net.OpError:
		if call, ok := op.Err.(*os.SyscallError); ok { //nolint:errorlint // as above
			return call.Err.Error()
		}
		return op.Err.Error()
	}
	return a.Err.Error()
}

// Unwrap returns every cause.
func (e *DialError) Unwrap() []error {
	var errs []error
	for _, a := range e.Attempts {
		errs = append(errs, a.Err)
	}
	for _, err := range []error{e.unresolved, e.reason} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Timeout reports whether every attempt timed out, and nothing else went wrong.
func (e *DialError) Timeout() bool {
	if e.unresolved != nil || len(e.Attempts) == 0 {
		return errors.Is(e.reason, context.DeadlineExceeded) || errors.Is(e.reason, os.ErrDeadlineExceeded)
	}
	return !slices.ContainsFunc(e.Attempts, func(a Attempt) bool {
		timeout, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](a.Err)
		return !ok || !timeout.Timeout()
	})
}

// Permanent marks an error that a connect function gives to [Dialer.Do] as one that another try can't mend: Do ends at
// once with err among its causes. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }
