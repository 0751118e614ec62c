package jobs_test

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/test/mongotest"
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

// Whoever counts the last file may die before it has written the progress. Its message comes again.
func TestTheProgressOfACompleteJobIsMadeUpForWhenAMessageComesAgain(t *testing.T) {
	everywhere(t, 2, func(b *bench) {
		files := []jobs.File{b.file("/a.jpg", 0, "000000000000000a"), b.file("/b.jpg", 1, "000000000000000b")}
		behind := bson.M{"$set": bson.M{"progress.current": 1, "progress.percentage": 50}}
		for i, f := range files {
			added, err := b.store.AddResult(b.ctx, f, jobs.Result{})
			b.want(f.Path, added, true, err)
			if _, err := b.docs.UpdateOne(b.ctx, bson.M{"job_id": b.job}, behind); err != nil {
				b.t.Fatal(err)
			}
			state, err := b.store.Classify(b.ctx, f)
			b.want("Classify says that it is done", state == jobs.Done, true, err)
			if p := b.document().Progress; p.Current != i+1 || p.Percentage != 50*(i+1) {
				b.t.Errorf("after file %d: progress %+v", i+1, p)
			}
		}
	})
}

func TestTheLastFilesProgressIsNotLostInAnOutage(t *testing.T) {
	t.Parallel()
	srv := startMongo(t, mongotest.Config{})
	b := newBench(t, srv.URI(), 1)
	var armed, away atomic.Bool // away from the moment when the progress is to be written
	armed.Store(true)
	d, err := dialer.New(dialer.Config{Budget: -1, DialFunc: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if away.Load() {
			return nil, syscall.ECONNREFUSED
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &cutBefore{conn, "$max", &armed, &away}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	store := open(t, jobs.Config{URI: srv.URI(), Dialer: d})
	f := b.file("/a.jpg", 0, "000000000000000a")
	if _, err := store.AddResult(b.ctx, f, jobs.Result{}); !jobs.IsOutage(err) {
		t.Errorf("the progress was not written, and that is no outage: %v", err)
	}
	b.wantCounts(1, 0)
	if p := b.document().Progress; p.Current != 0 {
		t.Errorf("progress %+v, which was not to be written", p)
	}
	away.Store(false)
	for { // until the dialer has found it back
		state, err := store.Classify(b.ctx, f)
		if err == nil {
			b.want("Classify says that it is done", state == jobs.Done, true, err)
			break
		}
		if !jobs.IsOutage(err) || b.ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if p := b.document().Progress; p.Current != 1 || p.Percentage != 100 {
		t.Errorf("progress %+v, want 1 and 100", p)
	}
}

// cutBefore is a connection that ends, with all that come after it, before something is sent for the first time.
type cutBefore struct {
	net.Conn
	what        string
	armed, away *atomic.Bool
}

func (c *cutBefore) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.what)) && c.armed.CompareAndSwap(true, false) {
		c.away.Store(true)
		c.Close()
	}
	return c.Conn.Write(p)
}
