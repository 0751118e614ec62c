package dialer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
	"github.com/gvpocr/worker/resolve"
)

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

func TestBehindFindsAdvertisedNamesAtTheService(t *testing.T) {
	nameServer.Set("3f2a91c0de4b", "192.0.2.66") // another one by that name, which is not meant
	defer nameServer.Set("3f2a91c0de4b")
	targets := map[string]string{"mongodb-proxy": "10.0.0.1:27500", "nsqd-proxy": "10.0.0.2", "known": "10.0.0.9"}
	runNow(t, targets, func(c *dialer.Config) {
		c.Resolver = resolve.Chain(c.Resolver, resolve.System(nil))
	}, func(t *testing.T, b *bench) {
		for addr, at := range map[string]string{
			"gvpocr-mongo-1:27018": "10.0.0.1:27018", // a name of the server's world: its host, the port asked for
			"3f2a91c0de4b:4150":    "10.0.0.1:4150",
			"mongodb:27017":        "10.0.0.1:27500", // an alias that the resolver knows
			"known:80":             "10.0.0.9:80",
			"192.0.2.7:80":         "192.0.2.7:80",
			"a.example.org:80":     "10.0.0.1:80", // DNS does not know it
		} {
			b.net.Set(at, testnet.Accept)
			before := len(b.net.Dials())
			conn, err := b.d.Behind("mongodb-proxy").DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Errorf("%s: %v", addr, err)
				continue
			}
			conn.Close()
			if got := b.net.Dials()[before:]; len(got) != 1 || got[0].Addr != at {
				t.Errorf("%s: dialed %v, want %s", addr, got, at)
			}
		}
		var got string
		b.d.Behind("nsqd-proxy").Do(t.Context(), "gvpocr-other:4150", func(_ context.Context, addr string) error {
			got = addr
			return nil
		})
		if got != "10.0.0.2:4150" {
			t.Errorf("Do: got %s", got)
		}
	})
}
