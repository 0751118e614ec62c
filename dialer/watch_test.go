package dialer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
	"github.com/gvpocr/worker/resolve"
)

const (
	hostA = "10.0.0.1"
	hostB = "10.0.0.2"
	hostC = "10.0.0.3"
)

// zone is a name server whose answers change.
type zone struct {
	mu     sync.Mutex
	answer func() (resolve.Answer, error)
	asked  int
}

func (z *zone) Resolve(_ context.Context, _, port string) (resolve.Answer, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	a, err := z.answer()
	for i, e := range a.Endpoints {
		a.Endpoints[i].Addr = net.JoinHostPort(e.Addr, port)
	}
	return a, err
}

func (z *zone) set(answer func() (resolve.Answer, error)) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.answer = answer
}

func (z *zone) lookups() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

// says is the answer of hosts.
func says(ttl time.Duration, hosts ...string) func() (resolve.Answer, error) {
	return func() (resolve.Answer, error) {
		a := resolve.Answer{TTL: ttl, Source: "zone"}
		for _, host := range hosts {
			a.Endpoints = append(a.Endpoints, resolve.Endpoint{Addr: host, Weight: 1})
		}
		return a, nil
	}
}

// inTurn gives one answer after the other, for ever.
func inTurn(answers ...func() (resolve.Answer, error)) func() (resolve.Answer, error) {
	next := 0
	return func() (resolve.Answer, error) {
		next++
		return answers[(next-1)%len(answers)]()
	}
}

func fails() (resolve.Answer, error) { return resolve.Answer{}, errors.New("name server is down") }

func partly(ttl time.Duration, hosts ...string) func() (resolve.Answer, error) {
	return func() (resolve.Answer, error) {
		a, err := says(ttl, hosts...)()
		a.Partial = true
		return a, err
	}
}

// runZone is run with a name server, on a network where A, B and C accept.
func runZone(t *testing.T, z resolve.Resolver, change func(*dialer.Config), test func(t *testing.T, b *bench)) {
	t.Helper()
	run(t, nil, func(c *dialer.Config) {
		c.Resolver = z
		if change != nil {
			change(c)
		}
	}, func(t *testing.T, b *bench) {
		for _, host := range []string{hostA, hostB, hostC} {
			b.net.Set(host+":1", testnet.Accept)
		}
		test(t, b)
	})
}

// held is a connection that somebody uses.
type held struct {
	net.Conn
	ended chan time.Duration // since it was dialed
}

// endpointOf returns where a connection over the network in memory leads.
func endpointOf(conn net.Conn) string { return conn.RemoteAddr().String() }

func endpointsOf(n dialer.NameStats) (addrs []string) {
	for _, e := range n.Endpoints {
		addrs = append(addrs, e.Addr)
	}
	return addrs
}

// hold dials db:1 until it gets host, and reads there until the connection ends.
func (b *bench) hold(host string) *held {
	b.t.Helper()
	for range 100 {
		conn, err := b.d.DialContext(b.t.Context(), "tcp", "db:1")
		if err != nil {
			b.t.Fatal(err)
		}
		if endpointOf(conn) != host+":1" {
			conn.Close()
			continue
		}
		h := &held{conn, make(chan time.Duration, 1)}
		began := time.Now()
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			h.ended <- time.Since(began)
		}()
		return h
	}
	b.t.Fatalf("no dial leads to %s", host)
	return nil
}

// open reports whether the connection has not ended.
func (h *held) open() bool {
	synctest.Wait()
	return len(h.ended) == 0
}

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

func TestConnectionsBehindAServiceThatMovedAreClosedToo(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	unknown := func(_ context.Context, host, port string) (resolve.Answer, error) {
		if host != "db" {
			return resolve.Answer{}, resolve.ErrNotFound
		}
		return z.Resolve(context.Background(), host, port)
	}
	runZone(t, z, func(c *dialer.Config) { c.Resolver = resolverFunc(unknown) }, func(t *testing.T, b *bench) {
		for _, host := range []string{hostA, hostB} {
			b.net.Set(host+":27018", testnet.Accept)
		}
		conn, err := b.d.Behind("db").DialContext(t.Context(), "tcp", "member-1:27018")
		if err != nil {
			t.Fatal(err)
		}
		if endpointOf(conn) != hostA+":27018" {
			t.Fatalf("dialed %s", endpointOf(conn))
		}
		time.Sleep(time.Minute)
		z.set(says(5*time.Second, hostB))
		moved := time.Now()
		_, _ = io.Copy(io.Discard, conn)
		if took := time.Since(moved); took < 15*time.Second || took > 25*time.Second {
			t.Errorf("closed after %v, want 15 to 25 s", took)
		}
	})
}

func TestWhileDNSIsDownOnlyNamesThatNobodyNamedAreTakenForTheServices(t *testing.T) {
	down := func(_ context.Context, host, port string) (resolve.Answer, error) {
		switch host {
		case "db":
			return says(5*time.Minute, net.JoinHostPort(hostA, port))()
		case "absent":
			return resolve.Answer{}, resolve.ErrAbsent
		case "named": // DIAL_NAMED=other.example.org
			return resolve.Answer{}, errors.New("named is other.example.org: name server is down")
		}
		return resolve.Answer{}, fmt.Errorf("%s: %w", host, resolve.ErrUnavailable)
	}
	runZone(t, resolverFunc(down), once, func(t *testing.T, b *bench) {
		b.net.Set(hostA+":27018", testnet.Accept)
		conn, err := b.d.Behind("db").DialContext(t.Context(), "tcp", "member-1:27018")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		for _, host := range []string{"named", "absent"} {
			if conn, err := b.d.Behind("db").DialContext(t.Context(), "tcp", host+":27018"); err == nil {
				t.Errorf("%s leads to %s", host, endpointOf(conn))
				conn.Close()
			}
		}
		_, err = b.d.Behind("nobody").DialContext(t.Context(), "tcp", "member-1:27018")
		for _, want := range []string{"member-1", "nobody"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error lacks %q: %v", want, err)
			}
		}
	})
}

func TestASilentNameServerNeverLooksLikeTheCallersDeadline(t *testing.T) {
	silent := resolverFunc(func(ctx context.Context, _, _ string) (resolve.Answer, error) {
		<-ctx.Done()
		return resolve.Answer{}, ctx.Err()
	})
	runZone(t, silent, nil, func(t *testing.T, b *bench) {
		if took, err := b.dial(t.Context(), "db:1"); err == nil || errors.Is(err, context.DeadlineExceeded) || took != 15*time.Second {
			t.Errorf("took %v: %v", took, err)
		}
	})
}

type resolverFunc func(ctx context.Context, host, port string) (resolve.Answer, error)

func (f resolverFunc) Resolve(ctx context.Context, host, port string) (resolve.Answer, error) {
	return f(ctx, host, port)
}

func TestAConnectionBelongsToTheAnswerThatItWasDialedBy(t *testing.T) {
	// The first pass goes to the service's host, since nobody can say whether the name is known; the second by the name.
	var up atomic.Bool
	r := resolverFunc(func(_ context.Context, host, port string) (resolve.Answer, error) {
		switch {
		case host == "db":
			return says(5*time.Second, net.JoinHostPort(hostA, port))()
		case !up.Load():
			return resolve.Answer{}, resolve.ErrUnavailable
		}
		return says(5*time.Second, net.JoinHostPort(hostB, port))()
	})
	runZone(t, r, func(c *dialer.Config) { c.Cache.NegativeTTL = 100 * time.Millisecond }, func(t *testing.T, b *bench) {
		b.net.Set(hostB+":27018", testnet.Accept)
		time.AfterFunc(300*time.Millisecond, func() { up.Store(true) })
		conn, err := b.d.Behind("db").DialContext(t.Context(), "tcp", "member-1:27018")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		end := time.AfterFunc(time.Hour, func() { conn.Close() })
		defer end.Stop()
		_, _ = io.Copy(io.Discard, conn)
		if took := time.Since(began); took < time.Hour {
			t.Errorf("closed after %v, although %s never left the answer", took, endpointOf(conn))
		}
	})
}

func TestAServiceOnSeveralHostsIsSaidNotToBeToldFromItsMembers(t *testing.T) {
	r := resolverFunc(func(_ context.Context, host, port string) (resolve.Answer, error) {
		if host != "db" {
			return resolve.Answer{}, resolve.ErrNotFound
		}
		return says(time.Minute, net.JoinHostPort(hostA, port), net.JoinHostPort(hostB, port))()
	})
	var log bytes.Buffer
	runZone(t, r, func(c *dialer.Config) { once(c); c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, func(t *testing.T, b *bench) {
		_, err := b.d.Behind("db").DialContext(t.Context(), "tcp", "gvpocr-mongo-1:27018")
		if err == nil || !strings.Contains(err.Error(), "DIAL_GVPOCR_MONGO_1=") {
			t.Errorf("the error does not say what to set: %v", err)
		}
		if n := strings.Count(log.String(), "DIAL_GVPOCR_MONGO_1="); n != 1 {
			t.Errorf("logged %d times: %s", n, &log)
		}
	})
}

func TestDialsThatWaitBehindTwoServicesDoNotWakeEachOther(t *testing.T) {
	lookups := 0
	var mu sync.Mutex
	r := resolverFunc(func(_ context.Context, host, port string) (resolve.Answer, error) {
		switch host {
		case "a":
			return says(5*time.Minute, net.JoinHostPort(hostA, port))()
		case "b":
			return says(5*time.Minute, net.JoinHostPort(hostB, port))()
		}
		return resolve.Answer{}, resolve.ErrNotFound
	})
	runZone(t, r, func(c *dialer.Config) {
		c.Budget = 2 * time.Second
		c.Breaker = dialer.BreakerConfig{Failures: 1, ProbeMin: time.Second, ProbeMax: time.Second}
		c.Trace = &dialer.Trace{Resolved: func(string, resolve.Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			lookups++
		}}
	}, func(t *testing.T, b *bench) {
		var dials sync.WaitGroup
		for _, service := range []string{"a", "b"} {
			dials.Go(func() { _, _ = b.d.Behind(service).DialContext(t.Context(), "tcp", "member-1:27018") })
		}
		dials.Wait()
		if lookups > 30 {
			t.Errorf("%d lookups in 2 s", lookups)
		}
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

// echoing makes dials lead to an HTTP server that answers, after a time, with the address that was dialed.
func echoing(c *dialer.Config, takes time.Duration) (served *sync.WaitGroup) {
	served = new(sync.WaitGroup)
	c.DialFunc = func(_ context.Context, _, addr string) (net.Conn, error) {
		near, far := net.Pipe()
		served.Go(func() {
			defer far.Close()
			requests := bufio.NewReader(far)
			for {
				if _, err := http.ReadRequest(requests); err != nil {
					return
				}
				time.Sleep(takes)
				fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(addr), addr)
			}
		})
		return near, nil
	}
	return served
}

func get(client *http.Client) (string, error) {
	resp, err := client.Get("http://db:1/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestIdleConnectionsOfATransportDoNotOutliveAChangedAnswer(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var served *sync.WaitGroup
	runZone(t, z, func(c *dialer.Config) { served = echoing(c, 0) }, func(t *testing.T, b *bench) {
		transport := b.d.Transport()
		client := &http.Client{Transport: transport}
		for range 2 {
			if got, err := get(client); got != hostA+":1" {
				t.Errorf("got %s, %v", got, err)
			}
			time.Sleep(20 * time.Second)
		}
		if dials := b.names().Endpoints[0].Dials; dials != 1 {
			t.Errorf("%d dials for two requests, want one: the idle connection is used again", dials)
		}
		z.set(says(5*time.Second, hostB))
		time.Sleep(6 * time.Second)
		if got, err := get(client); got != hostB+":1" {
			t.Errorf("a request after the move went to %s, %v", got, err)
		}
		transport.CloseIdleConnections()
		served.Wait()
	})
}

func TestABusyTransportMovesTooAndLosesNoRequest(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var served *sync.WaitGroup
	runZone(t, z, func(c *dialer.Config) { served = echoing(c, 900*time.Millisecond) }, func(t *testing.T, b *bench) {
		transport := b.d.Transport()
		client := &http.Client{Transport: transport}
		moved := time.Now().Add(2 * time.Second)
		time.AfterFunc(2*time.Second, func() { z.set(says(5*time.Second, hostB)) })
		var mu sync.Mutex
		var last time.Duration
		var clients sync.WaitGroup
		for i := range 4 {
			clients.Go(func() {
				time.Sleep(time.Duration(i) * 230 * time.Millisecond)
				for time.Since(moved) < time.Minute {
					began := time.Since(moved)
					got, err := get(client)
					mu.Lock()
					if err != nil {
						t.Errorf("a request %v after the move failed: %v", began, err)
					} else if got == hostA+":1" {
						last = max(last, began)
					}
					mu.Unlock()
					time.Sleep(time.Millisecond)
				}
			})
		}
		clients.Wait()
		if last > 14*time.Second {
			t.Errorf("the last request to the old server began %v after the move", last)
		}
		transport.CloseIdleConnections()
		served.Wait()
	})
}
