package dialer

import (
	"context"
	"net"
	"sync"

	"github.com/gvpocr/worker/resolve"
)

// Dialer connects to services by logical names. It is safe for concurrent use. Connections that it hands out belong to
// the caller.
type Dialer struct {
	cfg      Config
	resolver resolve.Resolver // answers with addresses
	answers  answerLog

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards closed, and that no dial begins once it is set; nothing slow under it
	closed  bool
	running sync.WaitGroup
}

// New returns a Dialer. It opens no connection and resolves nothing. The error names the setting that is impossible.
func New(cfg Config) (*Dialer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	d := &Dialer{cfg: cfg, resolver: resolve.Addresses(cfg.Resolver, nil)}
	d.answers.logger = cfg.Logger
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
	return d, nil
}

// DialContext connects to address, which is name:port with a logical name, a host name or an IP address. The network
// is tcp, tcp4 or tcp6. The error is a *[DialError].
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dialContext(ctx, d.resolver, network, address)
}

func (d *Dialer) dialContext(ctx context.Context, r resolve.Resolver, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := d.dial(ctx, r, network, address, func(ctx context.Context, addr string) (err error) {
		conn, err = d.connect(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Do is for clients that dial by themselves. It calls connect with one ip:port after the other, never two at once, in
// the order and with the retries of DialContext, until connect returns nil. An error that connect wraps in [Permanent]
// ends it at once. The context given to connect ends with the connect time-out; a connect that ignores it is waited
// for all the same. The error is a *[DialError].
func (d *Dialer) Do(ctx context.Context, address string, connect func(ctx context.Context, addr string) error) error {
	return d.dial(ctx, d.resolver, "tcp", address, connect)
}

// Close ends dials that are under way, which return [ErrClosed], and waits for them. Connections that were handed out
// stay open. A second Close does nothing.
func (d *Dialer) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel(ErrClosed)
	d.running.Wait()
	return nil
}

// dial is the story of one dial: resolve the name, try its endpoints in order, and if none answers, wait and begin
// anew, until the budget or the caller's context ends.
func (d *Dialer) dial(ctx context.Context, r resolve.Resolver, network, address string, connect connectFunc) error {
	failed := &DialError{Name: address}
	host, port, err := splitAddress(network, address)
	if err != nil {
		return failed.because(err)
	}
	budget, end, err := d.begin(ctx)
	if err != nil {
		return failed.because(err)
	}
	defer end()

	for retry := newRetry(d.cfg.Budget); ; {
		answer, err := r.Resolve(budget, host, port)
		if err == nil {
			d.answers.note(address, answer)
			failed.unresolved = nil
			if d.tryAll(budget, network, answer.Endpoints, connect, failed) {
				return nil
			}
		} else {
			failed.unresolved = err
		}
		if err := d.ended(ctx); err != nil {
			return failed.because(err)
		}
		if failed.permanent() || !retry.wait(budget) {
			if err := d.ended(ctx); err != nil {
				return failed.because(err)
			}
			return failed
		}
	}
}

// tryAll tries the endpoints one by one until one connects; what failed is added to failed.
func (d *Dialer) tryAll(ctx context.Context, network string, endpoints []resolve.Endpoint, connect connectFunc, failed *DialError) bool {
	ordered := order(network, endpoints)
	if len(ordered) == 0 {
		failed.unresolved = errNoEndpoint
		return false
	}
	for _, e := range ordered {
		if ctx.Err() != nil {
			return false
		}
		a := d.attempt(ctx, e.Addr, connect)
		if a.Err == nil {
			return true
		}
		d.cfg.Logger.Debug("attempt failed", "name", failed.Name, "endpoint", a.Addr, "elapsed", a.Elapsed, "error", a.Err)
		if failed.add(a) {
			return false
		}
	}
	return false
}

// begin registers a dial and bounds its context by the budget and by Close. The caller must call end.
func (d *Dialer) begin(ctx context.Context) (budget context.Context, end func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, ErrClosed
	}
	d.running.Add(1)
	budget, cancel := context.WithCancelCause(ctx)
	stopClose := context.AfterFunc(d.ctx, func() { cancel(ErrClosed) })
	stopTimer := func() {}
	if d.cfg.Budget > 0 {
		budget, stopTimer = context.WithTimeout(budget, d.cfg.Budget)
	}
	return budget, func() {
		stopTimer()
		stopClose()
		cancel(nil)
		d.running.Done()
	}, nil
}

// ended returns why no attempt is of use any more, apart from the budget: the dialer is closed, or the caller is gone.
func (d *Dialer) ended(ctx context.Context) error {
	if d.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}
