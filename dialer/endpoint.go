package dialer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// endpoint is what a Dialer knows of one ip:port, under whatever names it is dialed.
type endpoint struct {
	addr    string
	host    string // the name that it was first dialed by
	service string // the name whose answer it was in then: see Behind
	breaker *breaker
	trials  trials

	open            atomic.Int64 // connections handed out
	background      atomic.Int64 // attempts whose dial has ended
	dials, failures atomic.Uint64
	openings        atomic.Uint64

	mu          sync.Mutex // guards the fields below
	used        time.Time  // when a dial last chose among it
	lastLeft    time.Time  // when the last background attempt began
	lastErr     error
	lastErrAt   time.Time
	lastSuccess time.Time
	latency     time.Duration // moving average of successful dials
}

// endpointLife is how long the state of an endpoint that no dial considers is kept.
const endpointLife = 10 * time.Minute

// maxEndpoints bounds them: a program that dials ever new addresses must not grow for ever.
const maxEndpoints = 10_000

// endpoint returns the state of addr.
func (d *Dialer) endpoint(addr, host, service string, now time.Time) *endpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.endpoints[addr]
	if e == nil {
		if len(d.endpoints) >= maxEndpoints {
			d.forgetLocked(now)
		}
		e = &endpoint{addr: addr, host: host, service: service, breaker: newBreaker(d.cfg.Breaker)}
		d.endpoints[addr] = e
	}
	e.touch(now)
	return e
}

// forgetLocked drops what was not used for long, or, if there is no such endpoint, those with nothing to remember.
func (d *Dialer) forgetLocked(now time.Time) {
	for _, life := range []time.Duration{endpointLife, 0} {
		for addr, e := range d.endpoints {
			if state, _ := e.breaker.snapshot(); state == Closed && e.open.Load() == 0 && now.Sub(e.lastUsed()) >= life {
				delete(d.endpoints, addr)
			}
		}
		if len(d.endpoints) < maxEndpoints {
			return
		}
	}
}

func (e *endpoint) touch(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.used = now
}

func (e *endpoint) lastUsed() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.used
}

// leave makes an attempt that began at began go on in the background, if there is room. One that began within coalesce
// of another would count as the same failure, so it would only take a place.
func (e *endpoint) leave(began time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if began.Sub(e.lastLeft).Abs() < coalesce || !e.enterBackground() {
		return false
	}
	e.lastLeft = began
	return true
}

// enterBackground takes one of the places for dials that nobody waits for; background.Add(-1) gives it back.
func (e *endpoint) enterBackground() bool {
	if e.background.Add(1) > maxBackground {
		e.background.Add(-1)
		return false
	}
	return true
}

// candidates resolves the call's name and returns the endpoints to try, in order. If a breaker is open, open says why
// that endpoint is not among them.
func (d *Dialer) candidates(c *call) (closed []*endpoint, open, err error) {
	d.leavePass(c)
	answer, from, err := c.names.lookUp(c.ctx, c.host, c.port)
	c.pass.origin = from // the pass has no endpoints, so nobody else looks at it
	if errors.Is(err, context.DeadlineExceeded) && c.caller.Err() == nil {
		err = fmt.Errorf("%v: %w", err, os.ErrDeadlineExceeded) //nolint:errorlint // it must not look like the caller's deadline
	}
	d.cfg.Trace.resolved(c.name, answer, err)
	if err != nil {
		return nil, nil, err
	}
	// Two services may mean different things by a name that they hand out: their dials must not wake each other.
	if _, own := c.names.(ownNames); d.resolved.note(c.name, answer) && own {
		d.changed.broadcast()
	}
	c.failed.source = answer.Source
	ordered := order(c.network, answer.Endpoints)
	if len(ordered) == 0 {
		return nil, nil, noEndpoint(c.network, answer)
	}
	now := time.Now()
	closed = c.first[:0]
	var skipped []skippedEndpoint
	for _, o := range ordered {
		e := d.endpoint(o.Addr, c.host, from.host, now)
		state, next := e.breaker.snapshot()
		if state == Closed {
			closed = append(closed, e)
			continue
		}
		e.mu.Lock()
		skipped = append(skipped, skippedEndpoint{o.Addr, next, e.lastErr})
		e.mu.Unlock()
	}
	d.enterPass(c, closed)
	if len(skipped) > 0 {
		open = &openError{skipped, now}
	}
	return closed, open, nil
}

// ErrBreakerOpen says that an endpoint failed so often that nobody dials it until a probe finds it back.
var ErrBreakerOpen = errors.New("breaker open")

// openError says which endpoints were not dialed.
type openError struct {
	skipped []skippedEndpoint
	now     time.Time
}

type skippedEndpoint struct {
	addr      string
	nextProbe time.Time
	last      error
}

func (e *openError) Error() string {
	text := ""
	for i, s := range e.skipped {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("%s: %v, next probe %s", s.addr, ErrBreakerOpen, due(s.nextProbe, e.now))
		if s.last != nil {
			text += ", last error: " + plain(Attempt{Err: s.last})
		}
	}
	return text + "; dials go through again when a probe connects"
}

// Unwrap leaves the last errors out: they are not of this dial.
func (e *openError) Unwrap() error { return ErrBreakerOpen }
