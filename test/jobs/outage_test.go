package jobs_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/test/mongotest"
)

// wantOutage checks that every operation fails as in an outage, by itself and not because the caller's time was up. The
// time is more than an operation's 10 s, and less than the 30 s after which the driver gives up.
func wantOutage(t *testing.T, store *jobs.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	f := jobs.File{JobID: "j", Path: "/a.jpg", MessageID: "0000000000000001"}
	var operations sync.WaitGroup
	for name, ask := range map[string]func() error{
		"Ping":         func() error { return store.Ping(ctx) },
		"Classify":     func() error { _, err := store.Classify(ctx, f); return err },
		"AddResult":    func() error { _, err := store.AddResult(ctx, f, jobs.Result{}); return err },
		"AddError":     func() error { _, err := store.AddError(ctx, f, "broken"); return err },
		"AddDuplicate": func() error { _, err := store.AddDuplicate(ctx, f); return err },
	} {
		operations.Go(func() {
			err := ask()
			if ctx.Err() != nil {
				t.Errorf("%s: it ends only with the caller's time", name)
			}
			if !jobs.IsOutage(err) || jobs.IsTooLarge(err) {
				t.Errorf("%s: outage %v, too large %v: %v", name, jobs.IsOutage(err), jobs.IsTooLarge(err), err)
			}
		})
	}
	operations.Wait()
}

func TestAServerThatDiesIsAnOutage(t *testing.T) {
	t.Parallel()
	srv := startMongo(t, mongotest.Config{})
	store := open(t, jobs.Config{URI: srv.URI()})
	if err := store.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	srv.Kill()
	wantOutage(t, store)
}

// A frozen MongoDB accepts connections, and only its silence shows that it is gone.
func TestAServerThatAcceptsAndDoesNotAnswerIsAnOutage(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				io.Copy(io.Discard, c)
				c.Close()
			})
		}
	})
	defer conns.Wait()
	defer l.Close()
	store, err := jobs.Open(jobs.Config{URI: "mongodb://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(testContext(t))
	wantOutage(t, store)
}

func TestTheEndOfTheCallersTimeIsNoOutageWhenItWasCancelled(t *testing.T) {
	t.Parallel()
	store := open(t, jobs.Config{URI: startMongo(t, mongotest.Config{}).URI()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := store.Classify(ctx, jobs.File{JobID: "j"}); err == nil || jobs.IsOutage(err) {
		t.Errorf("outage %v, want an error that is none: %v", jobs.IsOutage(err), err)
	}
	if jobs.IsOutage(nil) || jobs.IsTooLarge(nil) {
		t.Error("nil is an outage or too large")
	}
}

func TestACutConnectionIsAnOutageForOneOperation(t *testing.T) {
	t.Parallel()
	srv := startMongo(t, mongotest.Config{})
	b := newBench(t, srv.URI(), 2)
	added, err := b.store.AddResult(b.ctx, b.file("/a", 0, "000000000000000a"), jobs.Result{})
	b.want("before", added, true, err)
	srv.DropConnections()
	for {
		added, err = b.store.AddResult(b.ctx, b.file("/b", 1, "000000000000000b"), jobs.Result{})
		if !jobs.IsOutage(err) {
			break
		}
	}
	b.want("after", added, true, err)
	b.wantCounts(2, 0)
}

// Through the worker's dialer: its breaker opens in an outage, and neither that nor the driver's own pace may keep the
// return of MongoDB from being noticed.
func TestTheReturnOfMongoDBIsNoticedWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	cfg := mongotest.Config{User: user, Password: password, Dir: t.TempDir()}
	var srv *mongotest.Server
	start := func() {
		var err error
		if srv, err = mongotest.Start(cfg); err != nil {
			t.Fatal(err)
		}
		cfg.Addr = srv.Addr()
	}
	start()
	t.Cleanup(func() { srv.Close() })
	b := newSetBench(t, srv.Addr(), "", 1000)
	a := b.startAdders(2)
	defer a.running.Wait()
	defer a.stop.Store(true)
	for range 3 {
		a.goOn(10)
		srv.Kill()
		outage := time.NewTimer(6 * time.Second) // more than it takes to open the breaker, and than one dial lasts
		<-outage.C
		start()
		back := time.Now()
		a.goOn(1)
		took := time.Since(back)
		t.Logf("the first result %v after the return", took.Round(time.Millisecond))
		// The driver would look again after 10 s. Half of that is for a machine that does much else.
		if took > 2*time.Second+5*time.Second {
			t.Errorf("the first result came %v after the return, want 2 s or little more", took)
		}
	}
	a.stop.Store(true)
	a.running.Wait()
	b.wantCounts(int(a.next.Load()), 0)
}
