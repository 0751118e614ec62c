// Package programs builds the worker for tests that run it as a process.
package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	_ "github.com/gvpocr/worker/ocrworker" // so that a result which go test has cached is not taken for another worker's
)

var buildFlags []string

// Main is the main function of a test package: it builds the worker, hands its path to use, runs the tests, and looks for
// goroutines that they left.
func Main(m *testing.M, use func(worker string)) {
	dir, err := os.MkdirTemp("", "programs")
	if err == nil {
		err = build(filepath.Join(dir, "ocr-worker"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	use(filepath.Join(dir, "ocr-worker"))
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			os.RemoveAll(dir)
			os.Exit(code)
		}),
		// The loop of nsqd's queue on disk ends a moment after nsqd's Exit has returned.
		goleak.IgnoreTopFunction("github.com/nsqio/go-diskqueue.(*diskQueue).ioLoop"))
}

func build(program string) error {
	args := append([]string{"build", "-o", program}, buildFlags...)
	out, err := exec.Command("go", append(args, "github.com/gvpocr/worker/cmd/ocr-worker")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the worker: %w\n%s", err, out)
	}
	return nil
}
