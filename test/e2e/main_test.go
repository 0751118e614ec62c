// Package e2e_test runs the real worker, as processes of their own, against a main server: real nsqd and nsqlookupd, a
// MongoDB stand-in, real page images and real Tesseract.
package e2e_test

import (
	"flag"
	"os"
	"os/exec"
	"testing"

	"github.com/gvpocr/worker/test/internal/programs"
)

var program string // the worker

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		// The tests wait for processes more than they compute, and each has a main server of its own.
		flag.Set("test.parallel", "8")
	}
	programs.Main(m, func(worker string) { program = worker })
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
