package ocrworker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneFailedOperationClosesTheGateAndItsReasonIsLoggedOnce(t *testing.T) {
	testGate(t, func(g *gateTest) {
		var ends []func()
		for range 5 {
			end, _ := g.slow(true)
			ends = append(ends, end)
		}
		g.set(true)
		for _, end := range ends {
			end()
			g.wantLimit(0)
		}
		g.after(10 * time.Minute)
		g.wantLog(1, 0)
		if g.log.count("MongoDB is away") != 1 || g.log.count(`error="no server"`) != 1 {
			g.Errorf("the log does not say once what is away and why: %s", g.log.buf.String())
		}
	})
}

func TestWhatFailsForAnotherReasonClosesNothing(t *testing.T) {
	testGate(t, func(g *gateTest) {
		refused := errors.New("refused")
		cancelled, cancel := context.WithCancel(g.Context())
		cancel()
		if err := g.do(g.Context(), g.Context(), func(context.Context) error { return refused }); !errors.Is(err, refused) {
			g.Error(err)
		}
		if err := g.do(g.Context(), cancelled, func(context.Context) error { return errOut }); !errors.Is(err, errOut) {
			g.Error(err)
		}
		g.wantLimit(8)
		g.wantLog(0, 0)
	})
}

// An operation may be long in coming, and longer in failing where there is no answer.
func TestADependencyThatFallsSilentIsNoticedIn11Seconds(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.after(time.Hour)
		if n := g.pinged(); n < 600 || n > 900 {
			g.Errorf("%d pings in a quiet hour", n)
		}
		before := g.pinged()
		for range 3600 {
			if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
				g.Fatal(err)
			}
			g.after(time.Second)
		}
		if n := g.pinged() - before; n != 0 {
			g.Errorf("%d pings of a dependency that answers each second", n)
		}
		g.wantLimit(8)
		g.mu.Lock()
		g.away, g.hangs = true, true
		g.mu.Unlock()
		g.after(5 * time.Second)
		g.wantLimit(8) // it may be slow
		g.after(6 * time.Second)
		g.wantLimit(0)
		g.wantLog(1, 0)
	})
}

func TestPingsComeAtRandomEachTenthToOneSecond(t *testing.T) {
	for name, hangs := range map[string]bool{"refused at once": false, "without an answer": true} {
		t.Run(name, func(t *testing.T) {
			testGate(t, func(g *gateTest) {
				g.mu.Lock()
				g.hangs = hangs
				g.mu.Unlock()
				g.goOut()
				last := time.Now()
				g.after(10 * time.Minute)
				var took time.Duration // by the ping before
				var shortest, longest time.Duration = time.Hour, 0
				for _, at := range g.pings {
					gap := at.Sub(last) - took
					shortest, longest = min(shortest, gap), max(longest, gap)
					last = at
					if hangs {
						took = 2 * time.Second
					}
				}
				if shortest < 100*time.Millisecond || longest > time.Second || shortest > 200*time.Millisecond || longest < 900*time.Millisecond {
					g.Errorf("of %d pings one came %v and one %v after the last, want the whole of 0.1 to 1 s", len(g.pings), shortest, longest)
				}
			})
		})
	}
}

func TestIntakeBeginsWithOneAndDoublesWithEachRound(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.goOut()
		g.after(time.Minute)
		g.set(false)
		begin := time.Now()
		if err := g.do(g.Context(), g.Context(), func(context.Context) error {
			g.wantLimit(1)
			g.wantLog(1, 0)
			return nil
		}); err != nil {
			g.Fatal(err)
		}
		if took := time.Since(begin); took > time.Second {
			g.Errorf("the first operation came %v after the return", took)
		}
		for _, want := range []int{2, 4, 8, 8} {
			g.wantLimit(want)
			for range want {
				if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
					g.Fatal(err)
				}
			}
		}
		g.wantLog(1, 1)
	})
}

func TestOneOperationIsTriedAndTheOthersWaitForIt(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.goOut()
		var running, most, done int
		var waiters sync.WaitGroup
		for range 5 {
			waiters.Go(func() {
				_ = g.do(g.Context(), g.Context(), func(context.Context) error {
					g.mu.Lock()
					running++
					most = max(most, running)
					first := done == 0
					g.mu.Unlock()
					time.Sleep(5 * time.Second)
					g.mu.Lock()
					defer g.mu.Unlock()
					if first && running != 1 {
						g.Errorf("%d operations at once before one was answered", running)
					}
					running--
					done++
					return nil
				})
			})
		}
		g.after(time.Minute)
		if done != 0 {
			g.Error("an operation was let through while the gate was closed")
		}
		g.set(false)
		waiters.Wait()
		if done != 5 || most != 4 {
			g.Errorf("%d operations, %d at once, want 5 and, after the first, 4", done, most)
		}
		g.wantLog(1, 1)
	})
}

func TestATrialThatFailsBelongsToTheSameOutage(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.goOut()
		g.set(false) // pings are answered
		tries := 0
		for range 20 {
			_ = g.do(g.Context(), g.Context(), func(context.Context) error { tries++; return errOut })
			g.wantLimit(0)
		}
		g.wantLog(1, 0)
		if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
			g.Fatal(err)
		}
		g.wantLog(1, 1)
		if tries != 20 {
			g.Errorf("%d tries", tries)
		}
	})
}

func TestWithoutAnythingToTryASignOfLifeHasToDo(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.goOut()
		g.set(false)
		g.after(2 * time.Second)
		g.wantLog(1, 1)
		g.wantLimit(1)
		g.after(time.Hour)
		g.wantLimit(1)
		if g.log.count("after=") != 1 {
			g.Error("the log does not say how long it was away")
		}
	})
}

func TestWhatIsHeardLateClosesNothingAndOpensNothing(t *testing.T) {
	testGate(t, func(g *gateTest) {
		failLate, _ := g.slow(true)
		succeedLate, _ := g.slow(false)
		g.goOut()
		succeedLate()
		g.wantLimit(0)
		g.set(false)
		if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
			g.Fatal(err)
		}
		g.wantLimit(2)
		failLate() // it began before the outage
		g.wantLimit(2)
		g.wantLog(1, 1)
	})
}

func TestAGateThatClosesDuringAPingStaysClosedUntilTheNext(t *testing.T) {
	pings := 0
	var answer chan struct{}
	testGate(t, func(g *gateTest) {
		g.dials(false)
		g.after(time.Second) // the hint has started a ping
		g.goOut()
		close(answer)
		synctest.Wait()
		g.wantLimit(0)
		g.after(time.Minute)
		g.wantLimit(0)
		if pings < 30 {
			g.Errorf("%d pings in a minute", pings)
		}
		g.wantLog(1, 0)
	}, func(g *gate) {
		answer = make(chan struct{})
		g.ping = func(context.Context) error {
			if pings++; pings == 1 {
				<-answer
				return nil // it was sent before the outage
			}
			return errOut
		}
	})
}

func TestSeveralOutagesAreLoggedOnceEach(t *testing.T) {
	testGate(t, func(g *gateTest) {
		for i := range 4 {
			g.goOut()
			g.after(time.Duration(i) * 7 * time.Second)
			g.set(false)
			for range 20 {
				if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
					g.Fatal(err)
				}
			}
			g.wantLimit(8)
			g.wantLog(i+1, i+1)
		}
	})
}

func TestADependencyThatCantBeDialedIsPingedAndItsReturnIsNoticedAtOnce(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.dials(false)
		g.after(time.Minute)
		g.wantLimit(8) // there may be connections from before
		if n := g.pinged(); n < 60 || n > 600 {
			g.Errorf("%d pings in a minute", n)
		}
		g.set(true)
		g.after(time.Second)
		g.wantLimit(0)
		g.wantLog(1, 0)
		for range 20 { // whenever in the pings' pace that is
			g.after(777 * time.Millisecond)
			g.set(false)
			g.dials(true)
			g.wantLimit(1)
			if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
				g.Fatal(err)
			}
			g.dials(false)
			g.goOut()
		}
	})
}

func TestWhoWaitsAtAClosedGateGivesUpWithHisContextAndSaysWhy(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.goOut()
		ctx, cancel := context.WithTimeout(g.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		err := g.do(ctx, g.Context(), func(context.Context) error { g.Error("it was let through"); return nil })
		if !isAway(err) || !errors.Is(err, errOut) || err.Error() != "MongoDB is away: no server" || time.Since(begin) != 5*time.Second {
			g.Errorf("after %v: %v", time.Since(begin), err)
		}
		// The time of who waits does not matter while the gate is open.
		g.set(false)
		if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
			g.Fatal(err)
		}
		if err := g.do(ctx, g.Context(), g.operation); err != nil {
			g.Error(err)
		}
	})
}

func TestATrialThatSaysNothingLeavesItToTheNext(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.goOut()
		g.set(false)
		func() {
			defer func() { recover() }()
			_ = g.do(g.Context(), g.Context(), func(context.Context) error { panic("broken") })
		}()
		ctx, cancel := context.WithCancel(g.Context())
		_ = g.do(g.Context(), ctx, func(ctx context.Context) error { cancel(); return ctx.Err() })
		g.wantLimit(1)
		g.wantLog(1, 0)
		begin := time.Now()
		if err := g.do(g.Context(), g.Context(), g.operation); err != nil || time.Since(begin) != 0 {
			g.Errorf("after %v: %v", time.Since(begin), err)
		}
		g.wantLog(1, 1)
	})
}

func TestAGateThatStartsClosedOpensInFullAndInSilence(t *testing.T) {
	for name, away := range map[string]bool{"the dependency is there": false, "it comes later": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gateTest{T: t, away: away}
				g.gate = newGate("MongoDB", 8, func(error) bool { return true }, slog.New(slog.NewTextHandler(&g.log, nil)))
				g.stops, g.resumes, g.ping = "intake is paused", "intake goes on", g.answer
				g.startClosed()
				g.wantLimit(0)
				ctx, cancel := context.WithCancel(t.Context())
				var watch sync.WaitGroup
				watch.Go(func() { g.watch(ctx) })
				synctest.Wait()
				if !away {
					g.wantLimit(8)
					g.wantLog(0, 0)
				} else {
					g.wantLog(1, 0)
					g.after(time.Minute)
					g.set(false)
					g.after(2 * time.Second)
					g.wantLimit(1)
					g.wantLog(1, 1)
				}
				cancel()
				watch.Wait()
			})
		})
	}
}

// Sources have no ping of their own: the next task is it.
func TestAGateWithoutAPingLetsOneOperationThroughEachTenthToOneSecond(t *testing.T) {
	testGate(t, func(g *gateTest) {
		g.set(true)
		end := time.Now().Add(10 * time.Minute)
		ctx, cancel := context.WithDeadline(g.Context(), end)
		defer cancel()
		var at []time.Time
		var waiters sync.WaitGroup
		for range 4 {
			waiters.Go(func() {
				for ctx.Err() == nil {
					_ = g.do(ctx, g.Context(), func(ctx context.Context) error {
						g.mu.Lock()
						at = append(at, time.Now())
						g.mu.Unlock()
						return g.operation(ctx)
					})
				}
			})
		}
		waiters.Wait()
		// All four may pass before the first has failed.
		for i := 4; i < len(at)-1; i++ {
			if gap := at[i+1].Sub(at[i]); gap < 100*time.Millisecond || gap > time.Second {
				g.Fatalf("the operations %d and %d are %v apart", i, i+1, gap)
			}
		}
		if len(at) < 600 {
			g.Errorf("%d operations in 10 minutes", len(at))
		}
		g.wantLog(1, 0)
		g.set(false)
		if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
			g.Error(err)
		}
		g.wantLog(1, 1)
	}, func(g *gate) { g.ping = nil })
}

func TestFailuresCountAgainstAnOperationOnlyIfOthersWereAnsweredInBetween(t *testing.T) {
	testGate(t, func(g *gateTest) {
		var s strikes
		for range 5 {
			if n := s.add(g.gate); n != 0 {
				g.Errorf("%d strikes though nothing was answered since the failure before", n)
			}
		}
		for want := range 3 {
			if err := g.do(g.Context(), g.Context(), g.operation); err != nil {
				g.Fatal(err)
			}
			if n := s.add(g.gate); n != want+1 {
				g.Errorf("%d strikes, want %d", n, want+1)
			}
		}
	})
}

func TestAClosedGateSaysWhyAndAnOpenOneNothing(t *testing.T) {
	testGate(t, func(g *gateTest) {
		if err := g.gate.away(); err != nil {
			t.Errorf("open: %v", err)
		}
		g.goOut()
		if err := g.gate.away(); !errors.Is(err, errOut) || !isAway(err) {
			t.Errorf("closed: %v", err)
		}
		g.set(false)
		g.after(5 * time.Second)
		if err := g.gate.away(); err != nil {
			t.Errorf("it is back: %v", err)
		}
	})
}

// Nothing is known yet of MongoDB: a new worker is not ready before it has answered.
func TestAWorkerThatHasAskedNothingYetIsPaused(t *testing.T) {
	w := &Worker{cfg: Config{Concurrency: 1}}
	w.mongo = w.mongoGate()
	if err := w.Paused(); !errors.Is(err, errNotAsked) || !strings.Contains(err.Error(), "MongoDB is away") {
		t.Errorf("%v", err)
	}
}
