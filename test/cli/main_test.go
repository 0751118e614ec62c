// Package cli_test runs each command of the worker's command line, as a process, by the scripts in testdata/script:
// against a main server with real nsqd and nsqlookupd, and with real Tesseract.
package cli_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

var (
	update = flag.Bool("update", false, "write what the commands say into the scripts")

	programs   string // the folder of the built programs
	buildFlags []string
)

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "cli")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cli:", err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	programs = dir
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			os.RemoveAll(dir)
			os.Exit(code)
		}),
		// The loop of nsqd's queue on disk ends a moment after nsqd's Exit has returned.
		goleak.IgnoreTopFunction("github.com/nsqio/go-diskqueue.(*diskQueue).ioLoop"))
}

func build(dir string) error {
	args := append([]string{"build", "-o", filepath.Join(dir, "ocr-worker")}, buildFlags...)
	out, err := exec.Command("go", append(args, "github.com/gvpocr/worker/cmd/ocr-worker")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the worker: %w\n%s", err, out)
	}
	return nil
}
