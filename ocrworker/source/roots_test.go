package source_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gvpocr/worker/ocrworker/source"
)

// tree is a pair of roots in one temporary folder, with a folder outside of them beside.
type tree struct {
	t     *testing.T
	dir   string // free of symbolic links
	roots source.Roots
}

func newTree(t *testing.T) *tree {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{t, dir, source.Roots{GVPOCR: filepath.Join(dir, "gvpocr"), Newsletters: filepath.Join(dir, "news")}}
	for _, d := range []string{"gvpocr/a", "news", "outside", "gvpocr-other"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tr.file("gvpocr/a/b.jpg", "gvpocr")
	tr.file("gvpocr/c.jpg", "c")
	tr.file("news/n.png", "news")
	tr.file("outside/secret.png", "secret")
	tr.file("gvpocr-other/x.png", "other")
	return tr
}

func (tr *tree) path(rel string) string { return filepath.Join(tr.dir, filepath.FromSlash(rel)) }

func (tr *tree) file(rel, content string) {
	tr.t.Helper()
	if err := os.WriteFile(tr.path(rel), []byte(content), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

// link makes a symbolic link; $ in its target stands for the temporary folder.
func (tr *tree) link(target, rel string) {
	tr.t.Helper()
	if err := os.Symlink(strings.ReplaceAll(target, "$", tr.dir), tr.path(rel)); err != nil {
		tr.t.Fatal(err)
	}
}

func TestPathIsFoundBelowItsRoot(t *testing.T) {
	tr := newTree(t)
	tr.link("a/b.jpg", "gvpocr/relative.jpg")
	tr.link("$/gvpocr/a/b.jpg", "gvpocr/absolute.jpg")
	tr.link("$/gvpocr/a", "gvpocr/folder")
	tr.link("folder/b.jpg", "gvpocr/chain.jpg")
	tr.link("../news/n.png", "gvpocr/news.png")
	tr.link("../../gvpocr/c.jpg", "gvpocr/a/up.jpg")
	for path, want := range map[string]string{
		"Bhushanji/a/b.jpg":            "gvpocr/a/b.jpg",
		"a/b.jpg":                      "gvpocr/a/b.jpg",
		"./a//b.jpg":                   "gvpocr/a/b.jpg",
		"a/../c.jpg":                   "gvpocr/c.jpg",
		"newsletters/n.png":            "news/n.png",
		tr.path("gvpocr/a/b.jpg"):      "gvpocr/a/b.jpg",
		tr.path("news/n.png"):          "news/n.png",
		"relative.jpg":                 "gvpocr/a/b.jpg",
		"absolute.jpg":                 "gvpocr/a/b.jpg",
		"folder/b.jpg":                 "gvpocr/a/b.jpg",
		"chain.jpg":                    "gvpocr/a/b.jpg",
		"a/up.jpg":                     "gvpocr/c.jpg",
		"news.png":                     "news/n.png", // from one root into the other
		tr.path("gvpocr/folder/b.jpg"): "gvpocr/a/b.jpg",
	} {
		loc, err := tr.roots.Locate(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if loc.Path != tr.path(want) || filepath.Join(loc.Root, loc.Rel) != loc.Path {
			t.Errorf("%s: %+v, want %s", path, loc, tr.path(want))
		}
		if again, err := tr.roots.Locate(loc.Path); err != nil || again != loc {
			t.Errorf("%s located twice: %+v, %v", path, again, err)
		}
	}
}

func TestRootMayBeASymlink(t *testing.T) {
	tr := newTree(t)
	tr.link("gvpocr", "app")
	roots := source.Roots{GVPOCR: tr.path("app")}
	for _, path := range []string{"a/b.jpg", "Bhushanji/a/b.jpg", tr.path("app/a/b.jpg"), tr.path("gvpocr/a/b.jpg")} {
		if loc, err := roots.Locate(path); err != nil || loc.Path != tr.path("gvpocr/a/b.jpg") {
			t.Errorf("%s: %+v, %v", path, loc, err)
		}
	}
}

func TestPathOutsideOfTheRootsIsRefused(t *testing.T) {
	tr := newTree(t)
	tr.link("$/outside", "gvpocr/dir")
	tr.link("../outside/secret.png", "gvpocr/secret.png")
	tr.link("$/outside/nothing.png", "gvpocr/dangling.png")
	tr.link("secret.png", "gvpocr/twice.png")
	for _, path := range []string{
		"../outside/secret.png",
		"Bhushanji/../../outside/secret.png",
		"Bhushanji/../newsletters/n.png", // within Newsletters only by an accident of the layout
		"newsletters/../gvpocr/c.jpg",
		"..",
		tr.path("outside/secret.png"),
		tr.path("outside/nothing.png"),
		tr.path("gvpocr-other/x.png"), // begins like a root
		tr.path("gvpocr") + "/../outside/secret.png",
		"/",
		"/dev/zero",
		"dir/secret.png",
		"dir/nothing.png",
		"secret.png",
		"twice.png",
		"dangling.png",
	} {
		loc, err := tr.roots.Locate(path)
		if !errors.Is(err, source.ErrOutside) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %+v, %v", path, loc, err)
		}
		if !filepath.IsAbs(loc.Path) {
			t.Errorf("%s: the error has no key but %q", path, loc.Path)
		}
	}
}

func TestMissingFileHasAStablePath(t *testing.T) {
	tr := newTree(t)
	tr.link("a", "gvpocr/folder")
	tr.link("a/gone.jpg", "gvpocr/dangling.jpg")
	for path, want := range map[string]string{
		"a/gone.jpg":                  "gvpocr/a/gone.jpg",
		"Bhushanji/folder/gone.jpg":   "gvpocr/a/gone.jpg",
		"dangling.jpg":                "gvpocr/a/gone.jpg",
		"folder/x/y/gone.jpg":         "gvpocr/a/x/y/gone.jpg",
		"c.jpg/below-a-file.jpg":      "gvpocr/c.jpg/below-a-file.jpg",
		tr.path("news/gone.jpg"):      "news/gone.jpg",
		tr.path("gvpocr/folder/gone"): "gvpocr/a/gone",
	} {
		loc, err := tr.roots.Locate(path)
		if !errors.Is(err, fs.ErrNotExist) || loc.Path != tr.path(want) {
			t.Errorf("%s: %+v, %v; want %s", path, loc, err, tr.path(want))
		}
		if again, err := tr.roots.Locate(loc.Path); !errors.Is(err, fs.ErrNotExist) || again != loc {
			t.Errorf("%s located twice: %+v, %v", path, again, err)
		}
	}
}

func TestMissingRootIsNotAMissingFile(t *testing.T) {
	tr := newTree(t)
	tr.link("$/nowhere", "dangling-root")
	for name, roots := range map[string]source.Roots{
		"not there":       {GVPOCR: tr.path("nowhere"), Newsletters: tr.path("news")},
		"a dangling link": {GVPOCR: tr.path("dangling-root")},
		"a file":          {GVPOCR: tr.path("outside/secret.png")},
		"not set":         {},
		"relative":        {GVPOCR: "gvpocr"},
	} {
		for _, path := range []string{"a/b.jpg", "Bhushanji/a/b.jpg"} {
			if _, err := roots.Locate(path); !errors.Is(err, source.ErrRootMissing) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s: %v", name, path, err)
			}
		}
	}
	roots := source.Roots{GVPOCR: tr.path("nowhere"), Newsletters: tr.path("news")}
	if _, err := roots.Locate(tr.path("nowhere/a.jpg")); !errors.Is(err, source.ErrRootMissing) {
		t.Errorf("absolute path below the missing root: %v", err)
	}
	if _, err := roots.Locate("newsletters/n.png"); err != nil {
		t.Errorf("the other root: %v", err)
	}
}

func TestImpossiblePathIsRefused(t *testing.T) {
	tr := newTree(t)
	tr.link("ring2", "gvpocr/ring1")
	tr.link("ring1", "gvpocr/ring2")
	for _, path := range []string{
		"", "a\x00.jpg", "Bhushanji/a/b.jpg\x00.png", strings.Repeat("a/", 2049), strings.Repeat("n", 256) + ".jpg", "ring1",
	} {
		if _, err := tr.roots.Locate(path); !errors.Is(err, source.ErrPath) {
			t.Errorf("%.40q: %v", path, err)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%.40q: the error has %d bytes", path, len(err.Error()))
		}
	}
	for _, path := range []string{"a", "Bhushanji/", ".", tr.path("gvpocr")} {
		if _, err := tr.roots.Locate(path); !errors.Is(err, source.ErrNotFile) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func FuzzLocateStaysBelowTheRoots(f *testing.F) {
	dir, err := filepath.EvalSymlinks(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	roots := source.Roots{GVPOCR: filepath.Join(dir, "g"), Newsletters: filepath.Join(dir, "n")}
	for _, d := range []string{"g/a", "n", "out"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			f.Fatal(err)
		}
	}
	for name, target := range map[string]string{"g/l": "../out", "g/m": filepath.Join(dir, "n"), "g/a/u": "..", "g/s": "s"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			f.Fatal(err)
		}
	}
	for _, s := range []string{"Bhushanji/a/b", "newsletters/x", "../x", "l/x", "m/x", "a/u/a/u/l", "s/x", "/", "", "\x00", dir + "/g/l", dir + "/g/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		loc, err := roots.Locate(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
		inside := strings.HasPrefix(loc.Path+"/", roots.GVPOCR+"/") || strings.HasPrefix(loc.Path+"/", roots.Newsletters+"/")
		if !inside || filepath.Clean(loc.Path) != loc.Path {
			t.Errorf("%q: %+v, %v", path, loc, err)
		}
	})
}
