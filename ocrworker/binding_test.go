package ocrworker

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/gvpocr/worker/ocrworker/jobs"
)

// move is a Worker whose MongoDB is at places where nobody listens. Nothing moves by itself.
type move struct {
	*testing.T
	*Worker
}

func newMove(t *testing.T) *move {
	m := &move{t, &Worker{logger: slog.New(slog.DiscardHandler)}}
	m.work, m.stopWork = context.WithCancel(t.Context())
	m.jobs = m.open()
	t.Cleanup(func() {
		m.stopWork()
		m.flow.Wait()
		m.closeDocuments(m.jobs)
	})
	return m
}

func (m *move) open() *documents {
	m.Helper()
	store, err := jobs.Open(jobs.Config{URI: "mongodb://127.0.0.1:1/gvpocr"})
	if err != nil {
		m.Fatal(err)
	}
	return &documents{Store: store, closed: make(chan struct{})}
}

func (m *move) connect(beside any) (*binding, func()) {
	b, ended := m.bind(m.Context(), "nsqd:4150", beside)
	return b.(*binding), ended
}

func (m *move) to(next *documents) {
	m.Helper()
	if !m.succeed(m.jobs, next) {
		m.Fatal("the documents are not those of the new place")
	}
}

// wantAsked checks where the job of a task is looked for, in order.
func (m *move) wantAsked(when string, b *binding, want ...*documents) {
	m.Helper()
	var asked []*documents
	d := &delivery{binding: b}
	if err := m.inDocuments(d, func(docs *documents) error {
		asked = append(asked, docs)
		return fail(noJob, errNoJob(d))
	}); !isNoJob(err) {
		m.Errorf("%s: %v", when, err)
	}
	if !slices.Equal(asked, want) {
		m.Errorf("%s: %d documents are asked, want %d, or in another order", when, len(asked), len(want))
	}
}

func (m *move) wantClosed(when string, docs *documents, want bool) {
	m.Helper()
	select {
	case <-docs.closed:
		if !want {
			m.Errorf("%s: closed", when)
		}
	default:
		if want {
			m.Errorf("%s: not closed", when)
		}
	}
}

func TestATaskBelongsToTheMainServerThatItCameFrom(t *testing.T) {
	m := newMove(t)
	old, next := m.jobs, m.open()
	before, ended := m.connect(nil)
	m.to(next)
	after, endedAfter := m.connect(before)
	defer endedAfter()
	m.wantAsked("from the nsqd that was left", before, old, next)
	m.wantAsked("from the new nsqd", after, next, old)
	m.wantAsked("of a connection that is lost", nil, next, old)
	ended()
	again, endedAgain := m.connect(nil) // it was cut, and the nsqd has not left yet
	m.wantAsked("from the nsqd that was left, connected to again", again, next, old)
	endedAgain()
	m.wantClosed("while it is the former", old, false)
	m.forget(old)
	m.wantAsked("after its time", after, next)
	m.wantClosed("when nobody uses it any more", old, true)
	m.wantClosed("the current one", next, false)
}

// forget ends the time of the former documents.
func (m *move) forget(docs *documents) {
	ended, end := context.WithCancel(context.Background())
	end()
	work := m.work
	m.work = ended
	m.hold(docs)
	m.work = work
}

func TestATaskThatIsUnderWayKeepsTheDocumentsOpen(t *testing.T) {
	m := newMove(t)
	old := m.jobs
	b, ended := m.connect(nil)
	m.mu.Lock()
	b.users++ // a task
	m.mu.Unlock()
	m.to(m.open())
	m.forget(old)
	ended() // the connection is lost
	m.wantClosed("while a task is under way", old, false)
	m.wantAsked("by that task", b, old, m.jobs)
	m.unbind(b)
	m.wantClosed("after it", old, true)
}

// When MongoDB has left its place for good, and nsqd stays, the jobs have moved with it.
func TestAConnectionThatStaysIsBoundToWhereMongoDBIs(t *testing.T) {
	m := newMove(t)
	old, next := m.jobs, m.open()
	left := make(chan struct{})
	old.left = left
	b, ended := m.connect(nil)
	defer ended()
	m.to(next)
	m.wantAsked("before it is sure", b, old, next)
	close(left)
	m.wantAsked("when it is", b, next, old)
	m.wantAsked("later", b, next, old)
	moved := time.Now()
	m.awaitMove(m.Context(), b)
	if took := time.Since(moved); took > movePace {
		t.Errorf("MongoDB is waited for, which has moved: %v", took)
	}
	m.forget(old)
	m.flow.Wait()
	m.wantClosed("when nobody uses it any more", old, true)
}

func TestWhoIsLateDoesNotReplaceTheDocuments(t *testing.T) {
	m := newMove(t)
	old, late := m.jobs, m.open()
	m.to(m.open())
	if m.succeed(old, late) {
		t.Error("two callers have each replaced the same documents")
	}
	m.closeDocuments(late)
	m.forget(old)
	m.wantClosed("when nobody has used it", old, true)
}

// Its errors say nothing about the MongoDB that the intake depends on, nor that there is no such job.
func TestAnOutageOfAMainServerThatWasLeftIsNoneOfTheCurrentOne(t *testing.T) {
	m := newMove(t)
	old := m.jobs
	b, ended := m.connect(nil)
	away := func(docs *documents) error {
		if docs == old {
			return context.DeadlineExceeded
		}
		return fail(noJob, errNoJob(&delivery{}))
	}
	if err := m.inDocuments(&delivery{binding: b}, away); !isOutage(err) {
		t.Errorf("an outage of the current one: %v", err)
	}
	m.to(m.open())
	for name, binding := range map[string]*binding{"a task of the one that was left": b, "any other": nil} {
		if err := m.inDocuments(&delivery{binding: binding}, away); isOutage(err) || !classIs(err, outage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	known := func(docs *documents) error {
		if docs == old {
			return context.DeadlineExceeded
		}
		return nil
	}
	if err := m.inDocuments(&delivery{binding: b}, known); err != nil {
		t.Errorf("a job that has moved: %v", err)
	}
	m.forget(old)
	ended()
	if err := m.inDocuments(&delivery{}, away); !isNoJob(err) {
		t.Errorf("a job that nobody knows: %v", err)
	}
}
