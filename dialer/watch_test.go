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
		for _, fate := range []testnet.Mode{testnet.Accept, testnet.Refuse} {
			t.Run(fmt.Sprintf("TTL %v, the old server %s", ttl, map[testnet.Mode]string{testnet.Accept: "alive", testnet.Refuse: "dead"}[fate]), func(t *testing.T) {
				z := &zone{answer: says(ttl, hostA)}
				runZone(t, z, nil, func(t *testing.T, b *bench) {
					old := b.hold(hostA)
					time.Sleep(rand.N(2 * ttl)) // anywhere between two lookups
					moved := time.Now()
					z.set(says(ttl, hostB))
					b.net.Set(hostA+":1", fate)

					limit := max(ttl, 5*time.Second) + time.Second
					if fate == testnet.Refuse {
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

func TestWhileDNSIsSilentAdvertisedNamesAreFoundAtTheService(t *testing.T) {
	silent := func(ctx context.Context, host, port string) (resolve.Answer, error) {
		if host == "db" {
			return says(5*time.Minute, hostA+":"+port)()
		}
		<-ctx.Done()
		return resolve.Answer{}, ctx.Err()
	}
	runZone(t, nil, func(c *dialer.Config) { c.Resolver = resolverFunc(silent) }, func(t *testing.T, b *bench) {
		b.net.Set(hostA+":27018", testnet.Accept)
		began := time.Now()
		conn, err := b.d.Behind("db").DialContext(t.Context(), "tcp", "member-1:27018")
		if took := time.Since(began); err != nil || took != 2*time.Second {
			t.Fatalf("took %v: %v; want 2 s", took, err)
		}
		conn.Close()

		if _, err := b.dial(t.Context(), "nobody:1"); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a name that is never answered: %v", err)
		}
		_, err = b.d.Behind("nobody").DialContext(t.Context(), "tcp", "member-1:27018")
		if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "member-1") || !strings.Contains(err.Error(), "nobody") {
			t.Errorf("an unknown service: %v", err)
		}
	})
}

type resolverFunc func(ctx context.Context, host, port string) (resolve.Answer, error)

func (f resolverFunc) Resolve(ctx context.Context, host, port string) (resolve.Answer, error) {
	return f(ctx, host, port)
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

func TestIdleConnectionsOfATransportDoNotOutliveAChangedAnswer(t *testing.T) {
	z := &zone{answer: says(5*time.Second, hostA)}
	var serving sync.WaitGroup
	dial := func(_ context.Context, _, addr string) (net.Conn, error) {
		near, far := net.Pipe()
		serving.Go(func() {
			defer far.Close()
			requests := bufio.NewReader(far)
			for {
				if _, err := http.ReadRequest(requests); err != nil {
					return
				}
				fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(addr), addr)
			}
		})
		return near, nil
	}
	runZone(t, z, func(c *dialer.Config) { c.DialFunc = dial }, func(t *testing.T, b *bench) {
		transport := b.d.Transport()
		client := &http.Client{Transport: transport}
		get := func() string {
			t.Helper()
			resp, err := client.Get("http://db:1/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		get()
		time.Sleep(20 * time.Second)
		if got := get(); got != hostA+":1" {
			t.Errorf("got %s", got)
		}
		if dials := b.names().Endpoints[0].Dials; dials != 1 {
			t.Errorf("%d dials for two requests, want one: the idle connection is used again", dials)
		}
		z.set(says(5*time.Second, hostB))
		time.Sleep(6 * time.Second)
		if got := get(); got != hostB+":1" {
			t.Errorf("a request after the move went to %s", got)
		}
		transport.CloseIdleConnections()
		serving.Wait()
	})
}
