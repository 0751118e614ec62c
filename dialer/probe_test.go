package dialer_test

import (
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
)

func TestAServerThatComesBackIsFoundWithinASecondAndAHalfHoweverLongItWasAway(t *testing.T) {
	for _, away := range []time.Duration{2 * time.Second, time.Minute, 10 * time.Minute} {
		run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
			begin := time.Now()
			time.AfterFunc(away, func() { b.net.Set("10.0.0.1:1", testnet.Accept) })
			for {
				if _, err := b.dial(t.Context(), "db:1"); err == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if late := time.Since(begin) - away; late < 0 || late > 1500*time.Millisecond {
				t.Errorf("away for %v: connected %v after it was back", away, late)
			}
			// One caller every 10 ms would have been thousands of dials: only probes went out, 0.1 to 1 s apart.
			if n, most := len(b.net.Dials()), int(away/(100*time.Millisecond))+15; n > most {
				t.Errorf("away for %v: %d dials, want %d at most", away, n, most)
			}
		})
	}
}

func TestWhileTheBreakerIsOpenTheServerSeesTheProbeAndNobodyElse(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		b.open("db:1")
		before := len(b.net.Dials())
		stop := time.Now().Add(30 * time.Second)
		for time.Now().Before(stop) {
			for range 5 {
				go b.dial(t.Context(), "db:1")
			}
			time.Sleep(10 * time.Millisecond)
		}
		probes := b.net.Dials()[before:]
		if len(probes) < 28 || len(probes) > 300 {
			t.Errorf("%d probes in 30s, want one each 0.1 to 1s", len(probes))
		}
		for i := 1; i < len(probes); i++ {
			if gap := probes[i].At - probes[i-1].At; gap < 100*time.Millisecond {
				t.Fatalf("two dials %v apart", gap)
			}
		}
	})
}

func TestASilentEndpointIsProbedAtAPaceThatDoublesToFiveSeconds(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Silent)
		b.open("db:1")
		before := len(b.net.Dials())
		if wait := time.Until(b.state().NextProbe); wait < 500*time.Millisecond || wait > 1500*time.Millisecond {
			t.Errorf("the first probe after %v, want 0.5 to 1.5s", wait)
		}
		time.Sleep(5 * time.Minute)
		probes := b.net.Dials()[before:]
		for i, p := range probes[3:] { // by then the pace is 5 s
			// A probe takes its time-out of 2 s, and the next comes 0.5 to 1.5 times the pace after that.
			if gap := p.At - probes[2+i].At; gap < 4500*time.Millisecond || gap > 9500*time.Millisecond {
				t.Errorf("two probes %v apart, want 4.5 to 9.5s", gap)
			}
		}
		if len(probes) < 30 || len(probes) > 60 {
			t.Errorf("%d probes in 5m, want one each 7s or so", len(probes))
		}
	})
}

func TestABreakerThatOpensSoonAgainKeepsItsPace(t *testing.T) {
	hasty := func(c *dialer.Config) {
		c.Budget, c.ConnectTimeout = -1, 100*time.Millisecond
	}
	for closed, want := range map[time.Duration][2]time.Duration{
		time.Second:      {2500 * time.Millisecond, 7500 * time.Millisecond}, // flapping
		11 * time.Second: {500 * time.Millisecond, 1500 * time.Millisecond},
	} {
		run(t, map[string]string{"db": "10.0.0.1"}, hasty, func(t *testing.T, b *bench) {
			b.net.Set("10.0.0.1:1", testnet.Silent)
			b.open("db:1")
			time.Sleep(time.Minute)
			b.net.Set("10.0.0.1:1", testnet.Accept)
			for b.state().State != dialer.Closed {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(closed)
			b.net.Set("10.0.0.1:1", testnet.Silent)
			b.open("db:1")
			if wait := time.Until(b.state().NextProbe); wait < want[0]-100*time.Millisecond || wait > want[1] {
				t.Errorf("closed for %v: the first probe after %v, want %v", closed, wait, want)
			}
		})
	}
}

func TestAnEndpointThatNobodyWantsIsProbedForTenMinutesMoreAndThenForgotten(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		b.open("db:1")
		time.Sleep(9 * time.Minute)
		if b.state().State == dialer.Closed {
			t.Error("forgotten after 9 minutes")
		}
		time.Sleep(2 * time.Minute)
		before := len(b.net.Dials())
		time.Sleep(time.Hour)
		if n := len(b.net.Dials()) - before; n != 0 {
			t.Errorf("%d probes of an endpoint that nobody wants", n)
		}
		b.dial(t.Context(), "db:1")
		if n := len(b.net.Dials()) - before; n != 1 {
			t.Errorf("%d dials: who wants it again begins with a closed breaker", n)
		}
	})
}
