package ocr

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
	"unicode"
)

// lingering is how long a killed process may keep its pipes open, through a child that left its group, before they are closed.
const lingering = 2 * time.Second

// maxStderr bounds what is kept of a process's error output: its end, which says why it failed.
const maxStderr = 4 << 10

// inherited are the variables that a process may see. The worker's others hold passwords.
var inherited = []string{"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TESSDATA_PREFIX", "SYSTEMROOT"}

// run runs name until it ends or ctx does, which kills it and its children. It returns the last lines of its error output.
func run(ctx context.Context, stdin io.Reader, stdout io.Writer, tempDir, name string, args ...string) (stderr string, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = stdin
	cmd.Stdout = stdout
	var end tail
	cmd.Stderr = &end
	cmd.Env = environment(tempDir)
	cmd.WaitDelay = lingering
	killGroup(cmd)
	err = cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return end.String(), err
}

// environment is what a process sees. Tesseract's own threads only cost: a page takes six times as long with them when a process
// runs on each core.
func environment(tempDir string) []string {
	env := []string{"OMP_THREAD_LIMIT=1", "TMPDIR=" + tempDir}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// tail is a writer that keeps the last maxStderr bytes.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-maxStderr):]...)
	if over := len(t.kept) - maxStderr; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String returns the last three lines in one: the very last of Tesseract's is often just "Error during processing."
func (t *tail) String() string {
	var lines []string
	for line := range bytes.Lines(t.kept) {
		if s := printable(line); s != "" {
			lines = append(lines, s)
		}
	}
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

func printable(line []byte) string {
	const longest = 300
	line = line[:min(len(line), longest)]
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(line), "")))
}

// boundedBuffer keeps the first bytes that are written to it and drops the rest.
type boundedBuffer struct {
	bytes.Buffer
	limit int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, b.limit-b.Len()))])
	return len(p), nil
}
