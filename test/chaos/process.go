package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// process is this program run again in a role: a service of a main server, or a worker. Whoever started it calls end or
// kill.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string        // path of what it writes to its error output
	exited chan struct{} // closed when it has ended
	killed bool          // on purpose
	in     io.Writer
	says   chan string // what it answers
}

// The environment of a process that plays a role.
const (
	roleVariable   = "CHAOS_ROLE"
	configVariable = "CHAOS_CONFIG" // JSON
	readyLine      = "READY"
	okLine         = "OK" // the answer to a command
)

// spawn starts a process in a namespace (nil is the machine's own network), and returns when it says that it is ready.
func spawn(ctx context.Context, at *namespace, role, name, dir string, config any, env []string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// A process that is started again goes on in the same log.
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{name: name, cmd: exec.Command(self), log: log.Name(), exited: make(chan struct{}), says: make(chan string, 10)}
	p.cmd.Env = slices.Concat([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + dir, "GORACE=halt_on_error=1",
		roleVariable + "=" + role, configVariable + "=" + string(text),
	}, env)
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = childOf()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := at.do(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); { // until its end, which Wait must not come before
			p.says <- lines.Text()
		}
		_ = p.cmd.Wait() // its code is asked for by end
		close(p.exited)
	}()
	select {
	case line := <-p.says:
		if line == readyLine {
			return p, nil
		}
		err = fmt.Errorf("it said %q", line)
	case <-p.exited:
		err = errors.New("it ended at once")
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.kill()
	said, _ := os.ReadFile(p.log)
	return nil, fmt.Errorf("start %s: %w\n%s", name, err, said)
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %v: %w", p.name, s, err)
	}
	return nil
}

// ask gives a service a command and waits until it has obeyed.
func (p *process) ask(command string) error {
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		return err
	}
	select {
	case answer := <-p.says:
		if answer != okLine {
			return fmt.Errorf("%s: %s: %s", p.name, command, answer)
		}
		return nil
	case <-p.exited:
		return fmt.Errorf("%s: %s: it has ended", p.name, command)
	}
}

// kill ends it as the kernel does when memory runs out.
func (p *process) kill() {
	p.killed = true
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// endTimeout is how long an orderly end may take: a worker's drain is 8 s.
const endTimeout = 20 * time.Second

// end asks it to end and waits. It is an error if it does not, or ends with another code than 0 without having been
// killed.
func (p *process) end() error {
	if !p.killed {
		if err := p.signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.kill()
		return fmt.Errorf("%s did not end within %v of SIGTERM", p.name, endTimeout)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && !p.killed {
		return fmt.Errorf("%s ended with code %d; its log is %s", p.name, code, p.log)
	}
	return nil
}
