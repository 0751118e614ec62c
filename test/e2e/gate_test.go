package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// gate is a tesseract that begins a page and goes on with it only when the test lets it, so that something can happen
// in the middle of a page.
type gate struct {
	t   *testing.T
	dir string
}

// A process whose worker is gone ends by itself.
const gateScript = `#!/bin/sh
case "$1" in --*) exec %[2]q "$@";; esac
cd %[1]q || exit 1
: >"began.$$"
until [ -e open ] || rm pass.* 2>/dev/null; do
	kill -0 $PPID 2>/dev/null || exit 1
	sleep 0.05
done
exec %[2]q "$@"
`

func newGate(t *testing.T) *gate {
	t.Helper()
	tesseract, err := exec.LookPath("tesseract")
	if err != nil {
		t.Fatal(err)
	}
	return newGateBefore(t, tesseract)
}

func newGateBefore(t *testing.T, tesseract string) *gate {
	t.Helper()
	g := &gate{t, t.TempDir()}
	script := fmt.Sprintf(gateScript, g.dir, tesseract)
	if err := os.WriteFile(filepath.Join(g.dir, "tesseract"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.open)
	return g
}

// environ makes a worker use the gate.
func (g *gate) environ() string { return "TESSERACT_CMD=" + filepath.Join(g.dir, "tesseract") }

// waitBegun waits until n pages have been begun in all.
func (g *gate) waitBegun(n int) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%d pages are begun", n), func() bool { return len(g.begun()) >= n })
}

func (g *gate) begun() []string {
	g.t.Helper()
	begun, err := filepath.Glob(filepath.Join(g.dir, "began.*"))
	if err != nil {
		g.t.Fatal(err)
	}
	return begun
}

// pass lets one page go on; open lets all.
func (g *gate) pass() { g.touch("pass.1") }
func (g *gate) open() { g.touch("open") }

func (g *gate) touch(name string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), nil, 0o644); err != nil {
		g.t.Fatal(err)
	}
}

// standIn is a tesseract that takes a known time for a page, and counts the pages.
type standIn struct {
	t   *testing.T
	dir string
}

const standInScript = `#!/bin/sh
case "$1" in --*) exec %[2]q "$@";; esac
cat >/dev/null
sleep %[3]v
printf 'level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n1\t1\t0\t0\t0\t0\t0\t0\t9\t9\t-1\t\n' >"$2.tsv"
echo >"$2.txt"
echo >>%[1]q/pages
`

func newStandIn(t *testing.T, takes time.Duration) *standIn {
	t.Helper()
	needTesseract(t)
	tesseract, err := exec.LookPath("tesseract")
	if err != nil {
		t.Fatal(err)
	}
	e := &standIn{t, t.TempDir()}
	script := fmt.Sprintf(standInScript, e.dir, tesseract, takes.Seconds())
	if err := os.WriteFile(filepath.Join(e.dir, "tesseract"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *standIn) program() string { return filepath.Join(e.dir, "tesseract") }
func (e *standIn) environ() string { return "TESSERACT_CMD=" + e.program() }

// recognized returns how many pages it has recognized.
func (e *standIn) recognized() int {
	e.t.Helper()
	pages, err := os.ReadFile(filepath.Join(e.dir, "pages"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.t.Fatal(err)
	}
	return len(pages)
}
