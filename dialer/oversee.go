package dialer

import (
	"context"
	"slices"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// overseePace is how often dials under way are looked after. It is the default attempt delay: within it, a server that
// lives has answered.
const overseePace = defaultAttemptDelay

// oversee looks after dials that take long: their names are asked for again, since they may have moved, and a pass over
// endpoints that have all left the answer ends. It runs while there are dials, at the cost of one goroutine for all.
func (d *Dialer) oversee() {
	tick := time.NewTicker(overseePace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-d.ctx.Done():
			return
		}
		d.mu.Lock()
		if len(d.calls) == 0 {
			d.overseen = false
			d.mu.Unlock()
			return
		}
		slow := map[*call]pass{}
		for c := range d.calls {
			if time.Since(c.began) >= overseePace && len(c.pass.answer.Endpoints) > 0 && !isAddress(c.pass.origin.host) {
				slow[c] = c.pass
			}
		}
		d.mu.Unlock()
		for c, p := range slow {
			if p.over() {
				d.endPass(c, p)
			}
			p.origin.cache.Refresh(p.origin.host, p.origin.port)
		}
	}
}

// pass is what one pass of a dial goes by.
type pass struct {
	number int
	origin origin
	answer resolve.Answer
}

// over reports whether all its endpoints have left the answer.
func (p pass) over() bool {
	now, at, _ := p.origin.cache.Follow(p.origin.host, p.origin.port)
	return !at.IsZero() && !now.Partial &&
		!slices.ContainsFunc(p.answer.Endpoints, func(e resolve.Endpoint) bool { return p.origin.names(now, e.Addr) })
}

// enterPass notes what the dial goes by now.
func (d *Dialer) enterPass(c *call, from origin, answer resolve.Answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.pass = pass{c.pass.number + 1, from, answer}
	c.moved = false
}

// endPass cuts a pass short, unless it has ended.
func (d *Dialer) endPass(c *call, p pass) {
	d.mu.Lock()
	var cancel context.CancelFunc
	if _, running := d.calls[c]; running && c.pass.number == p.number {
		c.moved, cancel = true, c.cancel
	}
	d.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// hasMoved reports whether a pass was cut short.
func (d *Dialer) hasMoved(c *call) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.moved
}
