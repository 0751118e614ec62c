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

func resolved(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
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
		files, err := batch.Scan(filepath.Join(dir, folder), roots)
		if err != nil || !slices.Equal(files.Paths, want) || (files.OtherKinds == 1) != (folder == "scans") {
			t.Errorf("%s: %+v, %v; want %q", folder, files, err, want)
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
		if files, err := batch.Scan(inner, c.roots); err != nil || !slices.Equal(files.Paths, []string{c.want}) {
			t.Errorf("%q, %v; want %s", files.Paths, err, c.want)
		}
	}
	for folder, reason := range map[string]string{
		"scansX":        "only below their folders",
		"":              "only below their folders",
		"scans/nothing": "no such file",
	} {
		if files, err := batch.Scan(filepath.Join(dir, "")+"/"+folder, roots); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %q, %v", folder, files.Paths, err)
		}
	}
}

// Workers resolve links, and key results by the file that one leads to.
func TestALinkToAFileStandsForTheFile(t *testing.T) {
	dir := tree(t, "scans/job/page.jpg", "scans/archive/1.jpg", "scans/archive/2.txt", "scans/archive/whole/3.jpg", "letters/4.png", "private/5.jpg")
	for name, target := range map[string]string{
		"1-here.jpg":       "page.jpg",
		"2-elsewhere.jpg":  "../archive/1.jpg",
		"3-again.jpg":      filepath.Join(dir, "scans/archive/1.jpg"),
		"4-chain.jpg":      "2-elsewhere.jpg",
		"5-other-root":     "../../letters/4.png", // what it leads to has the extension
		"6-other-kind.jpg": "../archive/2.txt",
		"7-folder":         "../archive/whole",
		"8-outside.jpg":    "../../private/5.jpg",
		"9-nothing.jpg":    "none.jpg",
		"9-ring.jpg":       "9-ring.jpg",
	} {
		if err := os.Symlink(target, filepath.Join(dir, "scans/job", name)); err != nil {
			t.Fatal(err)
		}
	}
	roots := source.Roots{GVPOCR: filepath.Join(dir, "scans"), Newsletters: filepath.Join(dir, "letters")}
	files, err := batch.Scan(filepath.Join(dir, "scans/job"), roots)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Bhushanji/archive/1.jpg", "Bhushanji/job/page.jpg", "newsletters/4.png"}; !slices.Equal(files.Paths, want) {
		t.Errorf("paths %q, want %q", files.Paths, want)
	}
	if files.OtherKinds != 1 {
		t.Errorf("%d files of other kinds", files.OtherKinds)
	}
	want := []string{
		"1-here.jpg: it leads to Bhushanji/job/page.jpg, which is in the job already",
		"3-again.jpg: it leads to Bhushanji/archive/1.jpg, which is in the job already",
		"4-chain.jpg: it leads to Bhushanji/archive/1.jpg, which is in the job already",
		"7-folder: links are followed to files only, not to folders",
		"8-outside.jpg: it leads out of the folders that workers read (GVPOCR_PATH, NEWSLETTERS_PATH)",
		"9-nothing.jpg: it leads to nothing",
		"9-ring.jpg: not a path of a file: too many symbolic links",
	}
	for i, link := range files.Links {
		files.Links[i] = strings.TrimPrefix(link, filepath.Join(resolved(t, dir), "scans/job")+"/")
	}
	if !slices.Equal(files.Links, want) {
		t.Errorf("links %q, want %q", files.Links, want)
	}
	// Workers agree: every path that is in the job is a file of theirs, under a key of its own.
	keys := map[string]bool{}
	for _, path := range files.Paths {
		location, err := roots.Locate(path)
		if err != nil || keys[location.Path] {
			t.Errorf("%s is %s for a worker, %v", path, location.Path, err)
		}
		keys[location.Path] = true
	}
}
