package ocrworker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errOut = errors.New("no server")

// gateTest is a gate before a dependency that the test turns off and on, in virtual time.
type gateTest struct {
	*testing.T
	*gate
	log syncBuffer

	mu      sync.Mutex // guards the fields below
	away    bool
	hangs   bool // pings get no answer
	pings   []time.Time
	ready   bool
	changed chan struct{}
}

// syncBuffer is a log that is written and read at once.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) count(part string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), part)
}

// testGate runs a test in a bubble, with a gate as it stands before MongoDB, open, for 8 operations at a time, unless
// change makes another of it.
func testGate(t *testing.T, test func(g *gateTest), change ...func(*gate)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &gateTest{T: t, ready: true, changed: make(chan struct{})}
		g.gate = newGate("MongoDB", 8, func(err error) bool { return errors.Is(err, errOut) }, slog.New(slog.NewTextHandler(&g.log, nil)))
		g.stops, g.resumes = "intake is paused", "intake goes on"
		g.ping = g.answer
		g.reachable = g.dialer
		ctx, cancel := context.WithCancel(t.Context())
		var watch sync.WaitGroup
		for _, change := range change {
			change(g.gate)
		}
		if g.ping != nil {
			watch.Go(func() { g.watch(ctx) })
		}
		synctest.Wait()
		test(g)
		cancel()
		watch.Wait()
	})
}

func (g *gateTest) answer(ctx context.Context) error {
	g.mu.Lock()
	g.pings = append(g.pings, time.Now())
	away, hangs := g.away, g.hangs
	g.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if away {
		return errOut
	}
	return nil
}

func (g *gateTest) dialer() (bool, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ready, g.changed
}

// dials sets what the dialer says of the dependency.
func (g *gateTest) dials(ready bool) {
	g.mu.Lock()
	g.ready = ready
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
	synctest.Wait()
}

func (g *gateTest) set(away bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = away
}

func (g *gateTest) pinged() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pings)
}

// operation asks the dependency at once, and takes no time.
func (g *gateTest) operation(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.away {
		return errOut
	}
	return nil
}

// do runs an operation with ctx as soon as the gate lets it through, or fails when wait ends.
func (g *gateTest) do(wait, ctx context.Context, operation func(context.Context) error) error {
	for {
		tried, err := g.try(ctx, operation)
		if tried {
			return err
		}
		if err := g.await(wait); err != nil {
			return err
		}
	}
}

// goOut turns the dependency off and lets an operation find out.
func (g *gateTest) goOut() {
	g.Helper()
	g.set(true)
	if err := g.do(g.Context(), g.Context(), g.operation); !errors.Is(err, errOut) {
		g.Fatalf("the operation ended with %v", err)
	}
	synctest.Wait()
	g.wantLimit(0)
}

func (g *gateTest) wantLimit(want int) {
	g.Helper()
	if n, _ := g.limit(); n != want {
		g.Errorf("the limit is %d, want %d", n, want)
	}
}

func (g *gateTest) wantLog(paused, resumed int) {
	g.Helper()
	if n := g.log.count("intake is paused"); n != paused {
		g.Errorf("the log says %d times that intake is paused, want %d", n, paused)
	}
	if n := g.log.count("intake goes on"); n != resumed {
		g.Errorf("the log says %d times that intake goes on, want %d", n, resumed)
	}
}

// after lets time pass.
func (g *gateTest) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// slow starts an operation that ends when end is closed, with an outage or well.
func (g *gateTest) slow(outage bool) (end func(), result <-chan error) {
	ch, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- g.do(g.Context(), g.Context(), func(context.Context) error {
			<-ch
			if outage {
				return errOut
			}
			return nil
		})
	}()
	synctest.Wait()
	return func() { close(ch); synctest.Wait() }, done
}
