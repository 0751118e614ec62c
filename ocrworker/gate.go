package ocrworker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// gate stands before a dependency, MongoDB or a source of files, and lets operations through as long as it answers.
//
// It closes at the first operation, or ping, that fails for an outage. While it is closed the dependency is asked for nothing but
// a sign of life. When that comes, one operation is tried; if it is answered too, the gate is open. From then on limit
// grows from one by one with each answer, so that it doubles with each round of operations.
//
// An operation belongs to the generation in which it was let through. What is heard of it after the gate has closed or
// has let a trial through says nothing about the dependency any more.
type gate struct {
	name      string                                       // "MongoDB"
	stops     string                                       // what its closing means, for the log: "intake is paused"
	resumes   string                                       // "intake goes on"
	most      int                                          // limit of a gate that is open for long
	isOutage  func(error) bool                             // whether an operation's error is one of the dependency
	ping      func(context.Context) error                  // asks for a sign of life, in watch; nil: the trial is the ping
	reachable func() (ready bool, changed <-chan struct{}) // a hint from whoever dials; nil: none
	logger    *slog.Logger

	mu         sync.Mutex // guards the fields below; nothing is asked, waited for or logged under it
	state      gateState
	generation uint64
	trying     bool          // the trial's operation is under way
	allowed    int           // limit while it is open
	answers    uint64        // signs of life
	heard      time.Time     // when the last one came
	reason     error         // why it closed
	closedAt   time.Time     // zero while no closing is logged
	due        time.Time     // closed: of the next ping; trial: when it is over if nothing is asked
	changed    chan struct{} // closed when one of these changes, but for answers and heard
}

type gateState int

const (
	gateOpen gateState = iota
	gateClosed
	gateTrial // there was a sign of life: one operation may go through
)

const (
	pingTimeout = 2 * time.Second

	// The time between pings is random, so that a fleet is not in step when MongoDB comes back.
	pingSoonest, pingLatest = 100 * time.Millisecond, time.Second

	// An open gate that has heard nothing for so long asks for a sign of life: a page may take minutes, and an operation that
	// gets no answer 10 s. As long as nothing but silence speaks against the dependency the answer is waited for longer.
	quietSoonest, quietLatest = 4 * time.Second, 6 * time.Second
	quietTimeout              = 5 * time.Second

	// trialPatience is how long the first operation after a sign of life may be in coming: then there is nothing to do, and
	// the sign has to do.
	trialPatience = time.Second
)

func between(soonest, latest time.Duration) time.Duration { return soonest + rand.N(latest-soonest) }

func pingPace() time.Duration { return between(pingSoonest, pingLatest) }

// newGate returns a gate that is open. The caller sets what is optional before it is used.
func newGate(name string, most int, isOutage func(error) bool, logger *slog.Logger) *gate {
	return &gate{
		name: name, stops: "tasks that need it wait", resumes: "they go on",
		most: most, allowed: most, isOutage: isOutage, logger: logger, heard: time.Now(), changed: make(chan struct{}),
	}
}

// errAway says that an operation was not let through.
type errAway struct {
	name   string
	reason error
}

func (e *errAway) Error() string { return fmt.Sprintf("%s is away: %v", e.name, e.reason) }
func (e *errAway) Unwrap() error { return e.reason }

// try runs an operation if the gate lets it through now, and learns from its error. Otherwise the error is an *errAway.
func (g *gate) try(ctx context.Context, operation func(context.Context) error) (tried bool, err error) {
	generation, ok := g.admit()
	if !ok {
		return false, g.awayError()
	}
	telling := false // unless it returns: it may panic
	defer func() { g.ended(generation, telling, err) }()
	err = operation(ctx)
	telling = err == nil || ctx.Err() == nil // one that was cancelled says nothing
	return true, err
}

func (g *gate) admit() (generation uint64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == gateClosed && g.ping == nil && !time.Now().Before(g.due) {
		g.trialLocked(time.Now())
	}
	switch {
	case g.state == gateOpen:
		return g.generation, true
	case g.state == gateTrial && !g.trying:
		g.trying = true
		return g.generation, true
	}
	return 0, false
}

// await returns when an operation may go through, or with an *errAway when ctx ends.
func (g *gate) await(ctx context.Context) error {
	for {
		g.mu.Lock()
		changed := g.changed
		free := g.state == gateOpen || g.state == gateTrial && !g.trying
		var due <-chan time.Time
		if g.state == gateClosed && g.ping == nil {
			wait := time.Until(g.due)
			free = wait <= 0
			due = time.After(wait)
		}
		g.mu.Unlock()
		if free {
			return nil
		}
		select {
		case <-changed:
		case <-due:
		case <-ctx.Done():
			return g.awayError()
		}
	}
}

func (g *gate) awayError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &errAway{g.name, g.reason}
}

// away returns why the gate is closed, as an *errAway, or nil if it lets operations through.
func (g *gate) away() error {
	g.mu.Lock()
	closed := g.state == gateClosed
	g.mu.Unlock()
	if !closed {
		return nil
	}
	return g.awayError()
}

// ended takes the end of an operation. One that is not telling leaves the gate as it is.
func (g *gate) ended(generation uint64, telling bool, err error) {
	now := time.Now()
	g.mu.Lock()
	var say func()
	switch {
	case generation != g.generation:
	case !telling:
		g.trying = false
		g.changeLocked()
	case err != nil && g.isOutage(err):
		say = g.closeLocked(now, err)
	default:
		g.heardLocked(now)
		if g.state == gateTrial {
			say = g.openLocked(now, 1)
		}
		if g.allowed < g.most {
			g.allowed++
			g.changeLocked()
		}
	}
	g.mu.Unlock()
	if say != nil {
		say()
	}
}

// closeLocked returns what has to be logged after the lock is given back: nothing if the outage has not ended since it
// was logged last.
func (g *gate) closeLocked(now time.Time, err error) (say func()) {
	g.state, g.reason, g.due = gateClosed, err, now.Add(pingPace())
	g.generation++
	g.changeLocked()
	if !g.closedAt.IsZero() {
		return nil
	}
	g.closedAt = now
	return func() { g.logger.Warn(g.name+" is away: "+g.stops, "error", err) }
}

func (g *gate) openLocked(now time.Time, allowed int) (say func()) {
	g.state, g.trying, g.allowed = gateOpen, false, allowed
	g.changeLocked()
	if g.closedAt.IsZero() {
		return nil
	}
	away := now.Sub(g.closedAt)
	g.closedAt = time.Time{}
	return func() { g.logger.Info(g.name+" is back: "+g.resumes, "after", away.Round(time.Millisecond)) }
}

func (g *gate) trialLocked(now time.Time) {
	g.state, g.trying, g.due = gateTrial, false, now.Add(trialPatience)
	g.generation++
	g.changeLocked()
}

func (g *gate) heardLocked(now time.Time) {
	g.answers++
	g.heard = now
}

func (g *gate) changeLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// limit returns how many operations there should be room for now, and a channel that is closed when that may have
// changed.
func (g *gate) limit() (n int, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case gateOpen:
		n = g.allowed
	case gateTrial:
		n = 1
	}
	return n, g.changed
}

// startClosed closes a gate that is new, until the first ping: nothing is known yet of what is behind it.
func (g *gate) startClosed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state, g.allowed, g.reason, g.due = gateClosed, 0, errNotAsked, time.Now()
	g.changeLocked()
}

var errNotAsked = errors.New("it was not asked yet")

// watch pings while the gate is closed, while whoever dials says that nothing can be reached, and when nothing was heard
// for long, until ctx ends.
func (g *gate) watch(ctx context.Context) {
	wasReady := true
	for ctx.Err() == nil {
		ready, hint := g.hint()
		g.mu.Lock()
		state, generation, answers, due, changed := g.state, g.generation, g.answers, g.due, g.changed
		heard, trying := g.heard, g.trying
		timeout := pingTimeout
		if g.closedAt.IsZero() && ready {
			timeout = quietTimeout
		}
		g.mu.Unlock()
		switch {
		case state == gateOpen && ready:
			due = heard.Add(between(quietSoonest, quietLatest))
		case state == gateOpen:
			due = time.Now().Add(pingPace())
		case state == gateClosed && ready && !wasReady:
			due = time.Now()
		case state == gateTrial && trying:
			due = time.Time{} // its operation decides
		}
		wasReady = ready
		switch {
		case !sleep(ctx, due, changed, hint): // something else is due
		case state == gateTrial:
			g.endTrial(generation)
		case state == gateOpen && ready && g.hasAnsweredSince(answers):
		default:
			g.pingOnce(ctx, generation, timeout)
		}
	}
}

func (g *gate) hasAnsweredSince(answers uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.answers != answers
}

func (g *gate) hint() (ready bool, changed <-chan struct{}) {
	if g.reachable == nil {
		return true, nil
	}
	return g.reachable()
}

// sleep reports whether due has come, before ctx ended or something changed. Zero is never due.
func sleep(ctx context.Context, due time.Time, changed, hint <-chan struct{}) bool {
	var timer <-chan time.Time
	if !due.IsZero() {
		timer = time.After(time.Until(due))
	}
	select {
	case <-timer:
		return true
	case <-changed:
	case <-hint:
	case <-ctx.Done():
	}
	return false
}

func (g *gate) pingOnce(ctx context.Context, generation uint64, timeout time.Duration) {
	pinging, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := g.ping(pinging)
	if ctx.Err() != nil {
		return
	}
	if say := g.pinged(generation, err); say != nil {
		say()
	}
}

func (g *gate) pinged(generation uint64, err error) (say func()) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case generation != g.generation: // it closed meanwhile, or opened
	case err != nil:
		return g.closeLocked(now, err)
	case g.state == gateClosed && g.closedAt.IsZero(): // the first one
		g.heardLocked(now)
		return g.openLocked(now, g.most)
	case g.state == gateClosed:
		g.heardLocked(now)
		g.trialLocked(now)
	default:
		g.heardLocked(now)
	}
	return nil
}

// endTrial opens the gate on its sign of life alone.
func (g *gate) endTrial(generation uint64) {
	g.mu.Lock()
	var say func()
	if g.state == gateTrial && !g.trying && generation == g.generation {
		say = g.openLocked(time.Now(), 1)
	}
	g.mu.Unlock()
	if say != nil {
		say()
	}
}

// strikes counts the failures of one operation between which the dependency gave signs of life: then it may be the
// operation's own.
type strikes struct {
	answers uint64
	failed  bool
	n       int
}

func (s *strikes) add(g *gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.failed && g.answers != s.answers {
		s.n++
	}
	s.failed, s.answers = true, g.answers
	return s.n
}
