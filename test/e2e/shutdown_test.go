package e2e_test

import (
	"syscall"
	"testing"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

func TestAWorkerThatIsStoppedEndsItsPageAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	paths := []string{s.put("notice.gif", "scans/1.gif"), s.put("notice.gif", "scans/2.gif")}
	g := newGate(t)
	first := s.worker("first", g.environ(), "OCR_CONCURRENCY=1", "SHUTDOWN_TIMEOUT="+patience.String())
	job := s.submit(backend.Task{FilePath: "1.gif"}, backend.Task{FilePath: "2.gif"})
	g.waitBegun(1)
	first.signal(syscall.SIGTERM)
	first.waitLog("worker stops", "tasks=1")
	g.open()
	if code := first.exitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if !first.logged("worker stopped") {
		t.Error("the log does not say that the worker stopped")
	}
	j, err := s.backend.Job(s.ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	if len(j.Checkpoint.Results) != 1 {
		t.Errorf("%d results, want the one that was being recognized", len(j.Checkpoint.Results))
	}

	s.worker("second")
	done := s.finish(job)
	s.wantResults(done, paths...)
	if second := done.Checkpoint.Results[1]; second.Metadata.WorkerID != "second" || second.Retries != 0 {
		t.Errorf("the other file: by %s with retry_count %d", second.Metadata.WorkerID, second.Retries)
	}
}

func TestAPageThatOutlastsTheShutdownGoesBackToTheQueue(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string]string{"after the time": "100ms", "at once": "-1s"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mainserver.Config{MsgTimeout: takeBack})
			path := s.put("notice.gif", "scans/1.gif")
			g := newGate(t)
			first := s.worker("first", g.environ(), "SHUTDOWN_TIMEOUT="+timeout)
			job := s.submit(backend.Task{FilePath: "1.gif"})
			g.waitBegun(1)
			first.signal(syscall.SIGTERM)
			first.fails = true
			if code := first.exitCode(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			if !first.logged("1 messages were still being handled and went back to the queue") {
				t.Error("the worker does not say that a task went back")
			}
			// Put back at once it may come again to the connection that is about to close, and has to wait for its time-out
			// then; put back later it is there for others.
			if q := s.queue(); q.Requeued == 0 || timeout != "-1s" && (q.Depth != 1 || q.InFlight != 0) {
				t.Errorf("the queue holds %+v, want the task, put back by the worker", q)
			}

			s.worker("second")
			done := s.finish(job)
			s.wantResults(done, path)
			if r := done.Checkpoint.Results[0]; r.Metadata.WorkerID != "second" || r.Retries != 0 {
				t.Errorf("by %s with retry_count %d, want second and 0", r.Metadata.WorkerID, r.Retries)
			}
		})
	}
}

func TestASecondSignalEndsAWorkerAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{MsgTimeout: takeBack})
	path := s.put("notice.gif", "scans/1.gif")
	g := newGate(t)
	first := s.worker("first", g.environ(), "SHUTDOWN_TIMEOUT=10m")
	job := s.submit(backend.Task{FilePath: "1.gif"})
	g.waitBegun(1)
	first.signal(syscall.SIGTERM)
	first.waitLog("worker stops")
	first.fails = true
	first.signal(syscall.SIGTERM)
	if code := first.exitCode(); code != -1 {
		t.Errorf("exit code %d, want an end by the signal", code)
	}
	s.worker("second")
	s.wantResults(s.finish(job), path)
}
