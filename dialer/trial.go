package dialer

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// probation is how long a connection may take to prove itself: a forwarder in front of a dead server accepts, and
// closes as soon as it has failed to reach the server.
const probation = time.Second

// trial is the probation of one connection. Its dial's success counts when the first byte is read, or when the
// connection is probation old. If its first Read returns EOF or a reset before that, it is a failure. A close by our
// side gives no verdict.
type trial struct {
	generation uint64
	began      time.Time
	decided    atomic.Bool
}

// trials are those of one endpoint, oldest first.
type trials struct {
	mu    sync.Mutex // guards queue
	queue []*trial
}

func (ts *trials) begin(t *trial) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.queue = append(ts.queue, t)
}

// settle counts the connections that have grown old enough without anybody reading.
func (e *endpoint) settle(now time.Time) {
	for _, t := range e.trials.passed(now) {
		e.proved(t.generation, t.began.Add(probation))
	}
}

// passed decides what is old enough.
func (ts *trials) passed(now time.Time) (passed []*trial) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	over := 0
	for _, t := range ts.queue {
		if !t.decided.Load() && now.Sub(t.began) < probation {
			break
		}
		if t.decided.CompareAndSwap(false, true) {
			passed = append(passed, t)
		}
		over++
	}
	ts.queue = slices.Delete(ts.queue, 0, over) // keeps the array, which append would make anew for each dial
	return passed
}

// proved counts a success.
func (e *endpoint) proved(generation uint64, at time.Time) {
	e.breaker.succeeded(generation, at)
	e.noteSuccess(at)
}

// firstRead takes what the first Read returned.
func (d *Dialer) firstRead(e *endpoint, t *trial, n int, err error) {
	now := time.Now()
	if n == 0 && err == nil {
		return // an empty buffer
	}
	closed := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	switch {
	case n == 0 && err != nil && !closed && now.Sub(t.began) < probation:
		return // a deadline, or our own close: the next Read may tell
	case !t.decided.CompareAndSwap(false, true):
	case n == 0 && closed && now.Sub(t.began) < probation:
		e.failures.Add(1)
		e.noteError(errAcceptThenClose, now)
		d.fail(e, t.generation, acceptThenClose, now)
	default:
		e.proved(t.generation, now)
	}
}

// abandoned takes a close by our side.
func (e *endpoint) abandoned(t *trial) {
	if now := time.Now(); t.decided.CompareAndSwap(false, true) && now.Sub(t.began) >= probation {
		e.proved(t.generation, now)
	}
}

var errAcceptThenClose = errors.New("accepted and closed at once: a forwarder seems to stand in front of a dead server")
