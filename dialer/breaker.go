package dialer

import (
	"math/rand/v2"
	"sync"
	"time"
)

// BreakerState says whether an endpoint is dialed.
type BreakerState int

// The states of a breaker.
const (
	Closed  BreakerState = iota // dials go through
	Open                        // nobody dials; a probe is due at NextProbe
	Probing                     // the probe is under way
)

func (s BreakerState) String() string {
	return [...]string{"closed", "open", "probing"}[s]
}

// failureKind is how an endpoint failed, which sets the pace of its probes.
type failureKind int

const (
	fastFailure     failureKind = iota // refused, reset, unreachable: the host answers, and will when the server is back
	silentFailure                      // no answer in time
	acceptThenClose                    // connected and closed at once: a forwarder in front of a dead server
)

const (
	// coalesce is within which failures count once: one restart that five parallel dials see is one event.
	coalesce = 50 * time.Millisecond

	// flapping is within which of its closing a breaker that opens again keeps the pace that it had.
	flapping = 10 * time.Second

	// Pace of the probes after silence: 0.5–1.5 times 1 s, doubling to 5 s.
	silentPace    = time.Second
	maxSilentPace = 5 * time.Second
)

// breaker decides whether one endpoint is dialed. It is told of dials by their generation, which changes whenever it
// opens or closes: a result that began before counts no more.
type breaker struct {
	cfg BreakerConfig // with defaults; Failures < 0 never opens

	mu         sync.Mutex // guards the fields below; nothing is called under it
	state      BreakerState
	generation uint64
	row        int       // failures in a row
	counted    time.Time // when the last failure counted
	results    window
	hold       bool          // while open, it was seen to accept and close
	pace       time.Duration // of the next probe after silence
	nextProbe  time.Time
	closedAt   time.Time
}

func newBreaker(cfg BreakerConfig) *breaker {
	return &breaker{cfg: cfg, results: window{size: cfg.Window}}
}

// allow reports whether a dial may begin, and its generation.
func (b *breaker) allow() (generation uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.generation, b.state == Closed
}

// succeeded ends a row of failures.
func (b *breaker) succeeded(generation uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if generation != b.generation || b.state != Closed {
		return
	}
	b.row = 0
	b.results.add(now, false)
}

// failed counts a failure and reports whether the breaker opened by it.
func (b *breaker) failed(generation uint64, kind failureKind, now time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if generation != b.generation || b.state != Closed || b.cfg.Failures < 0 {
		return false
	}
	if !b.counted.IsZero() && now.Sub(b.counted) < coalesce {
		return false
	}
	b.counted = now
	b.row++
	b.results.add(now, true)
	total, failures := b.results.count(now)
	if b.row < b.cfg.Failures && (total < b.cfg.MinDials || float64(failures) < b.cfg.Ratio*float64(total)) {
		return false
	}
	if now.Sub(b.closedAt) > flapping {
		b.pace = 0
	}
	b.generation++
	b.openLocked(kind, now)
	return true
}

func (b *breaker) openLocked(kind failureKind, now time.Time) {
	b.state = Open
	b.hold = b.hold || kind == acceptThenClose
	if kind == silentFailure {
		b.pace = min(max(2*b.pace, silentPace), maxSilentPace)
		b.nextProbe = now.Add(b.pace/2 + rand.N(b.pace))
		return
	}
	b.nextProbe = now.Add(b.cfg.ProbeMin + rand.N(max(b.cfg.ProbeMax-b.cfg.ProbeMin, 1)))
}

// probe takes the breaker from open to probing, and says whether a connection has to be held before it counts.
func (b *breaker) probe() (hold, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != Open {
		return false, false
	}
	b.state = Probing
	return b.hold, true
}

// probed takes the probe's verdict: closed again, or open until the next probe.
func (b *breaker) probed(ok bool, kind failureKind, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != Probing {
		return
	}
	if !ok {
		b.openLocked(kind, now)
		return
	}
	b.state = Closed
	b.generation++
	b.row, b.counted, b.closedAt, b.hold = 0, time.Time{}, now, false
	b.results.clear()
}

// snapshot returns the state and, unless it is closed, when the next probe is due.
func (b *breaker) snapshot() (state BreakerState, nextProbe time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == Closed {
		return Closed, time.Time{}
	}
	return b.state, b.nextProbe
}

// window counts the dials of the last size, in ten buckets.
type window struct {
	size    time.Duration
	buckets [windowBuckets]bucket
}

const windowBuckets = 10

type bucket struct {
	index           int64 // which tenth of a window since the epoch
	total, failures int
}

func (w *window) add(now time.Time, failure bool) {
	index := w.index(now)
	b := &w.buckets[index%windowBuckets]
	if b.index > index {
		return // a late result, of a window that is over
	}
	if b.index != index {
		*b = bucket{index: index}
	}
	b.total++
	if failure {
		b.failures++
	}
}

func (w *window) count(now time.Time) (total, failures int) {
	index := w.index(now)
	for _, b := range w.buckets {
		if b.index > index-windowBuckets {
			total += b.total
			failures += b.failures
		}
	}
	return total, failures
}

func (w *window) clear() { w.buckets = [windowBuckets]bucket{} }

func (w *window) index(now time.Time) int64 {
	return now.UnixNano() / max(int64(w.size/windowBuckets), 1)
}
