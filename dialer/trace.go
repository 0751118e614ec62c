package dialer

import (
	"time"

	"github.com/gvpocr/worker/resolve"
)

// Trace is told what a Dialer does. Each function is optional; it is called outside of locks, from several goroutines at
// a time, and holds up what it is told of.
type Trace struct {
	// Resolved: a dial asked for name.
	Resolved func(name string, a resolve.Answer, err error)

	// Attempted: a dial of name tried an endpoint. Attempts that another one of the same dial beat are told when they
	// end.
	Attempted func(name string, a Attempt)

	// Dialed: a dial ended, with a connection to addr or with an error.
	Dialed func(name, addr string, spare bool, elapsed time.Duration, err error)

	// Breaker: an endpoint's breaker changed.
	Breaker func(addr string, from, to BreakerState)

	// Closed: a connection that was handed out was closed.
	Closed func(name, addr string, age time.Duration, reason string)
}

func (t *Trace) resolved(name string, a resolve.Answer, err error) {
	if t.Resolved != nil {
		t.Resolved(name, a, err)
	}
}

func (t *Trace) attempted(name string, a Attempt) {
	if t.Attempted != nil {
		t.Attempted(name, a)
	}
}

func (t *Trace) dialed(name, addr string, spare bool, began time.Time, err error) {
	if t.Dialed != nil {
		t.Dialed(name, addr, spare, time.Since(began), err)
	}
}

func (t *Trace) breaker(addr string, from, to BreakerState) {
	if t.Breaker != nil && from != to {
		t.Breaker(addr, from, to)
	}
}

func (t *Trace) closed(name, addr string, began time.Time, reason string) {
	if t.Closed != nil {
		t.Closed(name, addr, time.Since(began), reason)
	}
}
