package dialer

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxBackground is how many attempts at one endpoint go on after their dial has ended.
const maxBackground = 4

// race tries the endpoints in order, each beside those that have not answered within the attempt delay, at once when one
// fails (RFC 8305). The first connection wins. The losers are not cancelled: a cancel says nothing, and the breaker
// would never learn of an endpoint that drops packets.
func (d *Dialer) race(c *call, endpoints []*endpoint) connection {
	if len(endpoints) == 1 {
		return d.alone(c, endpoints[0])
	}
	r := &race{dialer: d, call: c, results: make(chan result, len(endpoints))}
	defer r.leave()
	delay := time.NewTimer(0)
	defer delay.Stop()
	for pending, next := 0, 0; ; {
		var started <-chan time.Time
		if next < len(endpoints) {
			started = delay.C
		} else if pending == 0 {
			return nil
		}
		select {
		case <-started:
			r.start(endpoints[next])
			pending++
			next++
			d.resetDelay(delay)
		case res := <-r.results:
			pending--
			if res.conn != nil {
				return res.conn
			}
			c.failed.add(res.attempt)
			delay.Reset(0)
		case <-c.ctx.Done():
			if !d.gone(c) {
				r.expire()
			}
			return nil
		}
	}
}

func (d *Dialer) resetDelay(t *time.Timer) {
	if d.cfg.AttemptDelay > 0 {
		t.Reset(d.cfg.AttemptDelay)
	}
}

// alone tries the only endpoint, in the caller's goroutine.
func (d *Dialer) alone(c *call, e *endpoint) connection {
	generation, ok := e.breaker.allow()
	if !ok {
		c.failed.skip(e.addr)
		return nil
	}
	conn, a := d.attempt(c.ctx, c, c.pass.origin, e, generation)
	switch {
	case a.Err == nil:
	case !d.gone(c):
		c.failed.add(a)
	case errors.Is(a.Err, context.Canceled) && d.hasMoved(c):
		d.askAgain(c, e, generation, time.Now().Add(-a.Elapsed))
	}
	return conn
}

// askAgain dials an endpoint whose attempt was cut short once more, for nobody: a cancel says nothing, and the breaker
// would never learn of an endpoint that drops packets.
func (d *Dialer) askAgain(c *call, e *endpoint, generation uint64, began time.Time) {
	if !e.leave(began) {
		return
	}
	own := call{name: c.name, host: c.host, network: c.network}
	from := c.pass.origin
	if !d.goOn(func() {
		defer e.background.Add(-1)
		if conn, _ := d.attempt(d.ctx, &own, from, e, generation); conn != nil {
			conn.state().discard()
		}
	}) {
		e.background.Add(-1)
	}
}

// gone reports whether the caller gave up, or the pass was cut short, which is no attempt's failure.
func (d *Dialer) gone(c *call) bool {
	return d.ctx.Err() != nil || errors.Is(c.caller.Err(), context.Canceled) || d.hasMoved(c)
}

// race is the attempts of one dial that run side by side.
type race struct {
	dialer  *Dialer
	call    *call
	results chan result // holds one for each endpoint

	mu      sync.Mutex // guards the fields below
	over    bool
	running []*runner
}

type result struct {
	conn    connection
	attempt Attempt
}

// runner is one attempt of a race.
type runner struct {
	endpoint *endpoint
	began    time.Time
	cancel   context.CancelFunc
	ended    bool
	left     bool // counts as background
}

func (r *race) start(e *endpoint) {
	generation, ok := e.breaker.allow()
	if !ok { // it opened since the candidates were chosen
		r.results <- result{attempt: Attempt{Addr: e.addr, Err: ErrBreakerOpen}}
		return
	}
	ctx, cancel := context.WithCancel(r.dialer.ctx)
	run := &runner{endpoint: e, began: time.Now(), cancel: cancel}
	from := r.call.pass.origin
	r.mu.Lock()
	r.running = append(r.running, run)
	r.mu.Unlock()
	r.dialer.background.Go(func() {
		defer cancel()
		conn, a := r.dialer.attempt(ctx, r.call, from, e, generation)
		r.finish(run, conn, a)
	})
}

// finish hands in an attempt's result, or gets rid of it when the race is over.
func (r *race) finish(run *runner, conn connection, a Attempt) {
	r.mu.Lock()
	run.ended = true
	over := r.over
	if !over {
		r.results <- result{conn, a}
	}
	r.mu.Unlock()
	if run.left {
		run.endpoint.background.Add(-1)
	}
	if over && conn != nil {
		r.drop(conn)
	}
}

// drop gets rid of a connection that came too late.
func (r *race) drop(conn connection) {
	if _, own := r.call.names.(ownNames); !own {
		conn.state().discard()
		return
	}
	r.dialer.keep(conn)
}

// expire notes the attempts that the dial's time was not enough for.
func (r *race) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.running {
		if !run.ended {
			r.call.failed.add(Attempt{Addr: run.endpoint.addr, Err: timeoutError(run.endpoint.addr), Elapsed: time.Since(run.began)})
		}
	}
}

// leave ends the race. Attempts that still run go on to a verdict, as far as an endpoint's background has room.
func (r *race) leave() {
	r.mu.Lock()
	r.over = true
	for _, run := range r.running {
		if !run.ended {
			run.left = run.endpoint.leave(run.began)
			if !run.left {
				run.cancel()
			}
		}
	}
	r.mu.Unlock()
	for len(r.results) > 0 { // nothing is added any more
		if res := <-r.results; res.conn != nil {
			r.drop(res.conn)
		}
	}
}

// inTurn tries the endpoints one after the other.
func (d *Dialer) inTurn(c *call, endpoints []*endpoint, connect connectFunc) bool {
	for _, e := range endpoints {
		if c.ctx.Err() != nil {
			return false
		}
		generation, ok := e.breaker.allow()
		if !ok {
			c.failed.skip(e.addr)
			continue
		}
		a := d.attemptWith(c.ctx, c, e, generation, connect)
		if a.Err == nil {
			return true
		}
		if d.gone(c) {
			return false
		}
		if c.failed.add(a) {
			return false
		}
	}
	return false
}
