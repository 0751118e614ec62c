//go:build unix

package source_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/gvpocr/worker/ocrworker/source"
)

// A pipe without a writer would hold up an ordinary open for ever.
func TestPipeIsRefusedAtOnce(t *testing.T) {
	tr := newTree(t)
	if err := syscall.Mkfifo(tr.path("gvpocr/pipe.jpg"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, source.NewDisk(tr.roots), "pipe.jpg"); !errors.Is(err, source.ErrNotFile) {
		t.Error(err)
	}
}
