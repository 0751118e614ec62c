package ocrworker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/gvpocr/worker/ocrworker/source"
)

// shelf is a source whose files and outages the test decides.
type shelf struct {
	mu    sync.Mutex // guards the fields below
	away  bool
	fails map[string]error
	files fstest.MapFS
	asked int
}

func (s *shelf) Open(_ context.Context, path string) (fs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.away {
		return nil, fmt.Errorf("status 503: %w", source.ErrAway)
	}
	if err := s.fails[path]; err != nil {
		return nil, err
	}
	return s.files.Open(path)
}

func (s *shelf) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func onePixel(t *testing.T) []byte {
	t.Helper()
	var page bytes.Buffer
	if err := png.Encode(&page, image.NewGray(image.Rect(0, 0, 20, 20))); err != nil {
		t.Fatal(err)
	}
	return page.Bytes()
}

func newShelf(t *testing.T, names ...string) *shelf {
	s := &shelf{files: fstest.MapFS{}, fails: map[string]error{}}
	for _, name := range names {
		s.files[name] = &fstest.MapFile{Data: onePixel(t)}
	}
	return s
}

// seeker is a worker that only looks for files.
type seeker struct {
	*Worker
	log syncBuffer
}

// seek runs a test in a bubble, with a worker of two places.
func seek(t *testing.T, sources func(source.Roots) []source.Source, test func(t *testing.T, w *seeker)) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "gvpocr"), 0o755); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &seeker{Worker: &Worker{}}
		w.logger = slog.New(slog.NewTextHandler(&w.log, nil))
		w.cfg.Concurrency = 2
		w.cfg.Roots = source.Roots{GVPOCR: filepath.Join(dir, "gvpocr"), Newsletters: filepath.Join(dir, "news")}
		w.cfg.Sources = sources(w.cfg.Roots)
		w.gates = w.sourceGates()
		w.draining, w.drain = context.WithCancel(t.Context())
		defer w.drain()
		test(t, w)
	})
}

func (w *seeker) find(ctx context.Context, path string) (d *delivery, err error) {
	i := 0
	d = &delivery{task: task{JobID: "j", FilePath: path, FileIndex: &i}}
	w.locate(d)
	document, err := w.Worker.find(ctx, d)
	if err == nil && document.Len() != 1 {
		err = fmt.Errorf("%d pages", document.Len())
	}
	return d, err
}

func classIs(err error, c class) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.class == c
}

func TestATaskWaitsForTheSourceOfItsFileAndOthersGoOn(t *testing.T) {
	near, far := newShelf(t, "a.png", "c.png"), newShelf(t, "b.png")
	far.set(true)
	seek(t, func(source.Roots) []source.Source { return []source.Source{near, far} }, func(t *testing.T, w *seeker) {
		var waits sync.WaitGroup
		waits.Go(func() {
			begin := time.Now()
			if d, err := w.find(t.Context(), "b.png"); err != nil || !d.waited {
				t.Errorf("waited %v: %v", d.waited, err)
			}
			if took := time.Since(begin); took < 30*time.Second || took > 31*time.Second {
				t.Errorf("the file was there after 30 s, and found after %v", took)
			}
		})
		synctest.Wait()
		for _, name := range []string{"a.png", "c.png"} {
			if d, err := w.find(t.Context(), name); err != nil || d.waited {
				t.Errorf("%s: waited %v: %v", name, d.waited, err)
			}
		}
		time.Sleep(30 * time.Second)
		if n := far.count(); n < 30 || n > 300 {
			t.Errorf("the source that is away was asked %d times in 30 s", n)
		}
		far.set(false)
		waits.Wait()
		if w.log.count("file source 2 is away") != 1 || w.log.count("file source 2 is back") != 1 {
			t.Errorf("the log does not say once that the source is away and that it is back: %s", w.log.buf.String())
		}
	})
}

func TestAFileThatAnotherSourceHasIsNotWaitedFor(t *testing.T) {
	near, far := newShelf(t), newShelf(t, "a.png")
	near.set(true)
	seek(t, func(source.Roots) []source.Source { return []source.Source{near, far} }, func(t *testing.T, w *seeker) {
		begin := time.Now()
		for range 10 {
			if d, err := w.find(t.Context(), "a.png"); err != nil || d.waited {
				t.Errorf("waited %v: %v", d.waited, err)
			}
		}
		if near.count() != 1 || time.Since(begin) != 0 {
			t.Errorf("the source that is away was asked %d times, and the files found after %v", near.count(), time.Since(begin))
		}
	})
}

// The queue can't be asked for tasks that need another source.
func TestTheLastPlaceDoesNotWaitForASource(t *testing.T) {
	s := newShelf(t)
	s.set(true)
	seek(t, func(source.Roots) []source.Source { return []source.Source{s} }, func(t *testing.T, w *seeker) {
		begin := time.Now()
		var waits sync.WaitGroup
		for _, want := range []time.Duration{time.Minute, time.Second} {
			waits.Go(func() {
				_, err := w.find(t.Context(), "a.png")
				if !classIs(err, sourceAway) {
					t.Errorf("%#v", err)
				}
				if took := time.Since(begin); took != want {
					t.Errorf("it waited %v, want %v", took, want)
				}
			})
			synctest.Wait()
		}
		waits.Wait()
		if w.waiting != 0 {
			t.Errorf("%d tasks wait", w.waiting)
		}
	})
}

func TestAShutdownEndsTheWaitForASource(t *testing.T) {
	s := newShelf(t)
	s.set(true)
	seek(t, func(source.Roots) []source.Source { return []source.Source{s} }, func(t *testing.T, w *seeker) {
		begin := time.Now()
		time.AfterFunc(10*time.Second, w.drain)
		if _, err := w.find(t.Context(), "a.png"); !classIs(err, sourceAway) || time.Since(begin) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestAFileThatFailsWhileOthersAreServedIsToBlameItself(t *testing.T) {
	s := newShelf(t, "good.png")
	s.fails["bad.png"] = source.ErrAway
	seek(t, func(source.Roots) []source.Source { return []source.Source{s} }, func(t *testing.T, w *seeker) {
		w.cfg.Concurrency = 3 // so that nobody waits in the last place
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var others sync.WaitGroup
		others.Go(func() {
			for ctx.Err() == nil {
				if _, err := w.find(ctx, "good.png"); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		if _, err := w.find(t.Context(), "bad.png"); !classIs(err, transient) {
			t.Errorf("%#v", err)
		}
		cancel()
		others.Wait()
	})
}

// A root that may be a symbolic link decides the key of a result, which is known only when the root is there.
func TestARootThatIsMountedLaterGivesTheFileItsKey(t *testing.T) {
	disk := func(r source.Roots) []source.Source { return []source.Source{source.NewDisk(r)} }
	seek(t, disk, func(t *testing.T, w *seeker) {
		news := w.cfg.Roots.Newsletters
		time.AfterFunc(5*time.Second, func() {
			if err := os.Mkdir(news+".real", 0o755); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(filepath.Join(news+".real", "a.png"), onePixel(t), 0o644); err != nil {
				t.Error(err)
			}
			if err := os.Symlink(news+".real", news); err != nil {
				t.Error(err)
			}
		})
		d, err := w.find(t.Context(), "newsletters/a.png")
		if err != nil || d.file.Path != filepath.Join(news+".real", "a.png") {
			t.Errorf("%s: %v", d.file.Path, err)
		}
		if w.log.count("the folder "+news+" is away") != 1 {
			t.Errorf("the log does not say once what is away: %s", w.log.buf.String())
		}
	})
}

func TestAFileThatNoSourceHasIsAnErrorAndARootThatIsNotConfiguredIsNoOutage(t *testing.T) {
	disk := func(r source.Roots) []source.Source { return []source.Source{source.NewDisk(r)} }
	seek(t, disk, func(t *testing.T, w *seeker) {
		if _, err := w.find(t.Context(), "a.png"); !classIs(err, permanent) {
			t.Errorf("a missing file: %#v", err)
		}
		w.cfg.Roots.Newsletters = ""
		if _, err := w.find(t.Context(), "newsletters/a.png"); !classIs(err, transient) {
			t.Errorf("a root that is not configured: %#v", err)
		}
	})
}
