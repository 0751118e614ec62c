package dialer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

type resolverFunc func(ctx context.Context, host, port string) (resolve.Answer, error)

func (f resolverFunc) Resolve(ctx context.Context, host, port string) (resolve.Answer, error) {
	return f(ctx, host, port)
}
