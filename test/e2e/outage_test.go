package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// Only what needs the share waits; it is not the files' fault, so no try is lost, however long that takes.
func TestTasksWaitForAShareThatIsNotMountedAndOthersGoOn(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	away := filepath.Join(s.dir, "away")
	job := s.submit(
		backend.Task{FilePath: "newsletters/1.gif"}, backend.Task{FilePath: "newsletters/2.gif"},
		backend.Task{FilePath: "newsletters/3.gif"}, backend.Task{FilePath: "Bhushanji/4.gif"},
	)
	there := s.put("notice.gif", "scans/4.gif")
	w := s.worker("worker1", "NEWSLETTERS_PATH="+away, "OCR_CONCURRENCY=2")
	w.waitLog("the folder "+away+" is away: tasks that need it wait", "mounted?")
	eventually(t, "the task that needs another folder is done", func() bool {
		j, err := s.backend.Job(s.ctx, job)
		return err == nil && j.ConsumedCount == 1
	})
	paths := []string{there}
	for _, name := range []string{"1.gif", "2.gif", "3.gif"} {
		s.put("notice.gif", "unmounted/"+name)
		paths = append(paths, filepath.Join(away, name))
	}
	if err := os.Rename(filepath.Join(s.dir, "unmounted"), away); err != nil {
		t.Fatal(err)
	}
	done := s.finish(job)
	s.wantResults(done, paths...)
	for _, r := range done.Checkpoint.Results {
		if r.Retries != 0 {
			t.Errorf("%s: retry_count %d: that a share is away is no failed try", r.File, r.Retries)
		}
	}
	w.wantLogged(1, "the folder "+away+" is away")
	w.wantLogged(1, "the folder "+away+" is back")
	w.wantLogged(0, "intake is paused")
}

func TestAFolderThatLooksAsIfItWereNotMountedIsNamedAtTheStart(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	empty, missing := t.TempDir(), filepath.Join(s.dir, "missing")
	w := s.worker("worker1", "GVPOCR_PATH="+empty, "NEWSLETTERS_PATH="+missing)
	w.waitLog("the folder is empty; is it mounted?", "folder="+empty, "variable=GVPOCR_PATH")
	w.waitLog("the folder is not there; tasks that need it wait for it", "folder="+missing, "variable=NEWSLETTERS_PATH")
	s.put("notice.gif", "scans/1.gif")
	full := s.worker("worker2")
	full.waitLog("connection successful", "service=mongodb")
	full.wantLogged(0, "folder="+s.root)
}

func TestATaskThatLostItsTimeToAnOutageGetsAllOfItAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	away := filepath.Join(s.dir, "away")
	g := newGateBefore(t, newStandIn(t, 0).program())
	w := s.worker("worker1", "NEWSLETTERS_PATH="+away, "OCR_CONCURRENCY=2", "OCR_FILE_TIMEOUT=15s", g.environ())
	job := s.submit(backend.Task{FilePath: "newsletters/1.gif"})
	w.waitLog("the folder " + away + " is away")
	s.put("notice.gif", "unmounted/1.gif")
	if err := os.Rename(filepath.Join(s.dir, "unmounted"), away); err != nil {
		t.Fatal(err)
	}
	w.waitLog("task goes back to the queue until the outage ends", "an outage took the time of the task")
	g.open()
	s.wantFirstTry(s.finish(job), filepath.Join(away, "1.gif"))
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

var (
	outageFor   = flag.Duration("outage", 15*time.Second, "how long MongoDB is away in the middle of a job; beyond 10 s operations fail")
	outageTasks = flag.Int("outage-tasks", 40, "tasks of that job")
)

// paused is what the log says of an outage of MongoDB.
const paused = "MongoDB is away: intake is paused"

func TestAnOutageOfMongoDBCostsAJobNothingButItsTime(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]struct {
		begin, end func(*relay)
		noticed    time.Duration
	}{
		// Its connections are cut and new ones refused, by which the dialer notices it before an operation has failed.
		"gone": {(*relay).down, (*relay).up, 7 * time.Second},
		// Its connections stay, and are accepted: only the silence shows it. An operation has 10 s.
		"frozen": {(*relay).freeze, (*relay).thaw, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mainserver.Config{})
			s.allow(2*patience + 2**outageFor + time.Duration(*outageTasks)*5*time.Second)
			door := s.beforeMongoDB()
			door.up()
			engine := newStandIn(t, 100*time.Millisecond)
			var tasks []backend.Task
			var paths []string
			for i := range *outageTasks {
				file := fmt.Sprintf("%d.gif", i)
				paths = append(paths, s.put("notice.gif", "scans/"+file))
				tasks = append(tasks, backend.Task{FilePath: file})
			}
			job := s.submit(tasks...)
			w := s.worker("worker1", "DIAL_MONGODB_PROXY="+door.addr, "OCR_CONCURRENCY=4", engine.environ())
			counted := func() int {
				j, err := s.backend.Job(s.ctx, job)
				if err != nil {
					t.Fatal(err)
				}
				return j.ConsumedCount
			}
			eventually(t, "a part of the job is done", func() bool { return counted() >= 5 })

			before := w.lines(paused)
			kind.begin(door)
			began := time.Now()
			w.waitMore(before, paused, "error=")
			noticed := time.Since(began)
			if noticed > kind.noticed+slack {
				t.Errorf("intake is paused %v after the outage began, want %v or little more", noticed, kind.noticed)
			}
			eventually(t, "nsqd is asked for nothing", func() bool { return s.queue().Ready == 0 })
			done := counted()
			timer := time.NewTimer(*outageFor - time.Since(began))
			defer timer.Stop()
			<-timer.C
			if n := counted(); n != done || n == len(tasks) {
				t.Fatalf("%d of %d files are counted during the outage, %d at its beginning", n, len(tasks), done)
			}
			if held := engine.recognized() - done; held > 4 {
				t.Errorf("%d pages are recognized and not stored, by 4 at a time", held)
			}

			kind.end(door)
			ended := time.Now()
			eventually(t, "a result is stored", func() bool { return counted() > done })
			first := time.Since(ended)
			t.Logf("intake paused after %v, first result %v after the end of %v", noticed, first, ended.Sub(began))
			if first > 2*time.Second+slack {
				t.Errorf("the first result comes %v after the outage, want 2 s or little more", first)
			}
			all := s.finish(job)
			s.wantResults(all, paths...)
			for _, r := range all.Checkpoint.Results {
				if r.Retries != 0 {
					t.Errorf("%s: retry_count %d: an outage is no failed try", r.File, r.Retries)
				}
			}
			if n := engine.recognized(); n != len(tasks) {
				t.Errorf("%d recognitions of %d pages", n, len(tasks))
			}
			s.wantBackAtMostOnce(w, len(tasks))
			w.wantLogged(before+1, paused)
			w.wantLogged(before+1, "MongoDB is back: intake goes on", "after=")
		})
	}
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
	before := w.lines(paused)
	door.down()
	g.open()
	w.waitMore(before, paused)
	door.up()
	s.wantFirstTry(s.finish(job), path)
	if n := len(g.begun()); n != 1 {
		t.Errorf("the page was recognized %d times", n)
	}
	if q := s.queue(); q.Requeued != 0 {
		t.Errorf("the task went back to the queue %d times", q.Requeued)
	}
}

// No operation fails by which it could be seen, for no page ends.
func TestAFrozenMongoDBPausesTheIntakeWhileAPageIsRecognized(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	door := s.beforeMongoDB()
	door.up()
	path := s.put("notice.gif", "scans/1.gif")
	g := newGate(t)
	w := s.worker("worker1", "DIAL_MONGODB_PROXY="+door.addr, "OCR_CONCURRENCY=2", g.environ())
	job := s.submit(backend.Task{FilePath: "1.gif"})
	g.waitBegun(1)
	before := w.lines(paused)
	door.freeze()
	began := time.Now()
	eventually(t, "nsqd is asked for nothing", func() bool { return s.queue().Ready == 0 })
	if took := time.Since(began); took > 12*time.Second+slack {
		t.Errorf("intake pauses %v after MongoDB froze, want 12 s or little more", took)
	}
	w.waitMore(before, paused)
	g.open()
	door.thaw()
	s.wantFirstTry(s.finish(job), path)
	if n := len(g.begun()); n != 1 {
		t.Errorf("the page was recognized %d times", n)
	}
	w.wantLogged(before+1, paused)
}

// What nsqd takes back with the connection is not taken again before MongoDB can be asked whether it is done.
func TestAnOutageOfMongoDBAndNsqdAtOnceCostsNoRecognition(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	door := s.beforeMongoDB()
	door.up()
	var tasks []backend.Task
	var paths []string
	for _, name := range []string{"1.gif", "2.gif", "3.gif"} {
		paths = append(paths, s.put("notice.gif", "scans/"+name))
		tasks = append(tasks, backend.Task{FilePath: name})
	}
	g := newGate(t)
	w := s.worker("worker1", "DIAL_MONGODB_PROXY="+door.addr, "OCR_CONCURRENCY=2", g.environ())
	job := s.submit(tasks...)
	g.waitBegun(2)
	before := w.lines(paused)
	door.down()
	if err := s.server.Stop(mainserver.NSQD); err != nil {
		t.Fatal(err)
	}
	w.waitMore(before, paused)
	g.open()
	if err := s.server.Start(mainserver.NSQD); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nsqd is consumed again", func() bool { return w.lines("msg=consuming") == 2 })
	if q := s.queue(); q.Depth != 3 || q.InFlight != 0 {
		t.Errorf("the queue holds %+v, want all 3 tasks, none in flight", q)
	}
	door.up()
	done := s.finish(job)
	s.wantResults(done, paths...)
	for _, r := range done.Checkpoint.Results {
		if r.Retries != 0 {
			t.Errorf("%s: retry_count %d: an outage is no failed try", r.File, r.Retries)
		}
	}
	if n := len(g.begun()); n != 3 {
		t.Errorf("3 pages were recognized %d times", n)
	}
}

// A message can't be held longer than nsqd allows; what was recognized can.
func TestAnOutcomeIsKeptBeyondTheTimeOfItsMessage(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"and stored when MongoDB is back": false, "and the worker dies": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mainserver.Config{})
			door := s.beforeMongoDB()
			door.up()
			path := s.put("notice.gif", "scans/1.gif")
			g := newGateBefore(t, newStandIn(t, 0).program())
			w := s.worker("worker1", "DIAL_MONGODB_PROXY="+door.addr, "OCR_FILE_TIMEOUT=15s", g.environ())
			job := s.submit(backend.Task{FilePath: "1.gif"})
			g.waitBegun(1)
			door.down()
			g.open()
			w.waitLog("goes back to the queue, its outcome is kept until the outage ends")
			eventually(t, "a copy waits for the end of the outage", func() bool {
				q := s.queue()
				return q.Depth == 1 && q.InFlight == 0 && q.Deferred == 0 && q.Messages == 2 && q.Requeued == 0
			})
			times := 1
			if killed {
				w.kill()
				s.worker("worker2", g.environ())
				times = 2
			}
			door.up()
			s.wantFirstTry(s.finish(job), path)
			if n := len(g.begun()); n != times {
				t.Errorf("the page was recognized %d times, want %d", n, times)
			}
			if q := s.queue(); q.Messages != 2 || q.Requeued != 0 {
				t.Errorf("%d messages and %d requeues, want the task and one copy", q.Messages, q.Requeued)
			}
		})
	}
}

func TestAWorkerThatIsStoppedWhileMongoDBIsAwayLosesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	door := s.beforeMongoDB()
	door.up()
	paths := []string{s.put("notice.gif", "scans/1.gif"), s.put("notice.gif", "scans/2.gif")}
	g := newGate(t)
	first := s.worker("first", "DIAL_MONGODB_PROXY="+door.addr, "SHUTDOWN_TIMEOUT=1s", "OCR_CONCURRENCY=1", g.environ())
	job := s.submit(backend.Task{FilePath: "1.gif"}, backend.Task{FilePath: "2.gif"})
	g.waitBegun(1)
	before := first.lines(paused)
	door.down()
	g.open()
	first.waitMore(before, paused)
	first.fails = true
	first.signal(syscall.SIGTERM)
	if code := first.exitCode(); code != 1 {
		t.Errorf("exit code %d, want 1: a page that is recognized went back", code)
	}
	if q := s.queue(); q.Depth != 2 || q.InFlight != 0 {
		t.Errorf("the queue holds %+v, want both tasks", q)
	}
	s.worker("second")
	s.wantResults(s.finish(job), paths...)
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
