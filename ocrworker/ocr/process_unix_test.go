//go:build unix

package ocr_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gvpocr/worker/ocrworker/ocr"
)

const header = `level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n`

// A script in the place of tesseract answers the questions of the start and then does what a test wants of it. In its body, $1 to $n are
// the arguments, $2 is the output base, and page writes a TSV of one page.
const script = `#!/bin/sh
case $1 in
--version) echo "tesseract 5.3.0"; exit ;;
--list-langs) printf 'List of available languages (3):\neng\nhin\nscript/Devanagari\n'; exit ;;
esac
page() { printf '` + header + `1\t1\t0\t0\t0\t0\t0\t0\t9\t9\t-1\t\n' >"$2.tsv"; }
`

func scriptEngine(t *testing.T, processes int, body string) (engine *ocr.Tesseract, tempDir string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tesseract")
	if err := os.WriteFile(name, []byte(script+body), 0o755); err != nil {
		t.Fatal(err)
	}
	tempDir = t.TempDir()
	engine, err := ocr.NewTesseract(ocr.TesseractConfig{Cmd: name, TempDir: tempDir, Processes: processes})
	if err != nil {
		t.Fatal(err)
	}
	return engine, tempDir
}

func somePage(t *testing.T) ocr.Page {
	return ocr.Page{Number: 1, Image: encode(t, "png", render(t))}
}

// wait polls until done holds.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(20 * time.Second); !done(); {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s did not happen", what)
		}
	}
}

func TestArgumentsComeFromThePage(t *testing.T) {
	engine, _ := scriptEngine(t, 0, `page "$@"; shift 2; echo "$@" >"$TMPDIR/page.txt"`)
	for want, p := range map[string]ocr.Page{
		"-l eng --psm 3 txt tsv":               {},
		"-l eng --psm 6 txt tsv":               {Handwriting: true},
		"-l eng --psm 3 --dpi 150 txt tsv":     {DPI: 150, Languages: []string{"en", "eng"}},
		"-l hin+eng --psm 3 txt tsv":           {Languages: []string{"hi", "en"}},
		"-l script/Devanagari --psm 3 txt tsv": {Languages: []string{"script/Devanagari"}, Prompt: "-x", DPI: -1},
	} {
		p.Image = somePage(t).Image
		if r, err := engine.Recognize(t.Context(), p); err != nil || r.Text != want {
			t.Errorf("%q, %v; want %q", r.Text, err, want)
		}
	}
}

func TestProcessSeesOnlyWhatItNeeds(t *testing.T) {
	t.Setenv("MONGO_PASSWORD", "hidden")
	t.Setenv("TESSDATA_PREFIX", "/data/tess")
	t.Setenv("OMP_THREAD_LIMIT", "8")
	engine, _ := scriptEngine(t, 0, `page "$@"; env >"$2.txt"`)
	r, err := engine.Recognize(t.Context(), somePage(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"OMP_THREAD_LIMIT=1", "TESSDATA_PREFIX=/data/tess", "PATH="} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("%s is missing in %s", want, r.Text)
		}
	}
	if strings.Contains(r.Text, "hidden") {
		t.Error("the process sees the worker's password")
	}
}

func TestFailureIsPermanentOnlyWhenTesseractGivesUp(t *testing.T) {
	for name, test := range map[string]struct {
		body      string
		permanent bool
		says      string
	}{
		"code 1":               {`echo "Error in pixRead" >&2; echo "Error during processing." >&2; exit 1`, true, "Error in pixRead; Error during processing."},
		"killed":               {`kill -9 $$`, false, "killed"},
		"crashed":              {`kill -SEGV $$`, false, "segmentation fault"},
		"code 0, no page":      {`printf '` + header + `' >"$2.tsv"; echo "stream not opened" >&2`, true, "stream not opened"},
		"code 0, no files":     {`exit 0`, false, "page.tsv"},
		"code 0, empty files":  {`: >"$2.tsv"; : >"$2.txt"`, false, "disk"},
		"code 0, no text":      {`page "$@"`, false, "page.txt"},
		"text lost":            {`page "$@"; printf '5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t90\tword\n' >>"$2.tsv"; : >"$2.txt"`, false, "disk"},
		"too much text":        {`page "$@"; head -c 17000000 /dev/zero >"$2.txt"`, true, "16 MiB"},
		"a flood of messages":  {`head -c 5000000 /dev/zero | tr '\0' 'e' >&2; printf '\n\033[31mlast\n' >&2; exit 1`, true, "last"},
		"without any message":  {`exit 3`, true, "exit status 3"},
		"image is not read in": {`exec <&-; exit 1`, true, "exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			engine, tempDir := scriptEngine(t, 0, test.body)
			r, err := engine.Recognize(t.Context(), somePage(t))
			if err == nil || ocr.IsPermanent(err) != test.permanent || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%+v, %v; want permanent %v", r, err, test.permanent)
			}
			if err != nil && (len(err.Error()) > 1200 || strings.ContainsRune(err.Error(), 033)) {
				t.Errorf("the error has %d bytes: %q", len(err.Error()), err)
			}
			wantEmptyDir(t, tempDir)
		})
	}
}

func TestCancelKillsTheProcessAndItsChildren(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	engine, tempDir := scriptEngine(t, 0, `sleep 1000 & echo $! >`+pidFile+`.new; mv `+pidFile+`.new `+pidFile+`; wait`)
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := engine.Recognize(ctx, somePage(t))
		failed <- err
	}()
	var pid int
	wait(t, "the start of the child", func() bool {
		text, _ := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0
	})
	why := errors.New("the job was cancelled")
	cancel(why)
	if err := <-failed; !errors.Is(err, why) || ocr.IsPermanent(err) {
		t.Error(err)
	}
	wait(t, "the end of the child", func() bool { return !running(pid) })
	wantEmptyDir(t, tempDir)
}

// running tells whether a process is there and no zombie: its parent is gone, and nobody may be there to take its end.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func TestNoMoreProcessesRunThanAreAllowed(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	engine, _ := scriptEngine(t, 1, `mkdir `+lock+` || exit 9; sleep 0.02; rmdir `+lock+`; page "$@"; : >"$2.txt"`)
	page := somePage(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if _, err := engine.Recognize(t.Context(), page); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestWaitForATurnEndsWithTheContext(t *testing.T) {
	dir := t.TempDir()
	started, goOn := filepath.Join(dir, "started"), filepath.Join(dir, "go-on")
	engine, _ := scriptEngine(t, 1, `: >`+started+`; while ! [ -e `+goOn+` ]; do sleep 0.01; done; page "$@"; : >"$2.txt"`)
	page := somePage(t)
	first := make(chan error, 1)
	go func() {
		_, err := engine.Recognize(t.Context(), page)
		first <- err
	}()
	wait(t, "the first process", func() bool { _, err := os.Stat(started); return err == nil })

	why := errors.New("no more time")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, why)
	defer cancel()
	if _, err := engine.Recognize(ctx, page); !errors.Is(err, why) || ocr.IsPermanent(err) {
		t.Errorf("the second: %v", err)
	}
	if err := os.WriteFile(goOn, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
}

func TestCommandThatIsNotTesseractIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ body, want string }{
		"another program": {"#!/bin/sh\necho convert 7.0", "not tesseract"},
		"failing":         {"#!/bin/sh\necho library not found >&2; exit 127", "library not found"},
		"no languages":    {"#!/bin/sh\ncase $1 in --version) echo tesseract 5.3.0;; *) echo 'List of available languages (0):';; esac", "tesseract-ocr-eng"},
	} {
		cmd := filepath.Join(t.TempDir(), "tesseract")
		if err := os.WriteFile(cmd, []byte(test.body), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := ocr.NewTesseract(ocr.TesseractConfig{Cmd: cmd}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
