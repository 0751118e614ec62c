package ocrworker

import (
	"context"
	"log/slog"
	"slices"
	"testing"

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
	m.wantAsked("from the new nsqd", after, next)
	m.wantClosed("while the old nsqd is connected", old, false)
	ended()
	m.wantClosed("when nobody uses it any more", old, true)
	m.wantClosed("the current one", next, false)
}

func TestATaskThatIsUnderWayKeepsTheDocumentsOpen(t *testing.T) {
	m := newMove(t)
	old := m.jobs
	b, ended := m.connect(nil)
	m.mu.Lock()
	b.users++ // a task
	m.mu.Unlock()
	m.to(m.open())
	ended() // the connection is lost
	m.wantClosed("while a task is under way", old, false)
	m.wantAsked("by that task", b, old, m.jobs)
	m.unbind(b)
	m.wantClosed("after it", old, true)
}

func TestWhoIsLateDoesNotReplaceTheDocuments(t *testing.T) {
	m := newMove(t)
	old, late := m.jobs, m.open()
	m.to(m.open())
	if m.succeed(old, late) {
		t.Error("two callers have each replaced the same documents")
	}
	m.closeDocuments(late)
	m.closeDocuments(old) // nobody used it
}

// Its errors say nothing about the MongoDB that the intake depends on.
func TestAnOutageOfAMainServerThatWasLeftIsNoneOfTheCurrentOne(t *testing.T) {
	m := newMove(t)
	old := m.jobs
	b, ended := m.connect(nil)
	defer ended()
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
	if err := m.inDocuments(&delivery{binding: b}, away); isOutage(err) || !classIs(err, outage) {
		t.Errorf("an outage of the one that was left: %v", err)
	}
	if err := m.inDocuments(&delivery{}, away); !isNoJob(err) {
		t.Errorf("a job that nobody knows: %v", err)
	}
}
