package dialer

import (
	"slices"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// overseePace is how often dials under way are looked after. It is the default attempt delay: within it, a server that
// lives has answered.
const overseePace = defaultAttemptDelay

// pass is what one pass of a dial goes by.
type pass struct {
	number    int
	origin    origin
	endpoints []*endpoint // that it tries
	left      []string    // endpoints of passes before it that were cut short
}

// oversee looks after dials that take long: their names are asked for again, since they may have moved, and a pass over
// endpoints that have all left the answer is cut short. It runs while there are dials, at the cost of one goroutine for
// all.
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
			if time.Since(c.began) >= overseePace && len(c.pass.endpoints) > 0 && !isAddress(c.pass.origin.host) {
				slow[c] = c.pass
			}
		}
		d.mu.Unlock()
		for c, p := range slow {
			if p.over() {
				d.cutShort(c, p)
			}
			p.origin.cache.Refresh(p.origin.host, p.origin.port)
		}
	}
}

// over reports whether all its endpoints have left the answer, which has one that the dial has not left yet: records
// that rotate must not send it round and round.
func (p pass) over() bool {
	now, at, _ := p.origin.cache.Follow(p.origin.host, p.origin.port)
	if at.IsZero() || now.Partial || slices.ContainsFunc(p.endpoints, func(e *endpoint) bool { return p.origin.names(now, e.addr) }) {
		return false
	}
	return slices.ContainsFunc(now.Endpoints, func(e resolve.Endpoint) bool {
		return !slices.ContainsFunc(p.left, func(addr string) bool { return p.origin.same(e.Addr, addr) })
	})
}

// leavePass ends the last pass before the name is asked for again: nobody cuts that short.
func (d *Dialer) leavePass(c *call) {
	d.mu.Lock()
	c.pass.number++
	c.pass.endpoints = nil
	moved := c.moved
	c.moved = false
	d.mu.Unlock()
	if moved && c.ctx.Err() != nil && c.caller.Err() == nil { // it was, between two passes
		d.bound(c)
	}
}

// enterPass notes what the dial goes by now.
func (d *Dialer) enterPass(c *call, endpoints []*endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.pass.number++
	c.pass.endpoints = endpoints
}

// cutShort ends a pass, unless it has ended.
func (d *Dialer) cutShort(c *call, p pass) {
	d.mu.Lock()
	_, running := d.calls[c]
	if !running || c.pass.number != p.number {
		d.mu.Unlock()
		return
	}
	c.moved = true
	left := slices.Clip(c.pass.left)
	for _, e := range p.endpoints {
		left = append(left, e.addr)
	}
	c.pass.left = left
	cancel := c.cancel
	d.mu.Unlock()
	cancel()
}

// hasMoved reports whether the pass was cut short.
func (d *Dialer) hasMoved(c *call) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.moved
}

// resume lets a dial whose pass was cut short go on, unless it is over or its budget used up.
func (d *Dialer) resume(c *call) bool {
	if !d.hasMoved(c) || d.over(c) != nil {
		return false
	}
	if c.narrow {
		c.narrow = false
	}
	d.bound(c)
	return c.ctx.Err() == nil
}
