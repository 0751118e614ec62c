package dialer

import (
	"maps"
	"slices"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// Stats is a snapshot of a Dialer: the names that were dialed, in alphabetical order.
type Stats struct{ Names []NameStats }

// NameStats is a snapshot of one name.
type NameStats struct {
	Name      string // as it was dialed: mongodb-proxy:27017
	Answer    resolve.Answer
	Endpoints []EndpointStats // in the order of the answer

	SpareHits, SpareMisses uint64 // dials that took a spare, and that found none; names without spares have neither
}

// EndpointStats is a snapshot of one ip:port. Names that share it share its figures.
type EndpointStats struct {
	Addr                      string
	State                     BreakerState
	NextProbe                 time.Time // zero while the breaker is closed
	Open, Spares              int       // connections handed out and not closed; ready ones of this name
	Dials, Failures, Openings uint64    // attempts, probes among them; those that count as failures; times that the breaker opened
	LastError                 error
	LastErrorAt, LastSuccess  time.Time
	Latency                   time.Duration // moving average of successful dials
}

// Stats returns a snapshot.
func (d *Dialer) Stats() Stats {
	names := d.resolved.snapshot()
	var s Stats
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := NameStats{Name: name, Answer: names[name]}
		spares := d.stocked(name)
		for _, e := range names[name].Endpoints {
			stats := d.known(e.Addr).stats()
			if spares != nil {
				stats.Spares = spares.count(e.Addr)
			}
			n.Endpoints = append(n.Endpoints, stats)
		}
		if spares != nil {
			n.SpareHits, n.SpareMisses = spares.hits.Load(), spares.misses.Load()
		}
		s.Names = append(s.Names, n)
	}
	return s
}

// stocked returns the stock of name if it has one.
func (d *Dialer) stocked(name string) *stock {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stocks[name]
}

// known returns the state of addr without counting as its use.
func (d *Dialer) known(addr string) *endpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.endpoints[addr]; e != nil {
		return e
	}
	return &endpoint{addr: addr, breaker: newBreaker(d.cfg.Breaker)}
}

func (e *endpoint) stats() EndpointStats {
	e.settle(time.Now())
	state, next := e.breaker.snapshot()
	e.mu.Lock()
	defer e.mu.Unlock()
	return EndpointStats{
		Addr:        e.addr,
		State:       state,
		NextProbe:   next,
		Open:        int(e.open.Load()),
		Dials:       e.dials.Load(),
		Failures:    e.failures.Load(),
		Openings:    e.openings.Load(),
		LastError:   e.lastErr,
		LastErrorAt: e.lastErrAt,
		LastSuccess: e.lastSuccess,
		Latency:     e.latency,
	}
}

// Health says whether a dial would find an endpoint to try.
type Health struct {
	Ready     bool      // true also for a name that nobody has dialed yet
	NextProbe time.Time // of the endpoint that is probed first; zero if Ready
	Err       error     // of that endpoint's last failure; nil if Ready
}

// Health tells how address is, without dialing, and returns a channel that is closed when that may have changed. The
// channel is never nil.
func (d *Dialer) Health(address string) (Health, <-chan struct{}) {
	changed := d.changed.wait()
	answer := d.resolved.answer(address)
	if len(answer.Endpoints) == 0 {
		return Health{Ready: true}, changed
	}
	var h Health
	now := time.Now()
	for _, o := range answer.Endpoints {
		e := d.known(o.Addr)
		e.touch(now) // who asks wants it to be probed on
		s := e.stats()
		if s.State == Closed {
			return Health{Ready: true}, changed
		}
		if h.NextProbe.IsZero() || s.NextProbe.Before(h.NextProbe) {
			h.NextProbe, h.Err = s.NextProbe, s.LastError
		}
	}
	return h, changed
}
