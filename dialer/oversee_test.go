package dialer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
	"github.com/gvpocr/worker/resolve"
)

func TestADialUnderWayFollowsAMove(t *testing.T) {
	for fate, name := range map[testnet.Mode]string{testnet.Refuse: "refuses", testnet.Silent: "is silent"} {
		for _, after := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 3300 * time.Millisecond, 7 * time.Second} {
			t.Run(fmt.Sprintf("the old server %s, the name moves after %v", name, after), func(t *testing.T) {
				z := &zone{answer: says(5*time.Minute, hostA)}
				runZone(t, z, nil, func(t *testing.T, b *bench) {
					b.net.Set(hostA+":1", fate)
					time.AfterFunc(after, func() { z.set(says(5*time.Minute, hostB)) })
					took, err := b.dial(t.Context(), "db:1")
					if err != nil || took > after+5*time.Second {
						t.Errorf("took %v: %v", took, err)
					}
				})
			})
		}
	}
}

func TestDoFollowsAMove(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	runZone(t, z, nil, func(t *testing.T, b *bench) {
		b.net.Set(hostA+":1", testnet.Refuse)
		time.AfterFunc(3*time.Second, func() { z.set(says(5*time.Second, hostB)) })
		err := b.d.Do(t.Context(), "db:1", func(ctx context.Context, addr string) error {
			conn, err := b.net.DialContext(ctx, "tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAPassIsOverWhenWhatItTriesHasLeft(t *testing.T) {
	z := &zone{answer: says(5*time.Minute, hostA, hostB)}
	runZone(t, z, once, func(t *testing.T, b *bench) {
		b.net.Set(hostA+":1", testnet.Refuse)
		b.net.Set(hostB+":1", testnet.Accept)
		for range 60 { // until A's breaker is open
			b.dial(t.Context(), "db:1")
			time.Sleep(60 * time.Millisecond)
		}
		b.net.Set(hostB+":1", testnet.Silent)
		z.set(says(5*time.Minute, hostA, hostC))
		if took, err := b.dial(t.Context(), "db:1"); err != nil || took > 2*time.Second {
			t.Errorf("took %v: %v", took, err)
		}
	})
}

// Records that rotate one at a time are a move with each answer, for who looks at one answer alone.
func TestRecordsThatRotateDoNotSendADialRoundAndRound(t *testing.T) {
	rotating := func() *zone { return &zone{answer: inTurn(says(time.Second, hostA), says(time.Second, hostB))} }
	t.Run("breakers open", func(t *testing.T) {
		runZone(t, rotating(), nil, func(t *testing.T, b *bench) {
			b.net.Set(hostA+":1", testnet.Silent)
			b.net.Set(hostB+":1", testnet.Silent)
			for range 20 {
				b.dial(t.Context(), "db:1")
			}
			if took, err := b.dial(t.Context(), "db:1"); !errors.Is(err, dialer.ErrBreakerOpen) {
				t.Errorf("after 20 dials the next takes %v: %v", took, err)
			}
		})
	})
	t.Run("one pass ends", func(t *testing.T) {
		runZone(t, rotating(), once, func(t *testing.T, b *bench) {
			b.net.Set(hostA+":1", testnet.Silent)
			b.net.Set(hostB+":1", testnet.Silent)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			if took, err := b.dial(ctx, "db:1"); err == nil || took > 10*time.Second {
				t.Errorf("took %v: %v", took, err)
			}
		})
	})
	t.Run("slow servers are reached", func(t *testing.T) {
		slow := func(c *dialer.Config) {
			dial := c.DialFunc
			c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
				select {
				case <-time.After(3 * time.Second): // two lost SYNs
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				return dial(ctx, network, addr)
			}
		}
		runZone(t, rotating(), slow, func(t *testing.T, b *bench) {
			if took, err := b.dial(t.Context(), "db:1"); err != nil {
				t.Errorf("took %v: %v", took, err)
			}
		})
	})
	t.Run("one of two is found out", func(t *testing.T) {
		runZone(t, rotating(), nil, func(t *testing.T, b *bench) {
			b.net.Set(hostA+":1", testnet.Silent)
			slow := 0
			for range 100 {
				if took, _ := b.dial(t.Context(), "db:1"); took > 100*time.Millisecond {
					slow++
				}
				time.Sleep(time.Second)
			}
			if slow > 10 {
				t.Errorf("%d of 100 dials were slow", slow)
			}
		})
	})
}

func TestAPassThatIsCutShortIsNobodysCancel(t *testing.T) {
	for range 300 {
		lookup := time.Duration(50+rand.N(900)) * time.Millisecond
		moves := time.Duration(rand.N(6000)) * time.Millisecond
		var moved atomic.Bool
		r := resolverFunc(func(ctx context.Context, _, port string) (resolve.Answer, error) {
			host := hostA
			if moved.Load() {
				host = hostB
			}
			select {
			case <-time.After(lookup):
			case <-ctx.Done():
				return resolve.Answer{}, ctx.Err()
			}
			return says(0, net.JoinHostPort(host, port))()
		})
		runZone(t, r, func(c *dialer.Config) { c.Cache.UnknownTTL = -1 }, func(t *testing.T, b *bench) {
			b.net.Set(hostA+":1", testnet.Refuse)
			time.AfterFunc(moves, func() { moved.Store(true) })
			if took, err := b.dial(t.Context(), "db:1"); err != nil {
				t.Errorf("a lookup takes %v, the name moved after %v: dial took %v: %v", lookup, moves, took, err)
			}
		})
	}
}

func TestCloseEndsDialsWhoseNamesMove(t *testing.T) {
	for i := range 60 {
		z := &zone{answer: says(time.Second, hostA)}
		runZone(t, z, func(c *dialer.Config) { c.Cache.MinTTL = -1 }, func(t *testing.T, b *bench) {
			b.net.Set(hostA+":1", testnet.Silent)
			b.net.Set(hostB+":1", testnet.Silent)
			time.AfterFunc(300*time.Millisecond, func() { z.set(says(time.Second, hostB)) })
			var ended atomic.Int32
			for range 20 {
				go func() {
					if _, err := b.dial(context.Background(), "db:1"); err == nil {
						t.Error("connected")
					}
					ended.Add(1)
				}()
			}
			time.Sleep(time.Duration(i) * 50 * time.Millisecond)
			b.d.Close()
			time.Sleep(time.Millisecond)
			if n := ended.Load(); n != 20 {
				t.Errorf("%d of 20 have ended", n)
			}
		})
	}
}
