package jobs

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"

	"github.com/gvpocr/worker/dialer"
)

// dialTimeout bounds one dial of the driver's: shorter than an operation, so that the operation's error can say why
// there is no connection.
const dialTimeout = operationTimeout / 2

// dials dials for the driver and remembers the last failure.
type dials struct {
	dialer *dialer.Dialer // nil means the driver's own
	hosts  []string       // of the URI
	behind *dialer.Behind // for what the members of a replica set announce: names of the server's own world

	mu   sync.Mutex // guards last
	last error
}

func newDials(d *dialer.Dialer, addresses []string) *dials {
	dials := &dials{dialer: d}
	if d == nil {
		return dials
	}
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address // without a port, which is the driver's to add
		}
		dials.hosts = append(dials.hosts, host)
	}
	dials.behind = d.Behind(dials.hosts[0])
	return dials
}

// DialContext is the driver's dial function.
func (d *dials) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := d.dial(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !errors.Is(err, context.Canceled) { // by the driver, of a server that it has dropped: that is no outage's reason
		d.last = err
	}
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

// dial waits where the breaker is open. The driver asks a server that failed again after half a second at the earliest,
// or after ten seconds; the breaker's probe finds it back sooner.
func (d *dials) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dial := d.behind.DialContext
	if host, _, err := net.SplitHostPort(address); err == nil && slices.Contains(d.hosts, host) {
		dial = d.dialer.DialContext // for which it may keep spares
	}
	for {
		_, changed := d.dialer.Health(address)
		conn, err := dial(ctx, network, address)
		failed, ok := errors.AsType[*dialer.DialError](err)
		if !ok || len(failed.Attempts) > 0 || !errors.Is(err, dialer.ErrBreakerOpen) {
			return conn, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// failure returns the error of the last dial, or nil if that succeeded.
func (d *dials) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// dialError is a failed dial as the driver gets it. It hides that dialTimeout is over: the driver takes the end of a
// context for a server that has gone silent, and after two of them cuts the connections that are in use.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }

func (e *dialError) Unwrap() []error {
	causes := []error{e.err}
	if several, ok := e.err.(interface{ Unwrap() []error }); ok {
		causes = several.Unwrap()
	}
	return slices.DeleteFunc(causes, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) })
}
