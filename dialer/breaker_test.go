package dialer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
)

// state returns the breaker of the first endpoint of the only name that was dialed.
func (b *bench) state() dialer.EndpointStats {
	b.t.Helper()
	stats := b.d.Stats()
	if len(stats.Names) != 1 || len(stats.Names[0].Endpoints) == 0 {
		b.t.Fatalf("stats of one name expected: %+v", stats)
	}
	return stats.Names[0].Endpoints[0]
}

// once makes every dial one pass, so that it fails without waiting.
func once(c *dialer.Config) { c.Budget = -1 }

// open dials until the breaker of the only endpoint has opened.
func (b *bench) open(name string) {
	b.t.Helper()
	for range 100 {
		b.dial(b.t.Context(), name)
		if b.state().State != dialer.Closed {
			return
		}
		time.Sleep(60 * time.Millisecond)
	}
	b.t.Fatal("the breaker did not open")
}

func TestUnderSteadyDialingASilentEndpointIsLeftOutWithinTwoConnectTimeouts(t *testing.T) {
	for _, every := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, nil, func(t *testing.T, b *bench) {
			b.net.Set("10.0.0.1:1", testnet.Silent)
			b.net.Set("10.0.0.2:1", testnet.Accept)
			begin := time.Now()
			for b.d.Stats().Names == nil || b.state().State == dialer.Closed {
				go b.dial(t.Context(), "db:1")
				time.Sleep(every)
				if time.Since(begin) > 20*time.Second {
					break
				}
			}
			if took := time.Since(begin); took > 10*time.Second+every {
				t.Errorf("dialing every %v: open after %v, want 10s at most", every, took)
			}
			time.Sleep(time.Second)
			if took, err := b.dial(t.Context(), "db:1"); err != nil || took != 0 {
				t.Errorf("from then on: took %v, %v; want no delay", took, err)
			}
		})
	}
}

func TestADialThatBeginsWithAllBreakersOpenFailsAtOnceAndSaysWhenTheNextProbeIs(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		go b.dial(t.Context(), "db:1")
		for b.d.Stats().Names == nil || b.state().State == dialer.Closed {
			time.Sleep(10 * time.Millisecond)
		}
		took, err := b.dial(t.Context(), "db:1")
		if took != 0 || !errors.Is(err, dialer.ErrBreakerOpen) {
			t.Errorf("took %v, %v", took, err)
		}
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte("next probe in ")) {
			t.Errorf("got %v", err)
		}
	})
}

func TestADialThatBeganBeforeTheBreakersOpenedWaitsForTheProbe(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		time.AfterFunc(12*time.Second, func() { b.net.Set("10.0.0.1:1", testnet.Accept) })
		took, err := b.dial(t.Context(), "db:1")
		if err != nil || took < 12*time.Second || took > 13500*time.Millisecond {
			t.Errorf("took %v, %v; want a connection within 1.5s of 12s", took, err)
		}
	})
}

func TestFiveParallelFailuresAreOne(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		for range 4 {
			var dials sync.WaitGroup
			for range 5 {
				dials.Go(func() { b.dial(t.Context(), "db:1") })
				time.Sleep(2 * time.Millisecond)
			}
			dials.Wait()
			time.Sleep(time.Second)
		}
		if s := b.state(); s.State != dialer.Closed {
			t.Errorf("open after 4 events of 5 failures each")
		}
		b.dial(t.Context(), "db:1")
		if s := b.state(); s.State != dialer.Open || s.Openings != 1 {
			t.Errorf("not open after 5 events: %+v", s)
		}
	})
}

func TestHalfOfTenDialsWithinAWindowOpenTheBreaker(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		for i := range 10 {
			mode := testnet.Refuse
			if i%2 == 0 {
				mode = testnet.Accept
			}
			b.net.Set("10.0.0.1:1", mode)
			if conn, err := b.d.DialContext(t.Context(), "tcp", "db:1"); err == nil {
				time.Sleep(1100 * time.Millisecond) // it proves itself
				conn.Close()
			}
			time.Sleep(time.Second)
			if open := b.state().State != dialer.Closed; open != (i == 9) {
				t.Fatalf("after %d dials: open %v", i+1, open)
			}
		}
	})
}

func TestAForwarderInFrontOfADeadServerIsFoundOut(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.AcceptClose)
		for i := range 5 {
			conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
			if err != nil {
				t.Fatalf("dial %d: %v", i, err)
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			conn.Close()
			time.Sleep(100 * time.Millisecond)
		}
		if s := b.state(); s.State == dialer.Closed {
			t.Errorf("its breaker is closed: %+v", s)
		}
		time.Sleep(time.Minute)
		if s := b.state(); s.State == dialer.Closed {
			t.Error("a probe took a connection that was closed at once for a success")
		}
		b.net.Set("10.0.0.1:1", testnet.Accept)
		time.Sleep(2 * time.Second)
		if s := b.state(); s.State != dialer.Closed {
			t.Error("the server is back and the breaker is open")
		}
	})
}

func TestSparesDoNotHideThatAServerClosesWhatItAccepts(t *testing.T) {
	for _, n := range []int{0, 1, 2} {
		run(t, map[string]string{"db": "10.0.0.1"}, spares(n), func(t *testing.T, b *bench) {
			b.net.Set("10.0.0.1:1", testnet.AcceptClose)
			for dial := range 6 {
				conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
				if dial == 5 {
					if !errors.Is(err, dialer.ErrBreakerOpen) {
						t.Errorf("with %d spares the sixth dial says %v", n, err)
					}
					break
				}
				if err != nil {
					t.Fatalf("with %d spares, dial %d: %v", n, dial, err)
				}
				_, _ = conn.Read(make([]byte, 1))
				conn.Close()
				time.Sleep(2 * time.Second) // spares grow old, unread
			}
		})
	}
}

func TestACloseByOurSideNeverCounts(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		for range 20 {
			conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
			if err != nil {
				t.Fatal(err)
			}
			go conn.Read(make([]byte, 1))
			synctest.Wait()
			conn.Close()
			time.Sleep(100 * time.Millisecond)
		}
		if s := b.state(); s.State != dialer.Closed || s.Failures != 0 || s.Open != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestADialsSuccessEndsARowOfFailuresOnlyWhenItHasProvedItself(t *testing.T) {
	for name, prove := range map[string]func(net.Conn){
		"nothing read, closed at once": func(conn net.Conn) { conn.Close() },
		"a second old":                 func(conn net.Conn) { time.Sleep(time.Second); conn.Close() },
	} {
		run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
			for i := range 8 {
				b.net.Set("10.0.0.1:1", testnet.Refuse)
				b.dial(t.Context(), "db:1")
				b.net.Set("10.0.0.1:1", testnet.Accept)
				if conn, err := b.d.DialContext(t.Context(), "tcp", "db:1"); err == nil {
					prove(conn)
				}
				time.Sleep(5 * time.Second) // six failures in the window of 30s
				if open := b.state().Openings > 0; open && name == "a second old" {
					t.Fatalf("%s: open after %d failures that were not in a row", name, i+1)
				}
			}
			if open := b.state().Openings > 0; !open && name != "a second old" {
				t.Errorf("%s: ended the row of failures", name)
			}
		})
	}
}

func TestWhatSaysNothingAboutTheServerDoesNotCount(t *testing.T) {
	for name, test := range map[string]struct {
		mode testnet.Mode
		dial func(*bench)
	}{
		"the caller's cancel": {testnet.Silent, func(b *bench) {
			ctx, cancel := context.WithCancel(b.t.Context())
			time.AfterFunc(time.Second, cancel)
			b.dial(ctx, "db:1")
		}},
		"a deadline shorter than the connect time-out": {testnet.Silent, func(b *bench) {
			ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
			defer cancel()
			b.dial(ctx, "db:1")
		}},
		"Permanent": {testnet.Accept, func(b *bench) {
			b.d.Do(b.t.Context(), "db:1", func(context.Context, string) error {
				return dialer.Permanent(errors.New("unauthorized"))
			})
		}},
	} {
		run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
			b.net.Set("10.0.0.1:1", test.mode)
			for range 30 {
				test.dial(b)
				time.Sleep(100 * time.Millisecond)
			}
			if s := b.state(); s.State != dialer.Closed || s.Failures != 0 {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}

func TestWhatThisMachineLacksDoesNotCount(t *testing.T) {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EAFNOSUPPORT, syscall.EADDRNOTAVAIL,
		syscall.ECONNREFUSED, syscall.EHOSTUNREACH, // these do
	} {
		change := func(c *dialer.Config) {
			once(c)
			c.DialFunc = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)}
			}
		}
		run(t, map[string]string{"db": "10.0.0.1"}, change, func(t *testing.T, b *bench) {
			for range 10 {
				b.dial(t.Context(), "db:1")
				time.Sleep(60 * time.Millisecond)
			}
			counts := errno == syscall.ECONNREFUSED || errno == syscall.EHOSTUNREACH
			if s := b.state(); (s.State != dialer.Closed) != counts || (s.Failures > 0) != counts {
				t.Errorf("%v: %v after %d failures", errno, s.State, s.Failures)
			}
		})
	}
}

func TestADeadlineShorterThanTheConnectTimeoutDoesNotCountHoweverShortThatIs(t *testing.T) {
	for _, limit := range []time.Duration{80 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second} {
		for _, deadline := range []time.Duration{limit / 2, limit - time.Millisecond} {
			run(t, map[string]string{"db": "10.0.0.1"}, func(c *dialer.Config) { c.ConnectTimeout = limit }, func(t *testing.T, b *bench) {
				b.net.Set("10.0.0.1:1", testnet.Silent)
				for range 10 {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					b.dial(ctx, "db:1")
					cancel()
					time.Sleep(60 * time.Millisecond)
				}
				if s := b.state(); s.Failures != 0 || s.State != dialer.Closed {
					t.Errorf("connect time-out %v, deadline %v: %+v", limit, deadline, s)
				}
			})
		}
	}
}

func TestALateResultOfAnEarlierGenerationIsDropped(t *testing.T) {
	slow := func(c *dialer.Config) { c.ConnectTimeout = 60 * time.Second; c.Budget = -1 }
	run(t, map[string]string{"db": "10.0.0.1"}, slow, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Silent)
		for range 8 { // these fail in a minute, 100 ms apart
			go b.dial(t.Context(), "db:1")
			time.Sleep(100 * time.Millisecond)
		}
		b.net.Set("10.0.0.1:1", testnet.Refuse)
		b.open("db:1")
		b.net.Set("10.0.0.1:1", testnet.Accept)
		time.Sleep(2 * time.Second)
		if s := b.state(); s.State != dialer.Closed {
			t.Fatalf("not back: %+v", s)
		}
		time.Sleep(70 * time.Second)
		if s := b.state(); s.State != dialer.Closed || s.Openings != 1 {
			t.Errorf("results from before the breaker opened have opened it again: %+v", s)
		}
	})
}

func TestDoIsRefusedByAnOpenBreakerToo(t *testing.T) {
	run(t, map[string]string{"nsqd": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		calls := 0
		refuse := func(context.Context, string) error { calls++; return errors.New("refused") }
		for range 10 {
			b.d.Do(t.Context(), "nsqd:4150", refuse)
			time.Sleep(60 * time.Millisecond)
		}
		if calls != 5 {
			t.Errorf("%d calls, want 5", calls)
		}
		b.net.Set("10.0.0.1:4150", testnet.Accept)
		time.Sleep(2 * time.Second)
		if err := b.d.Do(t.Context(), "nsqd:4150", func(context.Context, string) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

func TestHealthFollowsTheBreaker(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		if h, changed := b.d.Health("db:1"); !h.Ready || changed == nil {
			t.Errorf("before any dial: %+v, %v", h, changed)
		}
		b.open("db:1")
		h, changed := b.d.Health("db:1")
		if h.Ready || h.Err == nil || h.NextProbe.IsZero() {
			t.Errorf("open: %+v", h)
		}
		b.net.Set("10.0.0.1:1", testnet.Accept)
		begin := time.Now()
		<-changed
		if took := time.Since(begin); took > time.Second {
			t.Errorf("told after %v", took)
		}
		if h, _ := b.d.Health("db:1"); !h.Ready {
			t.Errorf("back: %+v", h)
		}
	})
}

func TestWhoWaitsForHealthIsToldHoweverLongThatTakes(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		b.open("db:1")
		back := time.Now().Add(15 * time.Minute)
		time.AfterFunc(time.Until(back), func() { b.net.Set("10.0.0.1:1", testnet.Accept) })
		for {
			health, changed := b.d.Health("db:1")
			if health.Ready {
				break
			}
			select {
			case <-changed:
			case <-time.After(5 * time.Hour):
				t.Fatalf("nobody told in 5 h; now %+v", health)
			}
		}
		if late := time.Since(back); late > time.Second {
			t.Errorf("told %v after the server's return", late)
		}
	})
}

func TestLastSuccessIsThatOfAConnectionThatNobodyReadsToo(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		time.Sleep(10 * time.Second)
		if b.state().LastSuccess.IsZero() {
			t.Error("none")
		}
	})
}

func TestTraceIsToldOfEachChangeOfABreaker(t *testing.T) {
	var mu sync.Mutex
	var told []string
	change := func(c *dialer.Config) {
		c.Budget = -1
		c.Breaker = dialer.BreakerConfig{ProbeMin: time.Second, ProbeMax: time.Second}
		c.Trace = &dialer.Trace{Breaker: func(addr string, from, to dialer.BreakerState) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s: %v, %v", addr, from, to))
		}}
	}
	run(t, map[string]string{"db": "10.0.0.1"}, change, func(t *testing.T, b *bench) {
		b.open("db:1")
		time.Sleep(1100 * time.Millisecond)
		b.net.Set("10.0.0.1:1", testnet.Accept)
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		want := []string{
			"10.0.0.1:1: closed, open", "10.0.0.1:1: open, probing", "10.0.0.1:1: probing, open",
			"10.0.0.1:1: open, probing", "10.0.0.1:1: probing, closed",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestWithoutABreakerEveryDialGoesThrough(t *testing.T) {
	none := func(c *dialer.Config) { c.Budget = -1; c.Breaker.Failures = -1 }
	run(t, map[string]string{"db": "10.0.0.1"}, none, func(t *testing.T, b *bench) {
		for range 50 {
			b.dial(t.Context(), "db:1")
			time.Sleep(60 * time.Millisecond)
		}
		if n := len(b.net.Dials()); n != 50 {
			t.Errorf("%d dials, want 50", n)
		}
	})
}

func TestLosersNeverTakeMoreThanFourPlaces(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Silent)
		b.net.Set("10.0.0.2:1", testnet.Accept)
		var dials sync.WaitGroup
		for range 40 {
			dials.Go(func() { b.dial(t.Context(), "db:1") })
			time.Sleep(60 * time.Millisecond)
		}
		dials.Wait()
		synctest.Wait()
		if n := b.net.Pending("10.0.0.1:1"); n != 4 {
			t.Errorf("%d attempts go on, want 4", n)
		}
	})
}
