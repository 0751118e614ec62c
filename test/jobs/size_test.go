package jobs_test

import (
	"strings"
	"testing"

	"github.com/gvpocr/worker/ocrworker/jobs"
)

const limit = 16 << 20 // of a MongoDB document

func TestAJobThatIsNearlyFullRefusesAResultAndTakesTheErrorThatSaysSo(t *testing.T) {
	everywhere(t, 1, func(b *bench) {
		b.insert(1, strings.Repeat("x", limit-20_000))
		f := b.file("/a.jpg", 0, "0000000000000001")
		_, err := b.store.AddResult(b.ctx, f, jobs.Result{Text: strings.Repeat("a", 10_000)})
		b.wantTooLarge(err)
		b.wantCounts(0, 0)
		added, err := b.store.AddError(b.ctx, f, "the job's document has no room for this result")
		b.want("AddError", added, true, err)
		b.wantCounts(0, 1)
	})
}

func TestAJobThatIsFullRefusesEvenTheError(t *testing.T) {
	everywhere(t, 1, func(b *bench) {
		b.insert(1, strings.Repeat("x", limit-600))
		_, err := b.store.AddError(b.ctx, b.file("/a.jpg", 0, "0000000000000001"), strings.Repeat("no room ", 100))
		b.wantTooLarge(err)
		b.wantCounts(0, 0)
	})
}

// Beyond 48 MB a server does not even answer, which must not be taken for an outage.
func TestATextThatNoDocumentCanHoldIsTooLargeAndNoOutage(t *testing.T) {
	everywhere(t, 1, func(b *bench) {
		f := b.file("/a.jpg", 0, "0000000000000001")
		for _, size := range []int{limit/2 - 100, limit / 2, limit, 2 * limit} { // it is stored twice
			_, err := b.store.AddResult(b.ctx, f, jobs.Result{Text: strings.Repeat("a", size)})
			b.wantTooLarge(err)
		}
		b.wantCounts(0, 0)
		added, err := b.store.AddResult(b.ctx, f, jobs.Result{Text: strings.Repeat("a", limit/2-2000)})
		b.want("one that fits", added, true, err)
	})
}

func (b *bench) wantTooLarge(err error) {
	b.t.Helper()
	if !jobs.IsTooLarge(err) || jobs.IsOutage(err) {
		b.t.Errorf("too large %v, outage %v, want true and false: %v", jobs.IsTooLarge(err), jobs.IsOutage(err), err)
	}
}
