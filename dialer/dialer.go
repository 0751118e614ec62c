package dialer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// Dialer connects to services by logical names. It is safe for concurrent use. Connections that it hands out belong to
// the caller.
type Dialer struct {
	cfg      Config
	cache    *resolve.Cache   // answers with addresses
	ownCache bool             // Close closes it
	named    resolve.Resolver // what cache asks, without what answers any name; nil = nothing is left
	resolved nameTable
	changed  signal // of any breaker
	watches  watches
	tls      byName[*tlsFiles]
	spares   byName[int]
	faults   *faultPlan // nil = none

	ctx        context.Context // of what outlives a dial: losing attempts, probes; ends with Close
	cancel     context.CancelFunc
	background sync.WaitGroup

	mu        sync.Mutex // guards the fields below; nothing slow under it
	closed    bool
	namedOnly *resolve.Cache     // over named; nil = nobody needed it, or nothing is named
	calls     map[*call]struct{} // dials under way
	running   sync.WaitGroup     // of calls
	overseen  bool
	endpoints map[string]*endpoint
	stocks    map[string]*stock // by the name that is dialed
}

// call is one dial under way.
type call struct {
	name          string // as it was asked for
	network       string
	host, port    string
	began         time.Time
	caller        context.Context    // bounds the dial from outside
	ctx           context.Context    // bounds it from inside: by Close, and by the budget or, while narrow, by the connect time-out
	cancel        context.CancelFunc // ends ctx; guarded by Dialer.mu
	narrow        bool
	failed        DialError
	beforeBreaker bool // an endpoint was dialed, so the dial waits for a probe's verdict
	names         names
	pass          pass // written under Dialer.mu, its origin by the dial's own goroutine alone
	moved         bool // the pass was cut short; guarded by Dialer.mu
	first         [1]*endpoint
}

// New returns a Dialer. It opens no connection and resolves nothing. The error names the setting that is impossible.
func New(cfg Config) (*Dialer, error) {
	if err := cfg.validate(func(field string) string { return "dialer: " + field }); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	d := &Dialer{cfg: cfg, calls: map[*call]struct{}{}, endpoints: map[string]*endpoint{}, stocks: map[string]*stock{}, watches: watches{byOrigin: map[origin]*watch{}}, spares: named(cfg.Spares)}
	secured := map[string]*tlsFiles{}
	for name, c := range cfg.TLS {
		files, err := newTLSFiles(name, c)
		if err != nil {
			return nil, err
		}
		secured[name] = files
	}
	d.tls = named(secured)
	d.faults = newFaultPlan(cfg.Faults)
	if cache, ok := cfg.Resolver.(*resolve.Cache); ok {
		d.cache, d.named = cache, resolve.Named(cache)
	} else {
		r := resolve.Addresses(cfg.Resolver, nil)
		d.named = d.faults.resolver(resolve.Named(r))
		d.cache, d.ownCache = resolve.NewCache(d.faults.resolver(r), cfg.Cache), true
	}
	d.resolved.logger = cfg.Logger
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// DialContext connects to address, which is name:port with a logical name, a host name or an IP address. The network
// is tcp, tcp4 or tcp6. The error is a *[DialError].
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dialContext(ctx, ownNames{d.cache}, network, address)
}

// names says what a name stands for, and whose answer that is.
type names interface {
	lookUp(ctx context.Context, host, port string) (resolve.Answer, origin, error)
}

// ownNames are those of a Dialer.
type ownNames struct{ *resolve.Cache }

func (n ownNames) lookUp(ctx context.Context, host, port string) (resolve.Answer, origin, error) {
	answer, err := n.Resolve(ctx, host, port)
	return answer, origin{cache: n.Cache, host: host, port: port}, err
}

func (d *Dialer) dialContext(ctx context.Context, n names, network, address string) (net.Conn, error) {
	began := time.Now()
	conn, addr, spare, err := d.connection(ctx, n, network, address)
	d.cfg.Trace.dialed(address, addr, spare, began, err)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// connection returns a spare, or a connection that it dials.
func (d *Dialer) connection(ctx context.Context, n names, network, address string) (conn connection, addr string, spare bool, err error) {
	host, _, splitErr := net.SplitHostPort(address)
	var spares *stock
	// Not for Behind: a spare is made for what the name means to everybody.
	if _, own := n.(ownNames); own && splitErr == nil && network == "tcp" && ctx.Err() == nil {
		spares = d.stock(host, address)
	}
	if spares != nil {
		if conn = spares.take(); conn != nil && conn.state().handOut() {
			spares.refill()
			return conn, conn.state().endpoint.addr, true, nil
		}
	}
	err = d.dial(ctx, n, network, address, func(c *call, endpoints []*endpoint) bool {
		conn = d.race(c, endpoints)
		return conn != nil
	})
	if err != nil {
		return nil, "", false, err
	}
	_ = conn.state().handOut() // else it is closed, as it would be a moment later
	if spares != nil {
		spares.refill()
	}
	return conn, conn.state().endpoint.addr, false, nil
}

// Do is for clients that dial by themselves. It calls connect with one ip:port after the other, never two at once, in
// the order and with the retries of DialContext, until connect returns nil. An error that connect wraps in [Permanent]
// ends it at once, and does not count against the endpoint. The context given to connect ends with the connect
// time-out; a connect that ignores it is waited for all the same. The error is a *[DialError].
func (d *Dialer) Do(ctx context.Context, address string, connect func(ctx context.Context, addr string) error) error {
	return d.do(ctx, ownNames{d.cache}, address, connect)
}

func (d *Dialer) do(ctx context.Context, n names, address string, connect connectFunc) error {
	return d.dial(ctx, n, "tcp", address, func(c *call, endpoints []*endpoint) bool {
		return d.inTurn(c, endpoints, connect)
	})
}

// tryFunc tries endpoints until one connects, and adds what failed to the call.
type tryFunc func(c *call, endpoints []*endpoint) bool

// dial is the story of one dial: resolve the name, try the endpoints whose breakers are closed, and if none answers,
// wait and begin anew, until the budget or the caller's context ends.
func (d *Dialer) dial(ctx context.Context, n names, network, address string, try tryFunc) error {
	c := &call{name: address, network: network, began: time.Now(), caller: ctx, names: n, failed: DialError{Name: address}}
	var err error
	if c.host, c.port, err = splitAddress(network, address); err != nil {
		c.failed.Name = shown(address)
		return c.failed.because(err)
	}
	if err := d.begin(c); err != nil {
		return c.failed.because(err)
	}
	defer d.end(c)

	var retry *retry
	for {
		changed := d.changed.wait()
		endpoints, open, err := d.candidates(c)
		c.failed.unresolved = d.unresolved(c, err)
		switch {
		case err != nil:
		case len(endpoints) > 0:
			c.beforeBreaker = true
			if len(endpoints) > 1 || time.Since(c.began) > slowResolve {
				d.widen(c)
			}
			if try(c, endpoints) {
				return nil
			}
			if d.resume(c) {
				continue
			}
		case !c.beforeBreaker:
			return c.failed.because(open)
		}
		if over := d.over(c); over != nil {
			return over
		}
		d.widen(c)
		if retry == nil {
			retry = newRetry(d.cfg.Budget, c.began)
		}
		c.pass.origin.cache.Refresh(c.pass.origin.host, c.pass.origin.port) // it may have moved, or its name server be back
		again := false
		if err == nil && len(endpoints) == 0 {
			again = awaitProbe(c.ctx, changed)
		} else {
			again = retry.wait(c.ctx)
		}
		if !again {
			if d.resume(c) {
				continue
			}
			if over := d.over(c); over != nil {
				return over
			}
			if len(c.failed.Attempts) == 0 && err == nil {
				return c.failed.because(fmt.Errorf("nothing was tried within the budget of %v: %w", d.cfg.Budget, os.ErrDeadlineExceeded))
			}
			return &c.failed
		}
	}
}

// unresolved returns why a dial has nothing to try. Of a name that had an endpoint before, a *net.DNSError is told and not
// wrapped: on one the MongoDB driver throws away the connections that it has.
func (d *Dialer) unresolved(c *call, err error) error {
	if _, ok := errors.AsType[*net.DNSError](err); ok && len(d.resolved.answer(c.name).Endpoints) > 0 {
		return errors.New(err.Error())
	}
	return err
}

// over returns the dial's error if no further pass is of use, apart from the budget's end.
func (d *Dialer) over(c *call) error {
	switch {
	case d.ctx.Err() != nil:
		return c.failed.because(errClosed)
	case c.caller.Err() != nil:
		return c.failed.because(c.caller.Err())
	case c.failed.permanent():
		return &c.failed
	}
	return nil
}

// slowResolve is how long a name may take before the connect time-out begins anew after it.
const slowResolve = 100 * time.Millisecond

// begin registers a dial. The caller must call end. Most dials end with one attempt at one endpoint, so the context is
// bounded by what bounds that; widen is for the others.
func (d *Dialer) begin(c *call) error {
	var end time.Time
	if limit := d.patience(); limit > 0 {
		c.narrow, end = true, c.began.Add(limit)
	}
	c.ctx, c.cancel = bounded(c.caller, end)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		c.cancel()
		return errClosed
	}
	d.calls[c] = struct{}{}
	d.running.Add(1)
	if !d.overseen {
		d.overseen = true
		d.background.Go(d.oversee)
	}
	return nil
}

// bounded returns a context that ends at end, unless that is zero.
func bounded(ctx context.Context, end time.Time) (context.Context, context.CancelFunc) {
	if end.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end)
}

// widen bounds the dial by its budget.
func (d *Dialer) widen(c *call) {
	if !c.narrow {
		return
	}
	c.narrow = false
	d.bound(c)
}

// bound gives the dial a new context, bounded by the budget.
func (d *Dialer) bound(c *call) {
	var end time.Time
	if d.cfg.Budget > 0 {
		end = c.began.Add(d.cfg.Budget)
	}
	ctx, cancel := bounded(c.caller, end)
	d.mu.Lock()
	last := c.cancel
	c.ctx, c.cancel = ctx, cancel
	closed := d.closed
	d.mu.Unlock()
	last()
	if closed {
		cancel()
	}
}

// awaitProbe waits until a breaker changes. Now and then it lets the name be asked for again: it may have moved.
func awaitProbe(ctx context.Context, changed <-chan struct{}) bool {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

func (d *Dialer) end(c *call) {
	c.cancel()
	d.mu.Lock()
	delete(d.calls, c)
	d.mu.Unlock()
	d.running.Done()
}

// goOn runs what outlives a dial, unless the Dialer is closed. Close waits for it.
func (d *Dialer) goOn(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.background.Go(f)
	}
	return !d.closed
}

// Close ends dials that are under way, which return [ErrClosed], probes and losing attempts, and waits for them.
// Connections that were handed out stay open. A second Close does nothing.
func (d *Dialer) Close() error {
	d.mu.Lock()
	d.closed = true
	calls := make([]context.CancelFunc, 0, len(d.calls))
	for c := range d.calls {
		calls = append(calls, c.cancel)
	}
	d.mu.Unlock()
	d.cancel()
	for _, cancel := range calls {
		cancel()
	}
	d.running.Wait()
	d.background.Wait()
	d.dropSpares(func(*spare) bool { return true })
	var err error
	if d.namedOnly != nil {
		err = d.namedOnly.Close()
	}
	if d.ownCache {
		err = errors.Join(err, d.cache.Close())
	}
	return err
}

// signal wakes whoever waits when something changes.
type signal struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// wait returns a channel that is closed with the next change.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
