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

// dials dials for the driver and remembers the last failure. With onePlace its connections lead to one place: where a name that is
// answered otherwise now has led before, as long as there are connections that do and that place can be dialed. Else one operation
// would ask the server that was left, and the next one another.
type dials struct {
	dialer *dialer.Dialer // nil means the driver's own
	hosts  []string       // of the URI
	behind *dialer.Behind // for what the members of a replica set announce: names of the server's own world
	before string         // the address that they are behind: the URI's first

	onePlace bool
	left     chan struct{} // closed when the place has left its name's answer for good
	leave    sync.Once
	watching sync.WaitGroup // what may close left, until done
	done     chan struct{}

	mu      sync.Mutex // guards the fields below; nothing is dialed or resolved under it
	last    error
	open    map[*openConn]struct{}
	watched map[<-chan struct{}]bool
	kept    map[string]string // where addresses lead from now on, also without a connection: see keep
	loose   bool              // a place could not be dialed: addresses lead where their names do
	closed  bool
}

func newDials(d *dialer.Dialer, addresses []string, onePlace bool) *dials {
	dials := &dials{
		dialer: d, onePlace: onePlace, left: make(chan struct{}), done: make(chan struct{}),
		open: map[*openConn]struct{}{}, watched: map[<-chan struct{}]bool{},
	}
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
	dials.before = addresses[0]
	if _, _, err := net.SplitHostPort(dials.before); err != nil {
		dials.before = net.JoinHostPort(dials.before, defaultPort)
	}
	return dials
}

// DialContext is the driver's dial function.
func (d *dials) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := d.dialPlace(ctx, network, address)
	if conn == nil && err == nil {
		conn, err = d.dialName(ctx, network, address)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !errors.Is(err, context.Canceled) { // by the driver, of a server that it has dropped: that is no outage's reason
		d.last = err
	}
	if err != nil {
		return nil, &dialError{err}
	}
	d.open[conn] = struct{}{}
	return conn, nil
}

// dialName dials the place where the name leads.
func (d *dials) dialName(ctx context.Context, network, address string) (*openConn, error) {
	host, _, err := net.SplitHostPort(address)
	named := err == nil && slices.Contains(d.hosts, host)
	dial := d.behind.DialContext
	if named {
		dial = d.dialer.DialContext // for which it may keep spares
	}
	raw, err := d.dial(ctx, dial, network, address)
	if err != nil {
		return nil, err
	}
	d.watch(raw)
	conn := &openConn{Conn: raw, dials: d, dialed: address}
	if named {
		conn.address = address
	} else if there, _ := d.leadsTo(ctx, d.before, raw.RemoteAddr(), true); there {
		conn.address, conn.behind = d.before, true
	}
	return conn, nil
}

// dial waits where the breaker is open. The driver asks a server that failed again after half a second at the earliest,
// or after ten seconds; the breaker's probe finds it back sooner.
func (d *dials) dial(ctx context.Context, dial dialFunc, network, address string) (net.Conn, error) {
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

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

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
