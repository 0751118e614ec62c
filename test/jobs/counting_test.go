package jobs_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gvpocr/worker/ocrworker/jobs"
)

// race calls f 8 times at once and returns how often it returned true.
func (b *bench) race(f func(i int) (bool, error)) int {
	b.t.Helper()
	var wins atomic.Int64
	var racers sync.WaitGroup
	start := make(chan struct{})
	for i := range 8 {
		racers.Go(func() {
			<-start
			won, err := f(i)
			if err != nil {
				b.t.Error(err)
			}
			if won {
				wins.Add(1)
			}
		})
	}
	close(start)
	racers.Wait()
	return int(wins.Load())
}

func TestAFileThatEightWorkersStoreAtOnceIsCountedOnce(t *testing.T) {
	everywhere(t, 3, func(b *bench) {
		copies := b.race(func(int) (bool, error) {
			return b.store.AddResult(b.ctx, b.file("/a.jpg", 0, "0000000000000001"), jobs.Result{Text: "a"})
		})
		published := b.race(func(i int) (bool, error) { // by a publisher that repeats itself
			return b.store.AddResult(b.ctx, b.file("/b.jpg", 1, fmt.Sprintf("100000000000000%d", i)), jobs.Result{Text: "b"})
		})
		mixed := b.race(func(i int) (bool, error) {
			f := b.file("/c.jpg", 2, "2000000000000000")
			if i%2 == 0 {
				return b.store.AddError(b.ctx, f, "c")
			}
			return b.store.AddResult(b.ctx, f, jobs.Result{Text: "c"})
		})
		if copies != 1 || published != 1 || mixed != 1 {
			b.t.Errorf("stored %d, %d and %d times, want once each", copies, published, mixed)
		}
		if d := b.document(); d.Consumed != 3 || len(d.Checkpoint.Results)+len(d.Checkpoint.Errors) != 3 || len(d.Checkpoint.Files) != 3 {
			b.t.Errorf("the document counts %+v", d)
		}
	})
}

func TestEightFilesAtOnceAreAllCounted(t *testing.T) {
	everywhere(t, 8, func(b *bench) {
		stored := b.race(func(i int) (bool, error) {
			return b.store.AddResult(b.ctx, b.file(fmt.Sprintf("/%d.jpg", i), i, fmt.Sprintf("000000000000000%d", i)), jobs.Result{})
		})
		if stored != 8 {
			b.t.Errorf("%d files are stored, want 8", stored)
		}
		b.wantCounts(8, 0)
		if p := b.document().Progress; p.Current != 8 || p.Percentage != 100 {
			b.t.Errorf("progress %+v, want 8 and 100: it is always written for the last file", p)
		}
	})
}

func TestClassifyTellsWhatTheDocumentSaysOfAFile(t *testing.T) {
	everywhere(t, 3, func(b *bench) {
		result := b.file("/a.jpg", 0, "0000000000000001")
		failed := b.file("/b.jpg", 1, "0000000000000002")
		added, err := b.store.AddResult(b.ctx, result, jobs.Result{Text: "a"})
		b.want("AddResult", added, true, err)
		added, err = b.store.AddError(b.ctx, failed, "broken")
		b.want("AddError", added, true, err)
		for name, test := range map[string]struct {
			file jobs.File
			want jobs.State
		}{
			"a file that is not there":           {b.file("/c.jpg", 2, "0000000000000003"), jobs.Pending},
			"the same delivery":                  {result, jobs.Done},
			"a failed file's delivery":           {failed, jobs.Done},
			"its path and index, published anew": {b.file("/a.jpg", 0, "0000000000000004"), jobs.Done},
			"its message, whatever it names":     {b.file("/c.jpg", 2, "0000000000000001"), jobs.Done},
			"its path under another index":       {b.file("/a.jpg", 2, "0000000000000005"), jobs.Duplicate},
			"a job that is not there":            {jobs.File{JobID: "none", Path: "/a.jpg", MessageID: "0000000000000001"}, jobs.NoJob},
			"an operator for a job":              {jobs.File{JobID: "$exists", Path: "/a.jpg", MessageID: "0000000000000001"}, jobs.NoJob},
		} {
			if got, err := b.store.Classify(b.ctx, test.file); err != nil || got != test.want {
				b.t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
			}
		}
		if added, err := b.store.AddResult(b.ctx, jobs.File{JobID: "none", Path: "/a.jpg", MessageID: "1"}, jobs.Result{}); added || err != nil {
			b.t.Errorf("a result of a job that is not there: %v, %v, want false", added, err)
		}
		b.wantCounts(1, 1)
	})
}

func TestADuplicateIsCountedOncePerMessage(t *testing.T) {
	everywhere(t, 3, func(b *bench) {
		added, err := b.store.AddResult(b.ctx, b.file("/a.jpg", 0, "0000000000000001"), jobs.Result{Text: "a"})
		b.want("AddResult", added, true, err)
		wins := b.race(func(int) (bool, error) { return b.store.AddDuplicate(b.ctx, b.file("/a.jpg", 1, "0000000000000002")) })
		if wins != 1 {
			b.t.Errorf("the second link is counted %d times, want once", wins)
		}
		added, err = b.store.AddDuplicate(b.ctx, b.file("/a.jpg", 2, "0000000000000003"))
		b.want("a third link", added, true, err)
		b.wantCounts(1, 2)
		d := b.document()
		if e := d.Checkpoint.Errors[0]; e.Error != "duplicate of /a.jpg" || e.Path != "/a.jpg" {
			b.t.Errorf("the error is %+v", e)
		}
		if len(d.Checkpoint.Files) != 1 || len(d.Checkpoint.Messages) != 3 {
			b.t.Errorf("processed are %q, by messages %q", d.Checkpoint.Files, d.Checkpoint.Messages)
		}
		state, err := b.store.Classify(b.ctx, b.file("/a.jpg", 1, "0000000000000002"))
		if err != nil || state != jobs.Done {
			b.t.Errorf("a duplicate that is counted: %v, %v, want Done", state, err)
		}
	})
}

func TestAnErrorIsStoredShortEnoughForThousands(t *testing.T) {
	everywhere(t, 1, func(b *bench) {
		added, err := b.store.AddError(b.ctx, b.file("/a.jpg", 0, "0000000000000001"), "because "+strings.Repeat("अ", 1<<20))
		b.want("AddError", added, true, err)
		reason := b.document().Checkpoint.Errors[0].Error
		if len(reason) > 3000 || !strings.HasPrefix(reason, "because अ") || !strings.HasSuffix(reason, "…") {
			b.t.Errorf("the error has %d bytes: %.40s", len(reason), reason)
		}
	})
}

// MongoDB would read such text as a field or an operator in a pipeline update.
func TestTextIsStoredAsText(t *testing.T) {
	everywhere(t, 10, func(b *bench) {
		for i, text := range []string{"$set", "$$ROOT", "$consumed_count", "a.b.c", `{"$inc": 1}`, "", "nul\x00nul", "हिन्दी", "\xff\xfebytes"} {
			want := strings.ToValidUTF8(text, "\uFFFD")
			f := b.file("/"+want+".jpg", i, fmt.Sprintf("000000000000000%d", i))
			added, err := b.store.AddResult(b.ctx, f, jobs.Result{Text: text, Languages: []string{want}, DetectedLanguage: want, Provider: want})
			b.want(text, added, true, err)
			r := b.document().Checkpoint.Results[i]
			if r.Text != want || r.Full != want || r.Path != f.Path {
				b.t.Errorf("%q is stored as %q and %q of %q", text, r.Text, r.Full, r.Path)
			}
		}
		added, err := b.store.AddError(b.ctx, b.file("/$push", 9, "0000000000000009"), "$where \xff")
		b.want("AddError", added, true, err)
		if e := b.document().Checkpoint.Errors[0].Error; e != "$where \uFFFD" {
			b.t.Errorf("the error is stored as %q", e)
		}
	})
}
