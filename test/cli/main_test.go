// Package cli_test runs each command of the worker's command line, as a process, by the scripts in testdata/script:
// against a main server with real nsqd and nsqlookupd, and with real Tesseract.
package cli_test

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/gvpocr/worker/test/internal/programs"
)

var (
	update = flag.Bool("update", false, "write what the commands say into the scripts")

	binaries string // the folder of the worker
)

func TestMain(m *testing.M) {
	flag.Parse()
	programs.Main(m, func(worker string) { binaries = filepath.Dir(worker) })
}
