package e2e_test

import (
	"testing"
	"time"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// takeBack is after which time nsqd takes the messages of a dead worker back. The living touch theirs three times in it, and the
// machine may be busy.
const takeBack = 4 * time.Second

func TestAWorkerKilledInTheMiddleOfAPageLosesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{MsgTimeout: takeBack})
	paths := []string{
		s.put("notice.gif", "scans/1.gif"), s.put("notice.gif", "scans/2.gif"), s.put("notice.gif", "scans/3.gif"),
	}
	g := newGate(t)
	first := s.worker("first", g.environ(), "OCR_CONCURRENCY=2")
	job := s.submit(backend.Task{FilePath: "1.gif"}, backend.Task{FilePath: "2.gif"}, backend.Task{FilePath: "3.gif"})
	g.waitBegun(2)
	g.pass()
	g.waitBegun(3) // one is stored, or about to be, and two are being recognized
	eventually(t, "a result is stored", func() bool {
		j, err := s.backend.Job(s.ctx, job)
		return err == nil && j.ConsumedCount == 1
	})
	first.kill()

	s.worker("second")
	done := s.finish(job)
	s.wantResults(done, paths...)
	by := map[string]int{}
	for _, r := range done.Checkpoint.Results {
		by[r.Metadata.WorkerID]++
		if r.Retries != 0 {
			t.Errorf("%s: retry_count %d: a worker's death is no failed try", r.File, r.Retries)
		}
	}
	if by["first"] != 1 || by["second"] != 2 {
		t.Errorf("results by worker: %v, want 1 of the first and 2 of the second", by)
	}
}

func TestAPageThatOutlastsTheMessageTimeoutIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{MsgTimeout: takeBack})
	path := s.put("notice.gif", "scans/1.gif")
	g := newGate(t)
	s.worker("first", g.environ())
	s.worker("second", g.environ())
	job := s.submit(backend.Task{FilePath: "1.gif"})
	g.waitBegun(1)
	begun := time.Now()
	// nsqd looks for new channels every 5 s, and for time-outs in those that it has found.
	eventually(t, "the time-out has passed and nsqd has seen it", func() bool { return time.Since(begun) > 5*time.Second+2*takeBack })
	g.open()
	s.wantResults(s.finish(job), path)
	if q := s.queue(); q.TimedOut != 0 || q.Requeued != 0 {
		t.Errorf("%d time-outs and %d requeues, want none", q.TimedOut, q.Requeued)
	}
	if n := len(g.begun()); n != 1 {
		t.Errorf("the page was begun %d times", n)
	}
}
