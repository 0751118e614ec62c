package dialer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
	"github.com/gvpocr/worker/resolve"
)

func TestAServiceThatMovesIsFollowed(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, 5 * time.Second, 8 * time.Second, 10 * time.Second, 13 * time.Second, 30 * time.Second, 5 * time.Minute} {
		for fate, name := range map[testnet.Mode]string{testnet.Accept: "alive", testnet.Refuse: "dead", testnet.Silent: "vanished"} {
			t.Run(fmt.Sprintf("TTL %v, the old server %s", ttl, name), func(t *testing.T) {
				z := &zone{answer: says(ttl, hostA)}
				runZone(t, z, nil, func(t *testing.T, b *bench) {
					old := b.hold(hostA)
					time.Sleep(rand.N(2 * ttl)) // anywhere between two lookups
					moved := time.Now()
					z.set(says(ttl, hostB))
					b.net.Set(hostA+":1", fate)

					limit := max(ttl, 5*time.Second) + time.Second
					if fate != testnet.Accept {
						limit = 2 * time.Second
					}
					for found := false; !found; time.Sleep(50 * time.Millisecond) {
						conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
						if err != nil {
							t.Fatalf("%v after the move: %v", time.Since(moved), err)
						}
						found = endpointOf(conn) == hostB+":1"
						conn.Close()
						if !found && time.Since(moved) > limit {
							t.Fatalf("still dials the old server %v after the move", time.Since(moved))
						}
					}
					if took := time.Since(moved) - 50*time.Millisecond; took > limit {
						t.Errorf("the new server was dialed after %v, want %v at most", took, limit)
					}

					<-old.ended
					took, most := time.Since(moved), 2*max(ttl, 10*time.Second)+5*time.Second
					if took > most || took < 15*time.Second {
						t.Errorf("the connection to the old server was closed after %v, want 15 s at least and %v at most", took, most)
					}
				})
			})
		}
	}
}

func TestNothingIsClosedWhileTheAnswerDoesNotSaySo(t *testing.T) {
	const ttl = 30 * time.Second
	for name, answers := range map[string]func() (resolve.Answer, error){
		"it rotates two of three":          inTurn(says(ttl, hostA, hostB), says(ttl, hostB, hostC), says(ttl, hostC, hostA)),
		"it rotates one of two":            inTurn(says(ttl, hostA), says(ttl, hostB)),
		"it rotates one of three":          inTurn(says(ttl, hostA), says(ttl, hostB), says(ttl, hostC)),
		"it lacks the server now and then": inTurn(says(ttl, hostA, hostB), says(ttl, hostB)),
		"it is truncated":                  partly(ttl, hostB),
		"it is truncated but once":         inTurn(says(ttl, hostA), partly(ttl, hostA), says(ttl, hostB), partly(ttl, hostB)),
		"it is empty":                      says(ttl),
		"it is empty now and then":         inTurn(says(ttl), says(ttl, hostA)),
		"it fails":                         fails,
		"it fails now and then":            inTurn(fails, says(ttl, hostA), fails, says(ttl, hostB), fails),
		"the name is gone":                 func() (resolve.Answer, error) { return resolve.Answer{}, resolve.ErrNotFound },
	} {
		t.Run(name, func(t *testing.T) {
			z := &zone{answer: says(ttl, hostA)}
			runZone(t, z, nil, func(t *testing.T, b *bench) {
				conn := b.hold(hostA)
				z.set(answers)
				time.Sleep(2 * time.Hour)
				if !conn.open() {
					t.Errorf("closed after %v", <-conn.ended)
				}
				if z.lookups() < 100 {
					t.Errorf("asked only %d times, so nothing was shown", z.lookups())
				}
				conn.Close()
			})
		})
	}
}

// recursive is a name server that gives one answer of a zone again until its TTL is over, and counts that down.
type recursive struct {
	zone    func() (resolve.Answer, error)
	ttl     time.Duration
	noTTL   bool // as net.Resolver tells none
	mu      sync.Mutex
	until   time.Time
	current resolve.Answer
}

func (r *recursive) Resolve(_ context.Context, _, port string) (resolve.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !now.Before(r.until) {
		r.current, _ = r.zone()
		r.until = now.Add(r.ttl)
	}
	a := r.current
	a.TTL = r.until.Sub(now).Truncate(time.Second)
	if r.noTTL {
		a.TTL = 0
	} else if a.TTL == 0 {
		a.TTL = time.Second
	}
	a.Endpoints = nil
	for _, e := range r.current.Endpoints {
		e.Addr = net.JoinHostPort(e.Addr, port)
		a.Endpoints = append(a.Endpoints, e)
	}
	return a, nil
}

func TestNothingIsClosedWhileRecordsRotateBehindARecursiveNameServer(t *testing.T) {
	for _, ttl := range []time.Duration{5 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute} {
		for _, noTTL := range []bool{false, true} {
			t.Run(fmt.Sprintf("TTL %v, told %v", ttl, !noTTL), func(t *testing.T) {
				r := &recursive{ttl: ttl, noTTL: noTTL, zone: inTurn(says(0, hostA, hostB), says(0, hostB, hostC), says(0, hostC, hostA))}
				runZone(t, r, nil, func(t *testing.T, b *bench) {
					conn := b.hold(hostA)
					time.Sleep(2 * time.Hour)
					if !conn.open() {
						t.Errorf("closed after %v", <-conn.ended)
					}
					conn.Close()
				})
			})
		}
	}
}

func TestOnlyTheEndpointThatLeftIsClosed(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA, hostB)}
	var closed []string
	runZone(t, z, func(c *dialer.Config) {
		c.Trace = &dialer.Trace{Closed: func(name, addr string, _ time.Duration, reason string) {
			closed = append(closed, name+" "+addr+" "+reason)
		}}
	}, func(t *testing.T, b *bench) {
		leaves, stays := b.hold(hostA), b.hold(hostB)
		closed = nil
		z.set(says(5*time.Second, hostB))
		<-leaves.ended
		if !stays.open() {
			t.Error("the connection to the endpoint that is still there was closed")
		}
		if diff := cmp.Diff([]string{"db:1 10.0.0.1:1 its endpoint left the answer"}, closed); diff != "" {
			t.Errorf("Trace.Closed (-want +got):\n%s", diff)
		}
		leaves.Close() // harmless
		if diff := cmp.Diff([]string{hostB + ":1"}, endpointsOf(b.names())); diff != "" {
			t.Errorf("Stats, though nobody dialed (-want +got):\n%s", diff)
		}
		if open := b.names().Endpoints[0].Open; open != 1 {
			t.Errorf("%d connections count as open, want 1", open)
		}
		stays.Close()
	})
}

func TestLeavingIsToldDrainAfterBeforeTheClose(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	drain := func(c *dialer.Config) { c.DrainAfter = 42 * time.Second }
	runZone(t, z, drain, func(t *testing.T, b *bench) {
		conn := b.hold(hostA)
		z.set(says(5*time.Second, hostB))
		<-conn.Conn.(interface{ Leaving() <-chan struct{} }).Leaving()
		told := time.Now()
		<-conn.ended
		if left := time.Since(told); left != 42*time.Second {
			t.Errorf("closed %v after that, want 42 s", left)
		}
	})
}

func TestMissingIsToldByTheFirstAnswerAndEachTimeAnew(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	runZone(t, z, nil, func(t *testing.T, b *bench) {
		conn := b.hold(hostA)
		missing := func() <-chan struct{} { return conn.Conn.(interface{ Missing() <-chan struct{} }).Missing() }
		for range 2 {
			told := missing()
			moved := time.Now()
			z.set(says(5*time.Second, hostB))
			<-told
			if took := time.Since(moved); took > 5*time.Second {
				t.Errorf("told after %v, want the TTL of 5 s at most", took)
			}
			select {
			case <-conn.Conn.(interface{ Leaving() <-chan struct{} }).Leaving():
				t.Error("one answer is taken for the end")
			default:
			}
			z.set(says(5*time.Second, hostA))
			time.Sleep(6 * time.Second) // it is there again
		}
		told := missing()
		z.set(partly(5*time.Second, hostB))
		time.Sleep(time.Minute)
		select {
		case <-told:
			t.Error("an answer that is cut off is taken for one that lacks the endpoint")
		default:
		}
		conn.Close()
	})
}

func TestRefreshAsksWhateverTheTTLAndWaits(t *testing.T) {
	z := &zone{answer: says(time.Hour, hostA)}
	runZone(t, z, nil, func(t *testing.T, b *bench) {
		leadsTo := func(want string) {
			t.Helper()
			if e, err := b.d.Explain(t.Context(), "db:1"); err != nil || e.Answer.Endpoints[0].Addr != want+":1" {
				t.Errorf("it leads to %v, %v, want %s", e.Answer.Endpoints, err, want)
			}
		}
		leadsTo(hostA)
		time.Sleep(2 * time.Second)
		z.set(says(time.Hour, hostB))
		leadsTo(hostA)
		if err := b.d.Refresh(t.Context(), "db:1"); err != nil {
			t.Error(err)
		}
		leadsTo(hostB)
		asked := z.lookups()
		if err := b.d.Refresh(t.Context(), "db:1"); err != nil || z.lookups() != asked {
			t.Errorf("an answer of this second is asked for again: %v", err)
		}

		time.Sleep(2 * time.Second)
		z.set(fails)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := b.d.Refresh(ctx, "db:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody answers: %v", err)
		}
		if n := z.lookups() - asked; n > 4 {
			t.Errorf("asked %d times in 3 s", n)
		}
		leadsTo(hostB)
		if err := b.d.Refresh(t.Context(), hostA+":1"); err != nil {
			t.Errorf("an address: %v", err)
		}
		if err := b.d.Refresh(t.Context(), "db"); err == nil {
			t.Error("a name without a port is taken")
		}
	})
}

func TestANegativeDrainAfterLeavesConnectionsAlone(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	off := func(c *dialer.Config) { c.DrainAfter = -1 }
	runZone(t, z, off, func(t *testing.T, b *bench) {
		conn := b.hold(hostA)
		z.set(says(5*time.Second, hostB))
		<-conn.Conn.(interface{ Leaving() <-chan struct{} }).Leaving()
		time.Sleep(time.Hour)
		if !conn.open() {
			t.Error("closed")
		}
		conn.Close()
	})
}

func TestAClosedDialerLeavesConnectionsAlone(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	runZone(t, z, nil, func(t *testing.T, b *bench) {
		conn := b.hold(hostA)
		z.set(says(5*time.Second, hostB))
		<-conn.Conn.(interface{ Leaving() <-chan struct{} }).Leaving()
		b.d.Close()
		time.Sleep(time.Hour)
		if !conn.open() {
			t.Error("closed")
		}
		conn.Close()
	})
}

func TestSparesToAnEndpointThatLeftGoAtOnce(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	runZone(t, z, func(c *dialer.Config) { spares(2)(c); c.SpareIdle = time.Hour }, func(t *testing.T, b *bench) {
		conn := b.hold(hostA)
		synctest.Wait()
		if open := b.net.Open(); open != 3 {
			t.Fatalf("%d connections, want one in use and two spares", open)
		}
		z.set(says(5*time.Second, hostB))
		<-conn.Conn.(interface{ Leaving() <-chan struct{} }).Leaving()
		synctest.Wait()
		if open := b.net.Open(); open != 1 {
			t.Errorf("%d connections are left, want the one in use", open)
		}
		<-conn.ended
	})
}

func TestAWatchEndsWithTheCacheOfItsUser(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var cache *resolve.Cache
	run(t, nil, func(c *dialer.Config) {
		cache = resolve.NewCache(z, resolve.CacheConfig{})
		c.Resolver = cache
	}, func(t *testing.T, b *bench) {
		b.net.Set(hostA+":1", testnet.Accept)
		conn := b.hold(hostA)
		cache.Close()
		time.Sleep(time.Hour) // a watch that spins would never let time pass
		if !conn.open() {
			t.Error("the connection was closed")
		}
		conn.Close()
	})
}

func TestNobodyIsAskedOnceNoConnectionIsLeft(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	runZone(t, z, nil, func(t *testing.T, b *bench) {
		conn := b.hold(hostA)
		time.Sleep(time.Hour)
		before := z.lookups()
		if before < 600 {
			t.Errorf("asked %d times in an hour while a connection was open; the answer lasts 5 s", before)
		}
		conn.Close()
		time.Sleep(12 * time.Minute) // a name that nobody asks for is dropped after ten, a watch looks once a minute
		before = z.lookups()
		time.Sleep(time.Hour)
		if after := z.lookups(); after != before {
			t.Errorf("asked %d times more", after-before)
		}
	})
}

func TestWhileDNSIsOutDialsGoOnAndNothingIsClosed(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var log bytes.Buffer
	runZone(t, z, func(c *dialer.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, func(t *testing.T, b *bench) {
		conn := b.hold(hostA)
		z.set(fails)
		for range 3600 {
			time.Sleep(time.Second)
			if took, err := b.dial(t.Context(), "db:1"); err != nil || took != 0 {
				t.Fatalf("dial took %v: %v", took, err)
			}
		}
		if !conn.open() {
			t.Error("the connection was closed")
		}
		if !b.names().Answer.Stale {
			t.Error("Stats does not say that the answer is stale")
		}
		if n := strings.Count(log.String(), "can't be resolved"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
		conn.Close()
	})
}

func TestThatAnAnswerIsStaleIsLoggedOnceForShortDialsToo(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var log bytes.Buffer
	runZone(t, z, func(c *dialer.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, func(t *testing.T, b *bench) {
		b.dial(t.Context(), "db:1")
		z.set(fails)
		time.Sleep(10 * time.Second)
		for range 60 { // each with a watch of its own
			time.Sleep(2 * time.Minute)
			b.dial(t.Context(), "db:1")
			synctest.Wait()
			if !b.names().Answer.Stale {
				t.Error("Stats does not say that the answer is stale")
			}
		}
		if n := strings.Count(log.String(), "can't be resolved"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
	})
}

func TestANameWithoutAnyAnswerLeftKeepsWhatItHad(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var log bytes.Buffer
	runZone(t, z, func(c *dialer.Config) {
		c.Cache.MaxStale = -1
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}, func(t *testing.T, b *bench) {
		conn := b.hold(hostA)
		z.set(fails)
		time.Sleep(3 * time.Minute)
		if health, _ := b.d.Health("db:1"); !health.Ready {
			t.Errorf("health %+v", health)
		}
		if strings.Contains(log.String(), "endpoints=[]") {
			t.Errorf("an empty answer is logged:\n%s", log.String())
		}
		conn.Close()
	})
}

func TestARestartWhileDNSIsOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "names")
	withFile := func(c *dialer.Config) { c.Cache.File, c.Budget = file, -1 }
	z := &zone{answer: says(5*time.Second, hostA)}
	runZone(t, z, withFile, func(t *testing.T, b *bench) {
		if _, err := b.dial(t.Context(), "db:1"); err != nil {
			t.Fatal(err)
		}
	})
	z.set(fails)
	after := func(d time.Duration) func(*dialer.Config) {
		return func(c *dialer.Config) {
			withFile(c)
			time.Sleep(d) // bubbles all begin at the same time
		}
	}
	runZone(t, z, after(23*time.Hour), func(t *testing.T, b *bench) {
		if _, err := b.dial(t.Context(), "db:1"); err != nil {
			t.Errorf("with the file: %v", err)
		}
	})
	runZone(t, z, after(25*time.Hour), func(t *testing.T, b *bench) { wantUnused(t, b, "25h0m0s old") })
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	runZone(t, z, withFile, func(t *testing.T, b *bench) { wantUnused(t, b, "not a cache file") })
}

// wantUnused wants a dial to fail with what the name server said, and why the file does not help.
func wantUnused(t *testing.T, b *bench, reason string) {
	t.Helper()
	_, err := b.dial(t.Context(), "db:1")
	for _, want := range []string{"db:1", "name server is down", "cache file", "is not used", reason} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}
