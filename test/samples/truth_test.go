package samples_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gvpocr/worker/test/samples"
)

func folder(texts map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range texts {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestTruthIsTheTextWithTheLongestNameThatTheImagesNameBeginsWith(t *testing.T) {
	fsys := folder(map[string]string{
		"scan.txt":         "scan",
		"lucasta.txt":      "lucasta",
		"col.txt":          "col",
		"col2.txt":         "col2",
		"upper.TXT":        "upper",
		"set-1.txt":        "set-1",
		"set.txt":          "set",
		".txt":             "nameless",
		"sub/scan.txt":     "scan in a folder",
		"folder.txt/x.jpg": "",
	})
	for _, c := range []struct{ image, want string }{
		{"scan150.jpg", "scan"},
		{"scan.png", "scan"},
		{"scan", "scan"},
		{"lucasta.1.300.tif", "lucasta"},
		{"lucasta.047.jpg", "lucasta"},
		{"col2150.png", "col2"},
		{"col1150.png", "col"},
		{"upper150.JPG", "upper"},
		{"set-150.jpg", "set-1"},
		{"sub/scan150.jpg", "scan in a folder"},
		{"./sub/../scan150.jpg", "scan"},
	} {
		if got, err := samples.Truth(fsys, c.image); err != nil || got != c.want {
			t.Errorf("Truth(%q) = %q, %v; want %q", c.image, got, err, c.want)
		}
	}
	for _, image := range []string{"sca.jpg", "other.jpg", "Scan150.jpg", "folder.jpg", "sub/lucasta.jpg", "none/scan.jpg"} {
		if got, err := samples.Truth(fsys, image); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Truth(%q) = %q, %v; want fs.ErrNotExist", image, got, err)
		}
	}
}

func TestTruthLeavesAByteOrderMarkOut(t *testing.T) {
	fsys := folder(map[string]string{"a.txt": "\ufeffText"})
	if got, err := samples.Truth(fsys, "a.jpg"); err != nil || got != "Text" {
		t.Errorf("Truth = %q, %v", got, err)
	}
}

func TestTruthRefusesWhatIsNoPageOfText(t *testing.T) {
	fsys := folder(map[string]string{
		"whole.txt":  strings.Repeat("a", 64<<10),
		"long.txt":   strings.Repeat("a", 64<<10+1),
		"latin1.txt": "caf\xe9",
	})
	fsys["pipe.txt"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
	if _, err := samples.Truth(fsys, "whole.jpg"); err != nil {
		t.Errorf("64 KiB: %v", err)
	}
	for _, image := range []string{"long.jpg", "latin1.jpg", "pipe.jpg"} {
		if got, err := samples.Truth(fsys, image); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Truth(%q) = %d bytes, %v; want an error other than fs.ErrNotExist", image, len(got), err)
		}
	}
}

func TestTruthStaysInsideTheFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "scan.txt"), []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(dir, "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := samples.Truth(os.DirFS(inside), "../scan.jpg"); err == nil {
		t.Errorf("Truth = %q, want an error", got)
	}
}

func TestLanguagesFollowTheScriptOfTheTruth(t *testing.T) {
	for _, c := range []struct{ truth, want string }{
		{"A letter from the library.", "en"},
		{"हमारे गाँव का पुस्तकालय", "hi"},
		{"पुस्तकालय में OCR का काम", "hi"},
		{"The word पुस्तकालय means library.", "en"},
		{"कखग abc", "en"},
		{"1, 2, 3", "en"},
		{"", "en"},
	} {
		fsys := folder(map[string]string{"page.txt": c.truth})
		if got := samples.Languages(fsys, "page.jpg"); !slices.Equal(got, []string{c.want}) {
			t.Errorf("Languages with truth %q = %v, want %s", c.truth, got, c.want)
		}
	}
	if got := samples.Languages(folder(nil), "hindi.jpg"); !slices.Equal(got, []string{"en"}) {
		t.Errorf("Languages without a truth = %v, want en", got)
	}
}
