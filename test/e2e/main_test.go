// Package e2e_test runs the real worker, as processes of their own, against a main server: real nsqd and nsqlookupd, a
// MongoDB stand-in, real page images and real Tesseract.
package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	_ "github.com/gvpocr/worker/ocrworker" // so that a result which go test has cached is not taken for another worker's
)

var (
	program    string // the worker's
	buildFlags []string
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		// The tests wait for processes more than they compute, and each has a main server of its own.
		flag.Set("test.parallel", "8")
	}
	dir, err := os.MkdirTemp("", "e2e")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			os.RemoveAll(dir)
			os.Exit(code)
		}),
		// The loop of nsqd's queue on disk ends a moment after nsqd's Exit has returned.
		goleak.IgnoreTopFunction("github.com/nsqio/go-diskqueue.(*diskQueue).ioLoop"))
}

func build(dir string) error {
	program = filepath.Join(dir, "ocr-worker")
	args := append([]string{"build", "-o", program}, buildFlags...)
	out, err := exec.Command("go", append(args, "github.com/gvpocr/worker/cmd/ocr-worker")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the worker: %w\n%s", err, out)
	}
	return nil
}

func needTesseract(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tesseract"); err == nil {
		return
	}
	const missing = "tesseract is not installed (Debian: apt-get install tesseract-ocr tesseract-ocr-hin)"
	if os.Getenv("REQUIRE_TESSERACT") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}
