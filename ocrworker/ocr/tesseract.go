package ocr

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// startTimeout is what "tesseract --version" and "--list-langs" may take, on a machine that is busy.
	startTimeout = 30 * time.Second

	// maxOutput bounds what is read of each of Tesseract's two files. It is MongoDB's largest document: no longer text can be stored.
	maxOutput = 16 << 20
)

// TesseractConfig says where and how to run tesseract. The zero value works.
type TesseractConfig struct {
	Cmd       string // a name that is looked up in PATH, or a path; default "tesseract"
	TempDir   string // where each page gets a folder for its output while it is read; default os.TempDir()
	Processes int    // most processes at a time; default runtime.GOMAXPROCS(0), for each keeps one core busy
}

// Tesseract is an [Engine] that runs the tesseract command once per page. It is safe for concurrent use and holds nothing that has to
// be closed.
type Tesseract struct {
	cmd       string
	tempDir   string
	languages []string
	running   chan struct{} // holds one element per process
}

// NewTesseract checks that the command runs and asks it for its languages. The error says what to install or to set.
func NewTesseract(cfg TesseractConfig) (*Tesseract, error) {
	if cfg.Processes < 0 {
		return nil, fmt.Errorf("tesseract: Processes is %d: it has to be positive, or 0 for one per core", cfg.Processes)
	}
	name := cmp.Or(cfg.Cmd, "tesseract")
	cmd, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("tesseract: %w; install it (on Debian: apt-get install tesseract-ocr) or set TESSERACT_CMD to its path", err)
	}
	t := &Tesseract{
		cmd:     cmd,
		tempDir: cmp.Or(cfg.TempDir, os.TempDir()),
		running: make(chan struct{}, cmp.Or(cfg.Processes, runtime.GOMAXPROCS(0))),
	}
	if fi, err := os.Stat(t.tempDir); err != nil {
		return nil, fmt.Errorf("tesseract: temporary folder: %w", err)
	} else if !fi.IsDir() {
		return nil, fmt.Errorf("tesseract: temporary folder: %s is not a directory", t.tempDir)
	}
	version, err := t.ask("--version")
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(version, "tesseract ") {
		return nil, fmt.Errorf("tesseract: %s --version answers %.60q: it is not tesseract; set TESSERACT_CMD to tesseract's path", cmd, version)
	}
	languages, err := t.ask("--list-langs")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(languages) {
		// The first line is a heading, and can't be a language for its blanks.
		if l := strings.TrimSpace(line); validLanguage(l) {
			t.languages = append(t.languages, l)
		}
	}
	if len(t.languages) == 0 {
		return nil, fmt.Errorf("tesseract: %s has no languages; install some (on Debian: apt-get install tesseract-ocr-eng) or set TESSDATA_PREFIX to the folder of their .traineddata files", cmd)
	}
	return t, nil
}

// ask returns what the command prints when it is called with one option.
func (t *Tesseract) ask(option string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), startTimeout, fmt.Errorf("no answer within %v", startTimeout))
	defer cancel()
	out := &boundedBuffer{limit: 64 << 10}
	stderr, err := run(ctx, nil, out, t.tempDir, t.cmd, option)
	if err != nil {
		return "", fmt.Errorf("tesseract: %s %s: %w: %s", t.cmd, option, err, cmp.Or(stderr, "no message"))
	}
	return out.String(), nil
}

// Languages returns the installed languages by tesseract's names.
func (t *Tesseract) Languages() []string { return slices.Clone(t.languages) }

// Recognize reads the text of an image. It waits for its turn when as many processes run as may.
//
// An error is an [*Error]. It is permanent when the page is no image that tesseract reads, when a language is unknown or not installed,
// or when tesseract gives up; it is not when the process could not be started or was killed by a signal, as the kernel does
// when memory runs out.
func (t *Tesseract) Recognize(ctx context.Context, p Page) (Result, error) {
	fail := func(permanent bool, err error) (Result, error) {
		return Result{}, &Error{Engine: "tesseract", Page: p.Number, Permanent: permanent, Err: err}
	}
	args, err := t.arguments(p)
	if err != nil {
		return fail(true, err)
	}
	select {
	case t.running <- struct{}{}:
		defer func() { <-t.running }()
	case <-ctx.Done():
		return fail(false, context.Cause(ctx))
	}
	dir, err := os.MkdirTemp(t.tempDir, "ocr-")
	if err != nil {
		return fail(false, err)
	}
	defer os.RemoveAll(dir)

	base := filepath.Join(dir, "page")
	stderr, err := run(ctx, bytes.NewReader(p.Image), io.Discard, dir, t.cmd, append([]string{"-", base}, args...)...)
	if err != nil {
		return fail(saysNo(err), fmt.Errorf("%w: %s", err, cmp.Or(stderr, "no message")))
	}
	r, err := readOutput(base)
	if errors.Is(err, errNoPage) {
		return fail(true, fmt.Errorf("%w: %s", err, cmp.Or(stderr, "no message")))
	}
	if err != nil {
		return fail(errors.Is(err, errTooMuch), err)
	}
	return r, nil
}

// arguments checks the page and returns tesseract's options for it. Nothing of the page but numbers and checked languages
// gets into them.
func (t *Tesseract) arguments(p Page) ([]string, error) {
	if len(p.Image) == 0 && p.Text != "" {
		return nil, errors.New("tesseract reads images only, not the text of an earlier step")
	}
	if ImageFormat(p.Image) == "" {
		return nil, errors.New("not an image that tesseract reads (JPEG, PNG, GIF, BMP, TIFF, WebP)")
	}
	languages, err := languageArgument(p.Languages, t.languages)
	if err != nil {
		return nil, err
	}
	segmentation := "3" // automatic, without orientation
	if p.Handwriting {
		segmentation = "6" // one block of text
	}
	args := []string{"-l", languages, "--psm", segmentation}
	if p.DPI > 0 {
		args = append(args, "--dpi", strconv.Itoa(p.DPI))
	}
	return append(args, "txt", "tsv"), nil
}

// saysNo tells whether a process ended by itself, with a code of failure. One that never began or that a signal has ended says
// nothing about the page.
func saysNo(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Exited()
}

var (
	// errNoPage: tesseract ends with code 0 without having read a page when, for one, a TIFF can't be opened.
	errNoPage  = errors.New("tesseract found no page")
	errTooMuch = fmt.Errorf("tesseract wrote more than %d MiB", maxOutput>>20)
)

// readOutput reads what tesseract has left under the name base: base.txt and base.tsv. Output that is missing, torn or
// contradicts itself means that it could not be written; tesseract itself does not notice a full disk.
func readOutput(base string) (Result, error) {
	table, err := readBounded(base + ".tsv")
	if err != nil {
		return Result{}, err
	}
	l, err := parseTSV(table)
	if err != nil {
		return Result{}, fmt.Errorf("%w; is the disk of the temporary folder full?", err)
	}
	if l.pages == 0 {
		return Result{}, errNoPage
	}
	raw, err := readBounded(base + ".txt")
	if err != nil {
		return Result{}, err
	}
	text := strings.TrimSpace(strings.ToValidUTF8(string(raw), "\ufffd"))
	if text == "" && l.words > 0 {
		return Result{}, fmt.Errorf("%d words were found but no text was written; is the disk of the temporary folder full?", l.words)
	}
	return Result{Text: text, Confidence: l.confidence, Blocks: l.blocks, Words: l.words}, nil
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxOutput+1))
	if err == nil && len(data) > maxOutput {
		err = errTooMuch
	}
	return data, err
}
