package status_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/internal/status"
	"github.com/gvpocr/worker/resolve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers for a worker whose nsqd is at addr.
func serve(t *testing.T, id, addr string) (*status.Server, *dialer.Dialer) {
	t.Helper()
	return serveAsking(t, id, addr, nil)
}

func serveAsking(t *testing.T, id, addr string, greet func(context.Context, services.Service) error) (*status.Server, *dialer.Dialer) {
	t.Helper()
	resolver, err := resolve.Static(map[string]string{"nsqd-proxy": addr})
	if err != nil {
		t.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: resolver, Budget: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	s, err := status.Serve(status.Config{
		ID: id, Version: "1", Dialer: d, Stopping: func() bool { return false },
		Services: []services.Service{{Kind: services.NSQD, Address: "nsqd-proxy:4150"}},
		Greet:    greet,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, d
}

// shortTemp gives the test a temporary folder whose path is short enough for a socket's.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	return dir
}

func find(t *testing.T, id string) []status.Running {
	t.Helper()
	workers, err := status.Find(t.Context(), id, false)
	if err != nil {
		t.Fatal(err)
	}
	return workers
}

func TestAWorkerIsReadyWhenItsServicesAreReached(t *testing.T) {
	shortTemp(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, d := serve(t, "one", l.Addr().String())
	w := find(t, "one")[0]
	if w.Ready() || w.ID != "one" || w.PID != os.Getpid() || w.Services[0].Reason != "not resolved yet" {
		t.Errorf("before a dial: %+v", w.Worker)
	}
	conn, err := d.DialContext(t.Context(), "tcp", "nsqd-proxy:4150")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if w := find(t, "")[0]; !w.Ready() {
		t.Errorf("connected: %+v", w.Worker)
	}
	conn.Close()
	l.Close()
	for range 5 { // until the breaker opens
		if _, err := d.DialContext(t.Context(), "tcp", "nsqd-proxy:4150"); err == nil {
			t.Fatal("it still listens")
		}
	}
	if w := find(t, "")[0]; w.Ready() || !strings.Contains(w.Services[0].Reason, "refused") {
		t.Errorf("gone: %+v", w.Worker)
	}
	if e, err := find(t, "")[0].Explain(t.Context(), "nsqd-proxy:4150"); err != nil || !strings.Contains(e.Text, "nsqd-proxy:4150: ") {
		t.Errorf("%+v, %v", e, err)
	}
}

// What a worker remembers is as old as its last dial: a service that is gone since then looks as if it were there.
func TestAWorkerThatIsAskedWhetherItIsReadyAsksItsServices(t *testing.T) {
	shortTemp(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = conn.Write([]byte("hello"))
			conn.Close()
		}
	})
	defer accepting.Wait()
	defer l.Close()
	var answer atomic.Value // what the service says instead of hello
	var d *dialer.Dialer
	_, d = serveAsking(t, "one", l.Addr().String(), func(ctx context.Context, s services.Service) error {
		conn, err := d.DialContext(ctx, "tcp", s.Address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return err
		}
		if text, _ := answer.Load().(string); text != "" {
			return errors.New(text)
		}
		return nil
	})
	ask := func() status.Worker {
		t.Helper()
		workers, err := status.Find(t.Context(), "one", true)
		if err != nil {
			t.Fatal(err)
		}
		return workers[0].Worker
	}
	well := ask()
	if s := well.Services[0]; !well.Asked || !well.Ready() || s.Text(well.Asked) != "reached" || time.Since(s.LastReached) > time.Minute {
		t.Errorf("it answers: %+v", well)
	}
	if s := find(t, "one")[0].Services[0]; s.Text(false) != "reached 0s ago, connections open: 0" {
		t.Errorf("remembered: %q", s.Text(false))
	}

	// It can be dialed, and is of no use.
	answer.Store("it is frozen")
	answered := well.Services[0].LastReached
	if w := ask(); w.Ready() || w.Services[0].Text(true) != "not reached: it is frozen (last reached: 0s ago)" || !w.Services[0].LastReached.Equal(answered) {
		t.Errorf("frozen: %+v, %q", w, w.Services[0].Text(true))
	}
	conn, err := d.DialContext(t.Context(), "tcp", "nsqd-proxy:4150")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if s := find(t, "one")[0].Services[0]; s.Reached || s.Reason != "it is frozen" || !s.LastReached.Equal(answered) {
		t.Errorf("a connection is taken for an answer: %+v", s)
	}
	answer.Store("")
	if w := ask(); !w.Ready() || !w.Services[0].LastReached.After(answered) {
		t.Errorf("it answers again: %+v", w)
	}

	l.Close()
	if w := find(t, "one")[0]; !w.Ready() {
		t.Errorf("nobody has dialed, and the worker knows that it is gone: %+v", w.Worker)
	}
	if w := ask(); w.Ready() || !strings.Contains(w.Services[0].Text(true), "not reached: "+l.Addr().String()+": ") || !strings.Contains(w.Services[0].Text(true), "refused (last reached: 0s ago)") {
		t.Errorf("gone: %q", w.Services[0].Text(true))
	}
}

func TestAServiceThatDoesNotAnswerHoldsUpNobodyForLong(t *testing.T) {
	shortTemp(t)
	serveAsking(t, "one", "127.0.0.1:1", func(ctx context.Context, _ services.Service) error {
		<-ctx.Done()
		return ctx.Err()
	})
	workers, err := status.Find(t.Context(), "one", true)
	if err != nil || workers[0].Services[0].Text(true) != "not reached: no answer within 2s" {
		t.Errorf("%+v, %v", workers, err)
	}
	if now := find(t, "one")[0]; now.Asked {
		t.Error("services are asked although nobody wants to know")
	}
}

// Of several nsqlookupds, or members of a replica set, one is enough.
func TestOneServiceOfAKindIsEnough(t *testing.T) {
	service := func(kind services.Kind, reached bool) status.Service {
		return status.Service{Service: services.Service{Kind: kind}, Reached: reached}
	}
	for _, c := range []struct {
		services []status.Service
		stopping bool
		ready    bool
	}{
		{[]status.Service{service(services.MongoDB, true), service(services.NSQLookupd, false), service(services.NSQLookupd, true)}, false, true},
		{[]status.Service{service(services.MongoDB, false), service(services.NSQLookupd, true)}, false, false},
		{[]status.Service{service(services.MongoDB, true)}, true, false},
	} {
		if got := (status.Worker{Services: c.services, Stopping: c.stopping}).Ready(); got != c.ready {
			t.Errorf("%+v: ready %v", c, got)
		}
	}
}

func TestSeveralWorkersAreToldApart(t *testing.T) {
	dir := shortTemp(t)
	one, _ := serve(t, "one", "127.0.0.1:1")
	two, _ := serve(t, "two", "127.0.0.1:1")
	if all, named := find(t, ""), find(t, "two"); len(all) != 2 || len(named) != 1 || named[0].ID != "two" {
		t.Errorf("%d in all, %+v", len(all), named)
	}
	if err := errors.Join(one.Close(), one.Close()); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := status.Find(t.Context(), "one", false); !errors.Is(err, status.ErrNone) {
		t.Errorf("after Close: %v", err)
	}
	if err := two.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// The address of a socket has about a hundred bytes, and temporary folders have been seen that are longer.
func TestALongTemporaryFolderIsNoHindrance(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	t.Setenv("TMPDIR", long)
	serve(t, "one", "127.0.0.1:1")
	if len(find(t, "one")) != 1 {
		t.Error("it is not found")
	}
	if _, err := os.Stat(long); err == nil {
		t.Error("the folder was made, and can't have been used")
	}
}

func TestAFolderThatOthersMayEnterIsNotTrusted(t *testing.T) {
	dir := shortTemp(t)
	serve(t, "one", "127.0.0.1:1")
	folders, err := filepath.Glob(filepath.Join(dir, "ocr-worker-*"))
	if err != nil || len(folders) != 1 {
		t.Fatal(folders, err)
	}
	if err := os.Chmod(folders[0], 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := status.Serve(status.Config{}); err == nil || !strings.Contains(err.Error(), "this user's alone") {
		t.Errorf("%v", err)
	}
}

func TestWhatAKilledWorkerLeftIsSweptAndNotTakenForAWorker(t *testing.T) {
	dir := shortTemp(t)
	first, _ := serve(t, "one", "127.0.0.1:1")
	defer first.Close()
	folders, _ := filepath.Glob(filepath.Join(dir, "ocr-worker-*"))
	left := filepath.Join(folders[0], "1-0.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if found := find(t, ""); len(found) != 1 {
		t.Errorf("%d workers", len(found))
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	serve(t, "two", "127.0.0.1:1")
	if _, err := os.Lstat(left); err == nil {
		t.Error("it is still there")
	}
	if found := find(t, ""); len(found) != 2 {
		t.Errorf("%d workers", len(found))
	}
}

// Services that answer are of no use to a worker that may not use them, as with a wrong password.
func TestAWorkerThatTakesNoTasksIsNotReadyAndSaysWhy(t *testing.T) {
	shortTemp(t)
	d, err := dialer.New(dialer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var paused error
	s, err := status.Serve(status.Config{
		ID: "one", Dialer: d, Stopping: func() bool { return false }, Paused: func() error { return paused },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if w := find(t, "one")[0]; !w.Ready() || w.Paused != "" {
		t.Errorf("it takes tasks: %+v", w.Worker)
	}
	paused = errors.New("MongoDB is away: the user is refused")
	if w := find(t, "one")[0]; w.Ready() || w.Paused != "MongoDB is away: the user is refused" {
		t.Errorf("paused: %+v", w.Worker)
	}
}

// One that is frozen must not decide of another, and its socket says whose it is.
func TestAWorkerThatDoesNotAnswerIsNotTakenForAnother(t *testing.T) {
	dir := shortTemp(t)
	serve(t, "one", "127.0.0.1:1")
	folders, err := filepath.Glob(filepath.Join(dir, "ocr-worker-*"))
	if err != nil || len(folders) != 1 {
		t.Fatal(folders, err)
	}
	before, err := filepath.Glob(filepath.Join(folders[0], "*"))
	if err != nil {
		t.Fatal(err)
	}
	two, _ := serve(t, "two", "127.0.0.1:1")
	after, err := filepath.Glob(filepath.Join(folders[0], "*"))
	if err != nil {
		t.Fatal(err)
	}
	path := slices.DeleteFunc(after, func(path string) bool { return slices.Contains(before, path) })[0]
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path) // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if named := find(t, "one"); len(named) != 1 || named[0].ID != "one" {
		t.Errorf("%+v", named)
	}
	if all, err := status.Find(t.Context(), "", false); len(all) != 1 || err == nil || !strings.Contains(err.Error(), "a worker does not answer") {
		t.Errorf("of all: %+v, %v", all, err)
	}
	if none, err := status.Find(t.Context(), "two", false); len(none) != 0 || err == nil || errors.Is(err, status.ErrNone) {
		t.Errorf("the frozen one: %+v, %v", none, err)
	}
}
