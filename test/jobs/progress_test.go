package jobs_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/ocrworker/jobs"
)

func TestProgressFollowsAndIsWrittenForTheLastFile(t *testing.T) {
	everywhere(t, 3, func(b *bench) {
		for i, want := range []struct{ least, most, percentage int }{
			{1, 1, 33}, // the first is written, rounded down
			{1, 2, 66}, // at most once a second: the second one may be left out
			{3, 3, 100},
		} {
			name := string(rune('a' + i))
			added, err := b.store.AddResult(b.ctx, b.file("/"+name+".jpg", i, "000000000000000"+name), jobs.Result{})
			b.want(name, added, true, err)
			p := b.document().Progress
			if p.Current < want.least || p.Current > want.most || p.Percentage > want.percentage || p.Percentage != 100*p.Current/3 {
				b.t.Errorf("after file %d: progress %+v", i+1, p)
			}
			if p.Filename != name+".jpg" {
				b.t.Errorf("progress.filename is %q, want that of every file", p.Filename)
			}
		}
	})
}

func TestProgressNeverGoesBackwards(t *testing.T) {
	everywhere(t, 2, func(b *bench) {
		ahead := bson.M{"$set": bson.M{"progress.current": 9, "progress.percentage": 90}} // as another worker may have written
		if _, err := b.docs.UpdateOne(b.ctx, bson.M{"job_id": b.job}, ahead); err != nil {
			b.t.Fatal(err)
		}
		for i, name := range []string{"a", "b"} {
			added, err := b.store.AddError(b.ctx, b.file("/"+name, i, "000000000000000"+name), "broken")
			b.want(name, added, true, err)
		}
		if p := b.document().Progress; p.Current != 9 || p.Percentage != 100 {
			b.t.Errorf("progress %+v, want the larger of each: 9 and 100", p)
		}
	})
}

func TestAJobWithoutATotalHasProgressAllTheSame(t *testing.T) {
	everywhere(t, 0, func(b *bench) {
		added, err := b.store.AddResult(b.ctx, b.file("/a.jpg", 0, "0000000000000001"), jobs.Result{})
		b.want("AddResult", added, true, err)
		b.wantCounts(1, 0)
		if p := b.document().Progress; p.Current != 1 || p.Percentage != 0 {
			b.t.Errorf("progress %+v", p)
		}
	})
}
