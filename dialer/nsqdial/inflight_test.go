package nsqdial

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nsqio/go-nsq"
)

// ledger tests an account without a network: its sessions only note what they are told.
type ledger struct {
	*account
	t *testing.T
}

func newLedger(t *testing.T, limit int) *ledger { return &ledger{newAccount(limit), t} }

func (l *ledger) session() *session {
	s := &session{maxRDY: 2500, readyChanged: make(chan struct{}, 1)}
	l.join(s)
	return s
}

func message(n int) *nsq.Message {
	var id nsq.MessageID
	copy(id[:], fmt.Sprintf("%016d", n))
	return &nsq.Message{ID: id, Timestamp: int64(n)}
}

func (l *ledger) wantArrive(s *session, n int, want step) *delivery {
	l.t.Helper()
	d, got, err := l.arrive(s, message(n))
	if got != want || err != nil {
		l.t.Fatalf("message %d: step %d, %v, want %d", n, got, err, want)
	}
	return d
}

func (l *ledger) wantReady(want ...int) {
	l.t.Helper()
	for i, s := range l.sessions {
		if got := int(s.ready.Load()); got != want[i] {
			l.t.Errorf("session %d asks for %d messages, want %d", i, got, want[i])
		}
	}
}

func (l *ledger) answer(d *delivery, finished bool) *session {
	s := l.answering(d, finished)
	l.answered(d)
	return s
}

// finish is what becomes of a message whose handler returns nil.
func (l *ledger) finish(d *delivery) *session {
	s := l.answer(d, true)
	if next, _ := l.returned(d); next != nil {
		l.t.Error("a finished message is handled again")
	}
	return s
}

func TestTheLimitIsSharedAndNeverExceeded(t *testing.T) {
	l := newLedger(t, 5)
	a := l.session()
	l.wantReady(5)
	b := l.session()
	l.wantReady(3, 2)
	l.session()
	l.wantReady(2, 2, 1)
	l.wantArrive(a, 1, handle)
	l.wantArrive(a, 2, handle)
	l.leave(a) // lost; its handlers still run
	l.wantReady(2, 1)
	l.setMax(2)
	l.wantReady(0, 0)
	l.setMax(3)
	l.wantReady(1, 0)
	l.nextTurn()
	l.wantReady(0, 1)
	l.nextTurn()
	l.wantArrive(b, 3, handle)
	l.nextTurn()
	l.wantReady(0, 0) // not before b's message is answered
	l.setMax(0)
	l.wantReady(0, 0)
	l.stop()
	l.setMax(9)
	l.wantReady(0, 0)
}

func TestAMessageBeyondTheLimitGoesBackAndIsNotAskedForAgain(t *testing.T) {
	l := newLedger(t, 1)
	s := l.session()
	d := l.wantArrive(s, 1, handle)
	// nsqd has taken back message 1, whose time is over, and believes that there is room.
	back := l.wantArrive(s, 2, giveBack)
	l.wantReady(0)
	l.answer(back, false)
	l.wantReady(0)
	l.finish(d)
	l.wantReady(1)
	if _, n := l.count(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestWhatArrivesInAPauseOrAtTheEndGoesBack(t *testing.T) {
	l := newLedger(t, 3)
	s := l.session()
	l.setMax(0)
	l.wantArrive(s, 1, giveBack)
	l.setMax(3)
	l.stop()
	l.wantArrive(s, 2, giveBack)
	l = newLedger(t, 3)
	s = l.session()
	l.leave(s)
	l.wantArrive(s, 3, giveBack)
}

func TestAMessageThatComesAgainIsAnsweredByTheHandlerThatWorksOnIt(t *testing.T) {
	l := newLedger(t, 2)
	lost := l.session()
	d := l.wantArrive(lost, 1, handle)
	l.leave(lost)
	l.close(lost)
	fresh := l.session()
	l.wantReady(1)
	l.wantArrive(fresh, 1, nothing)
	l.wantReady(2)
	if s := l.finish(d); s != fresh {
		t.Error("the answer goes to the lost connection")
	}
	l.wantReady(2)
	if _, n := l.count(); n != 0 || fresh.held != 0 {
		t.Errorf("%d messages are left, %d on the connection", n, fresh.held)
	}
}

func TestAMessageWhoseAnswerWasLostIsFinishedAgainWithoutAHandler(t *testing.T) {
	l := newLedger(t, 1)
	lost := l.session()
	d := l.wantArrive(lost, 1, handle)
	l.leave(lost)
	l.close(lost)
	l.finish(d)
	fresh := l.session()
	again := l.wantArrive(fresh, 1, finishAgain)
	l.answer(again, true)
	l.wantArrive(fresh, 2, handle)
}

func TestAnotherMessageOfTheSameIDIsHandled(t *testing.T) {
	l := newLedger(t, 2)
	s := l.session()
	l.wantArrive(s, 1, handle)
	m := message(1)
	m.Timestamp++ // of another nsqd on the same host
	if _, got, err := l.arrive(s, m); got != handle || err != nil {
		t.Errorf("step %d, %v", got, err)
	}
}

func TestAMessageThatIsPutBackByAHandlerThatRunsOnWaitsForItsEnd(t *testing.T) {
	l := newLedger(t, 2)
	s := l.session()
	d := l.wantArrive(s, 1, handle)
	l.answer(d, false) // and goes on
	l.wantReady(1)     // it still takes up a handler
	l.wantArrive(s, 1, nothing)
	l.wantArrive(s, 1, nothing)
	if s.held != 1 {
		t.Errorf("%d messages are held, want the last one", s.held)
	}
	next, todo := l.returned(d)
	if next == nil || todo != handle {
		t.Fatal("it is not handled")
	}
	l.finish(next)
	if _, n := l.count(); n != 0 || s.held != 0 {
		t.Errorf("%d messages are left, %d on the connection", n, s.held)
	}

	d = l.wantArrive(s, 2, handle)
	l.answer(d, false)
	l.wantArrive(s, 2, nothing)
	l.leave(s)
	if next, _ := l.returned(d); next != nil {
		t.Error("a message of a lost connection is handled")
	}
	if s.held != 0 {
		t.Errorf("%d messages are held", s.held)
	}
}

func TestAMessageWaitsForAHandlerThatHasAnsweredToReturn(t *testing.T) {
	for fate, want := range map[string]struct {
		todo   step
		change func(l *ledger, s *session)
	}{
		"and is handled then":                  {handle, func(*ledger, *session) {}},
		"and comes again meanwhile":            {handle, func(l *ledger, s *session) { l.wantArrive(s, 2, nothing) }},
		"and goes back when the service moves": {giveBack, func(l *ledger, s *session) { l.leave(s) }},
		"and is forgotten with its connection": {nothing, func(l *ledger, s *session) { l.leave(s); l.close(s) }},
		"and is given up meanwhile":            {nothing, func(l *ledger, _ *session) { l.answer(l.parked[0], false) }},
		"and comes again on another connection": {handle, func(l *ledger, s *session) {
			l.leave(s)
			l.close(s)
			l.wantArrive(l.session(), 2, nothing)
		}},
	} {
		t.Run(fate, func(t *testing.T) {
			l := newLedger(t, 1)
			s := l.session()
			first := l.wantArrive(s, 1, handle)
			l.answer(first, true) // and has not returned
			l.wantArrive(s, 2, nothing)
			l.answer(l.wantArrive(s, 3, giveBack), false) // that is beyond what was asked for
			want.change(l, s)
			next, todo := l.returned(first)
			if todo != want.todo || (next != nil) != (todo != nothing) {
				t.Fatalf("step %d with %v, want %d", todo, next, want.todo)
			}
			if next != nil {
				l.finish(next)
			}
			if _, n := l.count(); n != 0 {
				t.Errorf("%d messages are left", n)
			}
			for _, s := range l.sessions {
				if s.held != 0 {
					t.Errorf("%d messages are left on a connection", s.held)
				}
			}
		})
	}
}

func TestAChangedLimitDoesNotWaitForAHandlerToReturn(t *testing.T) {
	for name, c := range map[string]struct {
		want   step
		change func(l *ledger) []task
	}{
		"more":  {handle, func(l *ledger) []task { return l.setMax(2) }},
		"pause": {giveBack, func(l *ledger) []task { return l.setMax(0) }},
		"end":   {giveBack, func(l *ledger) []task { return l.stop() }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, 1)
			s := l.session()
			first := l.wantArrive(s, 1, handle)
			l.answer(first, true) // and runs on
			l.wantArrive(s, 2, nothing)
			tasks := c.change(l)
			if len(tasks) != 1 || tasks[0].todo != c.want {
				t.Fatalf("%v, want one message with step %d", tasks, c.want)
			}
			l.finish(tasks[0].d)
			l.returned(first)
			if _, n := l.count(); n != 0 || s.held != 0 {
				t.Errorf("%d messages are left, %d on the connection", n, s.held)
			}
		})
	}
}

func TestAMessageThatIsAnsweredLaterCountsUntilThen(t *testing.T) {
	l := newLedger(t, 1)
	s := l.session()
	d := l.wantArrive(s, 1, handle)
	if next, _ := l.returned(d); next != nil { // with automatic answers turned off
		t.Fatal("handled again")
	}
	l.wantArrive(s, 2, giveBack)
	l.setMax(0)
	l.answer(l.wantArrive(s, 1, giveBack), false)
	l.setMax(1)
	// Its time is over, and nobody is known to work on it.
	again := l.wantArrive(s, 1, handle)
	l.finish(again)
	l.answer(d, true) // too late, and without harm
	if s.held != 1 {  // message 2
		t.Errorf("%d messages are held", s.held)
	}
}

func TestASessionIsDrainedWhenItsLastMessageIsAnswered(t *testing.T) {
	l := newLedger(t, 2)
	s := l.session()
	one, two := l.wantArrive(s, 1, handle), l.wantArrive(s, 2, handle)
	l.leave(s)
	drained := l.drained(s)
	l.finish(one)
	if closed(drained) {
		t.Error("drained with a message that is not answered")
	}
	if got := l.unanswered(s); len(got) != 1 || got[0] != two.message {
		t.Errorf("unanswered: %v", got)
	}
	l.finish(two)
	if !closed(drained) || !closed(l.drained(s)) {
		t.Error("not drained")
	}
}

func TestAServerThatFloodsIsCutOff(t *testing.T) {
	l := newLedger(t, 2)
	s := l.session()
	for n := range 1000 {
		if _, _, err := l.arrive(s, message(n)); err != nil {
			if !errors.Is(err, errFlood) || n < 2 {
				t.Errorf("after %d messages: %v", n, err)
			}
			return
		}
	}
	t.Error("a thousand messages were taken where two were asked for")
}

func TestAServerThatRepeatsAFinishedMessageIsCutOff(t *testing.T) {
	l := newLedger(t, 2)
	s := l.session()
	l.finish(l.wantArrive(s, 1, handle))
	for range 1000 {
		if _, _, err := l.arrive(s, message(1)); err != nil {
			if !errors.Is(err, errFlood) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("a finished message was taken a thousand times over")
}

func TestOnlyRecentAnswersAreRemembered(t *testing.T) {
	var r recent
	for n := range 3 * maxRecent {
		r.add(messageKey{timestamp: int64(n)})
		r.add(messageKey{timestamp: int64(n)})
	}
	if len(r.set) != maxRecent || len(r.keys) != maxRecent {
		t.Errorf("%d are remembered, want %d", len(r.set), maxRecent)
	}
	for n, want := range map[int64]bool{0: false, 2*maxRecent - 1: false, 2 * maxRecent: true, 3*maxRecent - 1: true} {
		if r.has(messageKey{timestamp: n}) != want {
			t.Errorf("%d: want %t", n, want)
		}
	}
}
