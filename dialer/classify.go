package dialer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// permanent reports whether another pass can't mend the dial.
func (e *DialError) permanent() bool {
	switch {
	case e.final:
		return true
	case e.unresolved == nil && len(e.Attempts) > 0 && !slices.ContainsFunc(e.Attempts, func(a Attempt) bool { return !refusedCertificate(a.Err) }):
		// Every server has a certificate that is not for this name, or has expired. Somebody has to mend that.
		return true
	case e.unresolved == nil:
		// An endpoint that refuses, is silent or can't be reached may be back in a second.
		return false
	case errors.Is(e.unresolved, resolve.ErrNotFound), errors.Is(e.unresolved, resolve.ErrAbsent):
		// Nobody knows the name. Waiting would turn a misspelled name into a hang of a whole budget.
		return true
	case outOfReach(e.unresolved):
		// Another network has to be asked for, or another resolver made.
		return true
	default:
		// A name server that does not answer, or a target whose host DNS lost, may be back.
		return false
	}
}

func outOfReach(err error) bool {
	_, ok := errors.AsType[outOfReachError](err)
	return ok
}

// classify says how an attempt failed, and whether that says anything about the endpoint. ctx is what bounded the attempt
// from outside, end its own time-out's.
func (d *Dialer) classify(ctx context.Context, a Attempt, end time.Time) (kind failureKind, counts bool) {
	if _, ok := errors.AsType[*permanentError](a.Err); ok {
		return 0, false // the server answered, and refuses what was asked
	}
	if refusedCertificate(a.Err) {
		return 0, false // it answers; somebody has to mend what it answers with
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return 0, false // the caller or Close
	}
	for _, ours := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, // this process or machine is full
		syscall.EAFNOSUPPORT, syscall.EINVAL, syscall.EADDRNOTAVAIL, // it can't dial such an address
	} {
		if errors.Is(a.Err, ours) {
			return 0, false
		}
	}
	kind = kindOf(a.Err)
	if deadline, ok := ctx.Deadline(); ok && kind == silentFailure && ctx.Err() != nil && (end.IsZero() || deadline.Before(end)) {
		return 0, false // the caller's own deadline was shorter than ours, or the budget ended
	}
	return kind, true
}

func kindOf(err error) failureKind {
	timeout, ok := errors.AsType[net.Error](err)
	if ok && timeout.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return silentFailure
	}
	return fastFailure
}

// patience is how long an attempt lasts if nothing outside ends it.
func (d *Dialer) patience() time.Duration {
	p := d.cfg.ConnectTimeout
	if d.cfg.Budget > 0 && (p <= 0 || d.cfg.Budget < p) {
		p = d.cfg.Budget
	}
	return p
}

// splitAddress checks what the caller asked for, before anything is resolved.
func splitAddress(network, address string) (host, port string, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return "", "", net.UnknownNetworkError(network)
	}
	host, port, err = net.SplitHostPort(address)
	if split, ok := errors.AsType[*net.AddrError](err); ok {
		return "", "", &net.AddrError{Err: split.Err, Addr: shown(address)}
	}
	if host == "" {
		return "", "", fmt.Errorf("address %q: the host is missing", shown(address))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("address %q: the port must be a number from 1 to 65535", shown(address))
	}
	return host, port, nil
}

// shown hides an address that may be a URI with a password.
func shown(address string) string {
	if strings.ContainsAny(address, "@/") {
		return "(not shown: it may hold a password; write host:port)"
	}
	return address
}
