package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

func TestAShareThatIsNotMountedIsWaitedForThreeTimes(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	path := s.put("notice.gif", "scans/1.gif")
	unmounted := s.root + ".unmounted"
	if err := os.Rename(s.root, unmounted); err != nil {
		t.Fatal(err)
	}
	never := filepath.Join(s.dir, "never")
	w := s.worker("worker1", "NEWSLETTERS_PATH="+never)
	job := s.submit(backend.Task{FilePath: "Bhushanji/1.gif"}, backend.Task{FilePath: "newsletters/2.gif"})
	w.waitLog("task failed; it is tried again", "attempt=1", "1.gif")
	if err := os.Rename(unmounted, s.root); err != nil {
		t.Fatal(err)
	}
	done := s.finish(job)

	if len(done.Checkpoint.Errors) != 1 {
		t.Fatalf("%d errors, want 1", len(done.Checkpoint.Errors))
	}
	e := done.Checkpoint.Errors[0]
	if e.FilePath != filepath.Join(never, "2.gif") {
		t.Errorf("the error's file is %s", e.FilePath)
	}
	for _, word := range []string{"given up after 3 tries", "root folder is missing", "mounted?", never} {
		if !strings.Contains(e.Error, word) {
			t.Errorf("the error is %q, which does not say %q", e.Error, word)
		}
	}
	done.Checkpoint.Errors = nil
	s.wantResults(done, path)
	if r := done.Checkpoint.Results[0]; r.Retries != 1 {
		t.Errorf("retry_count %d, want 1 failed try", r.Retries)
	}
}

// beforeMongoDB returns a relay that is down: MongoDB's data outlives the outage.
func (s *scene) beforeMongoDB() *relay {
	s.t.Helper()
	for _, line := range s.server.Environ() {
		if addr, ok := strings.CutPrefix(line, "DIAL_MONGODB_PROXY="); ok {
			return newRelay(s.t, addr)
		}
	}
	s.t.Fatal("no MongoDB")
	return nil
}

func TestAWorkerStartsWithoutMongoDBAndWorksWhenItComes(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	door := s.beforeMongoDB()
	path := s.put("notice.gif", "scans/1.gif")
	w := s.worker("worker1", "DIAL_MONGODB_PROXY="+door.addr)
	job := s.submit(backend.Task{FilePath: "1.gif"})
	w.waitLog("connection failed", "service=mongodb")
	w.waitLog("MongoDB is away")
	door.up()
	s.wantFirstTry(s.finish(job), path)
	w.waitLog("connection successful", "service=mongodb")
	w.waitLog("MongoDB is back")
}

func TestAPageThatIsRecognizedWhileMongoDBIsAwayIsKept(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	door := s.beforeMongoDB()
	door.up()
	path := s.put("notice.gif", "scans/1.gif")
	g := newGate(t)
	w := s.worker("worker1", "DIAL_MONGODB_PROXY="+door.addr, g.environ())
	job := s.submit(backend.Task{FilePath: "1.gif"})
	g.waitBegun(1)
	door.down()
	g.open()
	w.waitLog("MongoDB is away")
	door.up()
	s.wantFirstTry(s.finish(job), path)
	if n := len(g.begun()); n != 1 {
		t.Errorf("the page was recognized %d times", n)
	}
	if q := s.queue(); q.Requeued != 0 {
		t.Errorf("the task went back to the queue %d times", q.Requeued)
	}
}

func TestATaskThatCantBeCountedInItsTimeGoesBackWithoutALostTry(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	door := s.beforeMongoDB()
	path := s.put("notice.gif", "scans/1.gif")
	first := s.worker("first", "DIAL_MONGODB_PROXY="+door.addr, "OCR_FILE_TIMEOUT=1s")
	job := s.submit(backend.Task{FilePath: "1.gif"})
	first.waitLog("task goes back to the queue until the outage ends")
	first.signal(syscall.SIGTERM)
	if code := first.exitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	s.worker("second")
	s.wantFirstTry(s.finish(job), path)
}

func TestAPageThatTakesTooLongEndsAsAnErrorThatNamesTheSettings(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	path := s.put("notice.gif", "scans/1.gif")
	s.worker("worker1", newGate(t).environ(), "OCR_FILE_TIMEOUT=1s")
	done := s.finish(s.submit(backend.Task{FilePath: "1.gif"}))
	if len(done.Checkpoint.Errors) != 1 || done.Checkpoint.Errors[0].FilePath != path {
		t.Fatalf("the errors are %+v, want one of %s", done.Checkpoint.Errors, path)
	}
	for _, word := range []string{"not done within 1s", "OCR_FILE_TIMEOUT", "--max-msg-timeout"} {
		if reason := done.Checkpoint.Errors[0].Error; !strings.Contains(reason, word) {
			t.Errorf("the error is %q, which does not say %q", reason, word)
		}
	}
}

func TestNsqdIsConsumedDirectlyWhileNsqlookupdIsDown(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{Services: []string{mainserver.MongoDB, mainserver.NSQD}})
	nobody := newRelay(t, "")
	path := s.put("notice.gif", "scans/1.gif")
	w := s.worker("worker1", "DIAL_NSQLOOKUPD_PROXY="+nobody.addr)
	job := s.submit(backend.Task{FilePath: "1.gif"})
	w.waitLog("connection failed", "service=nsqlookupd")
	w.waitLog("consuming directly", "nsqd-proxy:4150")
	s.wantFirstTry(s.finish(job), path)
}

func TestAWorkerOutlivesARestartOfNsqd(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	paths := []string{s.put("notice.gif", "scans/1.gif"), s.put("notice.gif", "scans/2.gif")}
	w := s.worker("worker1")
	w.waitLog("connection successful", "service=nsqd")
	s.wantFirstTry(s.finish(s.submit(backend.Task{FilePath: "1.gif"})), paths[0])
	if err := s.server.Stop(mainserver.NSQD); err != nil {
		t.Fatal(err)
	}
	w.waitLog("connection lost")
	if err := s.server.Start(mainserver.NSQD); err != nil {
		t.Fatal(err)
	}
	s.wantFirstTry(s.finish(s.submit(backend.Task{FilePath: "2.gif"})), paths[1])
}

// wantFirstTry checks that the only file was recognized, and that an outage was no failed try.
func (s *scene) wantFirstTry(done backend.Job, path string) {
	s.t.Helper()
	s.wantResults(done, path)
	for _, r := range done.Checkpoint.Results {
		if r.Retries != 0 {
			s.t.Errorf("retry_count %d, want 0: an outage is no failed try", r.Retries)
		}
	}
}
