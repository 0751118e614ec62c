package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// programs are what runs as processes of their own.
type programs struct{ worker, server string }

func build(ctx context.Context, dir string) (programs, error) {
	p := programs{filepath.Join(dir, "ocr-worker"), filepath.Join(dir, "mainserver")}
	for out, pkg := range map[string]string{
		p.worker: "github.com/gvpocr/worker/cmd/ocr-worker",
		p.server: "github.com/gvpocr/worker/test/mainserver/cmd",
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return p, fmt.Errorf("build %s: %w", pkg, err)
		}
	}
	return p, nil
}

// server is the main server's process.
type server struct {
	cmd  *exec.Cmd
	vars map[string]string // what it printed
}

func startServer(ctx context.Context, program, dir string) (*server, error) {
	log, err := os.Create(filepath.Join(dir, "mainserver.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Not by ctx: --keep lets it go on, and stop ends it in an orderly way.
	s := &server{cmd: exec.Command(program, "-dir", filepath.Join(dir, "data")), vars: map[string]string{}}
	s.cmd.Stderr = log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the quickstart is not for it
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the main server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "READY" {
			return s, nil
		}
		name, value, _ := strings.Cut(lines.Text(), "=")
		s.vars[name] = value
	}
	text, _ := os.ReadFile(log.Name())
	return nil, errors.Join(fmt.Errorf("the main server did not start:\n%s", text), s.stop())
}

// dialLines are the lines that a worker's environment gains.
func (s *server) dialLines() []string {
	var lines []string
	for name, value := range s.vars {
		if strings.HasPrefix(name, "DIAL_") {
			lines = append(lines, name+"="+value)
		}
	}
	slices.Sort(lines)
	return lines
}

func (s *server) stop() error {
	return terminate(s.cmd, s.cmd.Wait)
}

// describe says how to reach a main server that goes on.
func (s *server) describe(w io.Writer, folder, dir string) {
	fmt.Fprintf(w, "\nThe main server goes on as process %d, with its data in %s.\n", s.cmd.Process.Pid, dir)
	fmt.Fprintf(w, "End it with: kill %d && rm -r %s\n", s.cmd.Process.Pid, quoted(dir))
	fmt.Fprintf(w, "MongoDB:  %s\n", s.vars["MONGO_DIRECT_URI"])
	fmt.Fprintf(w, "nsqd:     http://%s/stats\n", s.vars["NSQD_HTTP"])
	fmt.Fprintln(w, "A worker beside it:")
	for _, line := range slices.Concat(s.dialLines(), workerEnvironment(folder)) {
		name, value, _ := strings.Cut(line, "=")
		fmt.Fprintf(w, "  %s=%s \\\n", name, quoted(value))
	}
	fmt.Fprintln(w, "  go run ./cmd/ocr-worker")
}

// quoted makes one word of a value for a shell.
func quoted(value string) string {
	if strings.ContainsAny(value, " '\"$&()*;<>?[]\\`{|}~#!\t\n") {
		return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	}
	return value
}

// workerEnvironment is what today's compose file gives a worker, to the letter: it names the main server's services,
// and has no address.
func workerEnvironment(folder string) []string {
	return []string{
		"MONGO_URI=mongodb://gvpocr_admin:gvp%40123@mongodb-proxy:27017/gvpocr",
		"NSQD_ADDRESS=nsqd-proxy:4150",
		"NSQLOOKUPD_ADDRESSES=nsqlookupd-proxy:4161",
		"USE_NSQ=true",
		"WORKER_ID=quickstart-worker-1",
		"TESSERACT_ENABLED=true",
		"DEFAULT_OCR_PROVIDER=tesseract",
		"GVPOCR_PATH=" + folder,
		"NEWSLETTERS_PATH=" + folder,
	}
}

// worker is the worker's process.
type worker struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	err    error // of the process; read after exited
}

func startWorker(program, dir, folder string, dial []string) (*worker, error) {
	log, err := os.Create(filepath.Join(dir, "worker.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	w := &worker{cmd: exec.Command(program), log: log.Name(), exited: make(chan struct{})}
	w.cmd.Stdout, w.cmd.Stderr = log, log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	w.cmd.Env = slices.Concat(workerEnvironment(folder), dial)
	// What the process itself needs: its programs, its language data, a place for temporary files.
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TESSDATA_PREFIX"} {
		if value, ok := os.LookupEnv(name); ok {
			w.cmd.Env = append(w.cmd.Env, name+"="+value)
		}
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	go func() {
		w.err = w.cmd.Wait()
		close(w.exited)
	}()
	return w, nil
}

func (w *worker) stop() error {
	return terminate(w.cmd, func() error {
		<-w.exited
		return w.err
	})
}

func (w *worker) showLog(out io.Writer) error {
	text, err := os.ReadFile(w.log)
	fmt.Fprintf(out, "The worker's log:\n%s", text)
	return err
}

// terminate asks a process to end, waits, and kills it if it does not.
func terminate(cmd *exec.Cmd, wait func() error) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	kill := time.AfterFunc(20*time.Second, func() {
		_ = cmd.Process.Kill() // it may have ended in this moment
	})
	defer kill.Stop()
	return wait()
}
