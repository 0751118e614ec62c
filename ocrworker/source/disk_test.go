package source_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"testing"

	"github.com/gvpocr/worker/ocrworker/source"
)

var _ source.Source = (*source.Disk)(nil)

func read(t *testing.T, d *source.Disk, path string) (string, error) {
	t.Helper()
	f, err := d.Open(t.Context(), path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != int64(len(data)) {
		t.Errorf("Stat of %s: %v, %v", path, fi, err)
	}
	return string(data), nil
}

func TestDiskOpensTheFileOfATask(t *testing.T) {
	tr := newTree(t)
	tr.link("$/gvpocr/a/b.jpg", "gvpocr/absolute.jpg")
	d := source.NewDisk(tr.roots)
	for path, want := range map[string]string{
		"Bhushanji/a/b.jpg":       "gvpocr",
		"absolute.jpg":            "gvpocr",
		"newsletters/n.png":       "news",
		tr.path("gvpocr/a/b.jpg"): "gvpocr",
	} {
		if got, err := read(t, d, path); got != want || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestDiskTellsWhyAFileIsNotOpened(t *testing.T) {
	tr := newTree(t)
	tr.link("$/outside/secret.png", "gvpocr/secret.png")
	for path, want := range map[string]error{
		"gone.jpg":    fs.ErrNotExist,
		"secret.png":  source.ErrOutside,
		"../x":        source.ErrOutside,
		"a":           source.ErrNotFile,
		"":            source.ErrPath,
		"/etc/passwd": source.ErrOutside,
	} {
		if _, err := read(t, source.NewDisk(tr.roots), path); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", path, err, want)
		}
	}
	gone := source.NewDisk(source.Roots{GVPOCR: tr.path("nowhere")})
	if _, err := read(t, gone, "x.jpg"); !errors.Is(err, source.ErrRootMissing) {
		t.Errorf("without its root: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the worker stops")
	cancel(why)
	if _, err := source.NewDisk(tr.roots).Open(ctx, "c.jpg"); !errors.Is(err, why) {
		t.Errorf("after a cancel: %v", err)
	}
}

func TestFileThatMayNotBeReadIsAPermissionError(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	tr := newTree(t)
	if err := os.Chmod(tr.path("gvpocr/c.jpg"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, source.NewDisk(tr.roots), "c.jpg"); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

// A file that is replaced by a link to the outside, again and again while it is being opened, never gives the outside's content.
func TestLinkThatTakesAFilesPlaceDoesNotLeadOutside(t *testing.T) {
	tr := newTree(t)
	d := source.NewDisk(tr.roots)
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			tmp := tr.path("gvpocr/tmp")
			if i%2 == 0 {
				_ = os.Symlink(tr.path("outside/secret.png"), tmp)
			} else {
				_ = os.WriteFile(tmp, []byte("c"), 0o644)
			}
			_ = os.Rename(tmp, tr.path("gvpocr/c.jpg"))
		}
	})
	opened, refused := 0, 0
	for range 2000 {
		f, err := d.Open(t.Context(), "c.jpg")
		if err != nil {
			refused++
			continue
		}
		opened++
		data, err := io.ReadAll(f)
		f.Close()
		if err != nil || string(data) == "secret" {
			t.Errorf("read %q, %v", data, err)
			break
		}
	}
	close(stop)
	swapping.Wait()
	t.Logf("opened %d times, refused %d times", opened, refused)
}
