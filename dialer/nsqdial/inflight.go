package nsqdial

import (
	"errors"
	"slices"
	"sync"

	"github.com/nsqio/go-nsq"
)

// account knows which messages are out, on which connection, and how many each connection may have. It sends and
// handles nothing by itself: it tells its callers what to do, and tells sessions how many messages to ask for.
type account struct {
	mu       sync.Mutex // guards the fields below, and those of sessions and deliveries that say so
	max      int        // messages in flight that are asked for; 0 = paused
	turn     int        // which session comes first where they can't have equal shares
	stopping bool
	sessions []*session // which get a share
	open     map[messageKey]*delivery
	parked   []*delivery // of open; for when a handler returns
	done     recent      // finished here
}

func newAccount(limit int) *account {
	return &account{max: limit, open: map[messageKey]*delivery{}}
}

// messageKey tells messages apart. nsqd's id alone may be the same at two nsqds on one host.
type messageKey struct {
	id        nsq.MessageID
	timestamp int64
}

// seat is what the account keeps of a session; guarded by account.mu.
type seat struct {
	joined bool
	held   int           // messages that are not answered
	excess int           // messages beyond what was asked for: see arrive
	most   int           // the largest number that was asked for
	idle   chan struct{} // closed and nil when held becomes 0; nil if nobody waits
}

// step is what to do with a message that arrived.
type step int

const (
	handle      step = iota
	nothing          // a handler works on it already, and will answer it
	finishAgain      // it was finished before, and nsqd does not know
	giveBack         // there is no room
)

var errFlood = errors.New("not an nsqd: it sends more messages than it was asked for")

// arrive takes in a message that nsqd sent.
//
// nsqd sends a message again when its connection was lost, or its time ran out. If a handler of this process still
// works on it, it is not handled a second time: it now belongs to the connection that it came on, where it is touched
// and answered from now on. If a handler has finished it, and only the answer was lost, it is finished again.
//
// A message beyond the limit arrives when the limit has just shrunk, or when nsqd has taken back one that is still
// counted here. It goes back, for another consumer to take at once, and the session asks for one less for a while, lest
// nsqd sends it again and again. One that arrives while a handler that has answered is about to return waits for that.
func (a *account) arrive(s *session, m *nsq.Message) (*delivery, step, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.shareLocked()
	key := messageKey{m.ID, m.Timestamp}
	d := &delivery{account: a, message: m, key: key}
	m.Delegate = d
	earlier := a.open[key]
	if earlier != nil && !earlier.answered && (earlier.handled || earlier.parked) {
		earlier.holdLocked(s)
		return nil, nothing, nil
	}
	d.holdLocked(s)
	switch {
	case s.held > 2*s.most+100:
		return d, giveBack, errFlood
	case a.done.has(key):
		return d, finishAgain, nil
	case !a.takesLocked(s) || a.unansweredLocked() >= a.max && earlier == nil:
		s.excess++
		return d, giveBack, nil
	case earlier != nil && earlier.handled: // it has put the message back by itself, and runs on
		if earlier.next != nil {
			earlier.next.releaseLocked()
		}
		earlier.next = d
		return nil, nothing, nil
	case earlier != nil:
		earlier.releaseLocked() // nobody works on it
	}
	a.open[key] = d
	if a.handlersLocked() >= a.max {
		d.parked = true
		a.parked = append(a.parked, d)
		return nil, nothing, nil
	}
	d.handled = true
	return d, handle, nil
}

// takesLocked reports whether anything new may come from s.
func (a *account) takesLocked(s *session) bool { return s.joined && !a.stopping && a.max > 0 }

func (a *account) unansweredLocked() (n int) {
	for _, d := range a.open {
		if !d.answered {
			n++
		}
	}
	return n
}

func (a *account) handlersLocked() (n int) {
	for _, d := range a.open {
		if d.handled {
			n++
		}
	}
	return n
}

// returned ends the handling of d, and says what the handler's goroutine does next, if anything: the same message came
// again meanwhile and is to be handled now, or another one that was parked.
func (a *account) returned(d *delivery) (next *delivery, todo step) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.shareLocked()
	d.handled = false
	d.forgetLocked()
	next, d.next = d.next, nil
	switch {
	case next == nil:
		return a.unparkLocked()
	case !next.session.joined:
		next.releaseLocked() // nsqd takes it back when its time is up
		return a.unparkLocked()
	}
	next.handled = true
	a.open[d.key] = next
	return next, handle
}

func (a *account) unparkLocked() (d *delivery, todo step) {
	for len(a.parked) > 0 {
		d, a.parked = a.parked[0], a.parked[1:]
		if a.open[d.key] != d { // its connection was lost
			continue
		}
		todo = giveBack
		if a.takesLocked(d.session) && a.handlersLocked() < a.max {
			todo = handle
		}
		d.parked, d.handled = false, true
		return d, todo
	}
	return nil, nothing
}

// answering says which session d's answer goes to. The caller must call answered when it is sent.
func (a *account) answering(d *delivery, finished bool) *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	d.answered = true
	if finished {
		a.done.add(d.key)
	}
	return d.session
}

func (a *account) answered(d *delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d.releaseLocked()
	d.forgetLocked()
	a.shareLocked()
}

// task is a delivery, and what a goroutine of its own is to do with it: handle or giveBack.
type task struct {
	d    *delivery
	todo step
}

// setMax changes the limit, and returns what was parked and has to wait no longer.
func (a *account) setMax(n int) []task {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.shareLocked()
	a.max = n
	return a.unparkAllLocked()
}

// stop lets nothing new be taken, and returns what was parked.
func (a *account) stop() []task {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.shareLocked()
	a.stopping = true
	return a.unparkAllLocked()
}

func (a *account) unparkAllLocked() (tasks []task) {
	for a.stopping || a.max == 0 || a.handlersLocked() < a.max {
		d, todo := a.unparkLocked()
		if d == nil {
			break
		}
		tasks = append(tasks, task{d, todo})
	}
	return tasks
}

// join gives a fresh session its share of the messages.
func (a *account) join(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.joined {
		return
	}
	s.joined = true
	a.sessions = append(a.sessions, s)
	a.shareLocked()
}

// leave takes the share back, less what handlers still hold. What they hold can be answered until close.
func (a *account) leave(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.joined = false
	s.setReady(0)
	a.sessions = slices.DeleteFunc(a.sessions, func(o *session) bool { return o == s })
	a.shareLocked()
}

// close forgets the messages of a session that has ended, apart from those that handlers still work on.
func (a *account) close(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, d := range a.open {
		if d.session == s && !d.handled {
			delete(a.open, key)
		}
	}
	a.shareLocked()
}

// nextTurn lets another session come first, and forgets what was in excess.
func (a *account) nextTurn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn++
	for _, s := range a.sessions {
		s.excess = 0
	}
	a.shareLocked()
}

// shareLocked divides max among the sessions, so that never more than max messages are in flight: those that handlers
// of lost sessions hold count, and a session gets more only when another one's are answered.
func (a *account) shareLocked() {
	n := len(a.sessions)
	if n == 0 {
		return
	}
	free := a.max
	if a.stopping {
		free = 0
	}
	for _, d := range a.open {
		if d.answered || !d.session.joined {
			free--
		}
	}
	free = max(free, 0)
	spare := free
	for _, s := range a.sessions {
		spare -= s.held
	}
	for i := range n {
		s := a.sessions[(a.turn+i)%n]
		part := free / n
		if i < free%n {
			part++
		}
		more := min(max(part-s.held, 0), max(spare, 0))
		spare -= more
		ready := max(min(part, s.held+more)-s.excess, 0)
		s.most = max(s.most, ready)
		s.setReady(ready) // only notes it: the session's writer sends it
	}
}

// count returns how many sessions have a share, and how many messages are being handled or wait for their answer.
func (a *account) count() (sessions, messages int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.sessions), len(a.open)
}

// working returns how many messages handlers work on that are not answered.
func (a *account) working() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.open {
		if d.handled && !d.answered {
			n++
		}
	}
	return n
}

// connected returns the addresses of the sessions that have a share.
func (a *account) connected() map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := map[string]bool{}
	for _, s := range a.sessions {
		names[s.name] = true
	}
	return names
}

// unanswered returns the messages that nsqd waits for on s.
func (a *account) unanswered(s *session) (messages []*nsq.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.open {
		if d.session == s && !d.answered {
			messages = append(messages, d.message)
		}
	}
	return messages
}

// drained is closed when every message of s is answered.
func (a *account) drained(s *session) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.held == 0 {
		empty := make(chan struct{})
		close(empty)
		return empty
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	return s.idle
}

// recent remembers the last keys that were added to it.
type recent struct {
	keys []messageKey // a ring once it is full
	next int
	set  map[messageKey]struct{}
}

// maxRecent is more than what is finished within nsqd's message time-out, after which a message comes again whose answer was
// lost, as long as that is less than 68 a second (4096 in 60 s).
const maxRecent = 4096

func (r *recent) has(key messageKey) bool {
	_, ok := r.set[key]
	return ok
}

func (r *recent) add(key messageKey) {
	if r.has(key) {
		return
	}
	if r.set == nil {
		r.set = map[messageKey]struct{}{}
	}
	r.set[key] = struct{}{}
	if len(r.keys) < maxRecent {
		r.keys = append(r.keys, key)
		return
	}
	delete(r.set, r.keys[r.next])
	r.keys[r.next] = key
	r.next = (r.next + 1) % maxRecent
}
