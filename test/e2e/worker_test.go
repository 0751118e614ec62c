package e2e_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what has to happen. On a machine that is not overloaded it takes a few seconds.
const patience = time.Minute

// slack is what everything may take beyond its limit, since the machine may do much else. The figures themselves are those
// of ./test/chaos/run, which has none.
const slack = 5 * time.Second

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("this did not happen within %v: %s", patience, what)
		}
	}
}

// worker is a process of the worker. The test's end ends it.
type worker struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	fails  bool // on purpose: it ends with another code than 0
}

// composeEnvironment is what today's compose file gives a worker, to the letter: it names the main server's services,
// and has no address.
func composeEnvironment(id, folder, newsletters string) []string {
	return []string{
		"MONGO_URI=mongodb://gvpocr_admin:gvp%40123@mongodb-proxy:27017/gvpocr",
		"NSQD_ADDRESS=nsqd-proxy:4150",
		"NSQLOOKUPD_ADDRESSES=nsqlookupd-proxy:4161",
		"USE_NSQ=true",
		"WORKER_ID=" + id,
		"TESSERACT_ENABLED=true",
		"DEFAULT_OCR_PROVIDER=tesseract",
		"GVPOCR_PATH=" + folder,
		"NEWSLETTERS_PATH=" + newsletters,
	}
}

// systemEnvironment is what any process needs: its programs, its language data, a place for temporary files.
func systemEnvironment(tempDir string) []string {
	lines := []string{"TMPDIR=" + tempDir}
	for _, name := range []string{"PATH", "HOME", "TESSDATA_PREFIX"} {
		if value, ok := os.LookupEnv(name); ok {
			lines = append(lines, name+"="+value)
		}
	}
	return lines
}

// runWorker starts a process. A later line of env overrides an earlier one.
func runWorker(t *testing.T, env []string, args ...string) *worker {
	t.Helper()
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	w := &worker{t: t, cmd: exec.Command(program, args...), log: log.Name(), exited: make(chan struct{})}
	w.cmd.Env = slices.Concat(systemEnvironment(dir), env)
	w.cmd.Stdout, w.cmd.Stderr = log, log
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.exited)
		w.cmd.Wait()
	}()
	t.Cleanup(func() {
		w.signal(syscall.SIGTERM)
		if code := w.exitCode(); code != 0 && !w.fails {
			t.Errorf("the worker ended with code %d", code)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", strings.Join(w.cmd.Args[1:], " "), w.text())
		}
	})
	return w
}

func (w *worker) signal(s os.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		w.t.Error(err)
	}
}

// kill ends the process as the kernel does when memory runs out.
func (w *worker) kill() {
	w.t.Helper()
	w.fails = true
	w.signal(syscall.SIGKILL)
	<-w.exited
}

// exitCode waits for the process, and kills it if it does not end. A test that asserts another code than 0 calls it
// before its own end.
func (w *worker) exitCode() int {
	w.t.Helper()
	select {
	case <-w.exited:
	case <-time.After(patience):
		w.t.Errorf("the worker did not end within %v", patience)
		w.cmd.Process.Kill()
		<-w.exited
	}
	return w.cmd.ProcessState.ExitCode()
}

func (w *worker) text() string {
	text, err := os.ReadFile(w.log)
	if err != nil {
		w.t.Error(err)
	}
	return string(text)
}

// logged tells whether a line of the log has all parts.
func (w *worker) logged(parts ...string) bool { return w.lines(parts...) > 0 }

// lines counts the lines of the log that have all parts.
func (w *worker) lines(parts ...string) (n int) {
	for line := range strings.Lines(w.text()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	return n
}

func (w *worker) wantLogged(times int, parts ...string) {
	w.t.Helper()
	if n := w.lines(parts...); n != times {
		w.t.Errorf("%d lines of the log have %s, want %d", n, strings.Join(parts, ", "), times)
	}
}

// waitLog waits for a line that has all parts.
func (w *worker) waitLog(parts ...string) {
	w.t.Helper()
	w.waitMore(0, parts...)
}

// waitMore waits for a line that has all parts, beyond those that there were before: on a busy machine a worker may find MongoDB
// away at its start.
func (w *worker) waitMore(before int, parts ...string) {
	w.t.Helper()
	eventually(w.t, "a log line with "+strings.Join(parts, ", "), func() bool {
		if w.lines(parts...) > before {
			return true
		}
		select {
		case <-w.exited:
			w.t.Fatalf("the worker has ended without a log line with %s", strings.Join(parts, ", "))
		default:
		}
		return false
	})
}
