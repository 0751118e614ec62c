package batch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker/source"
)

// tree makes files below a new folder.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Workers have the folders elsewhere, so paths are relative to them.
func TestFilesAreNamedAsEveryWorkerHasThem(t *testing.T) {
	dir := tree(t, "scans/b/2.PDF", "scans/b/1.jpg", "scans/a.tiff", "scans/a.txt", "letters/1.webp", "scans/letters/x.png", "scansX/1.png")
	if err := os.Symlink("../letters", filepath.Join(dir, "scans/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("scans", filepath.Join(dir, "mounted")); err != nil {
		t.Fatal(err)
	}
	roots := source.Roots{GVPOCR: filepath.Join(dir, "mounted"), Newsletters: filepath.Join(dir, "letters")}
	for folder, want := range map[string][]string{
		"scans":     {"Bhushanji/a.tiff", "Bhushanji/b/1.jpg", "Bhushanji/b/2.PDF", "Bhushanji/letters/x.png"},
		"mounted/b": {"Bhushanji/b/1.jpg", "Bhushanji/b/2.PDF"},
		"letters/":  {"newsletters/1.webp"},

		"scans/b/1.jpg": {"Bhushanji/b/1.jpg"}, // a file is a job too
	} {
		paths, left, err := batch.Scan(filepath.Join(dir, folder), roots)
		if err != nil || !slices.Equal(paths, want) || (left == 1) != (folder == "scans") {
			t.Errorf("%s: %q, %d left, %v; want %q", folder, paths, left, err, want)
		}
	}
	// Of two roots of which one holds the other, the deeper one is meant.
	outer, inner := filepath.Join(dir, "scans"), filepath.Join(dir, "scans/letters")
	for _, c := range []struct {
		roots source.Roots
		want  string
	}{
		{source.Roots{GVPOCR: outer, Newsletters: inner}, "newsletters/x.png"},
		{source.Roots{GVPOCR: inner, Newsletters: outer}, "Bhushanji/x.png"},
	} {
		if paths, _, err := batch.Scan(inner, c.roots); err != nil || !slices.Equal(paths, []string{c.want}) {
			t.Errorf("%q, %v; want %s", paths, err, c.want)
		}
	}
	for folder, reason := range map[string]string{
		"scansX":        "only below their folders",
		"":              "only below their folders",
		"scans/nothing": "no such file",
	} {
		if paths, _, err := batch.Scan(filepath.Join(dir, "")+"/"+folder, roots); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %q, %v", folder, paths, err)
		}
	}
}
