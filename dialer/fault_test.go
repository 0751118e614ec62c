package dialer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
)

func planned(rules ...dialer.Fault) func(*dialer.Config) {
	return func(c *dialer.Config) {
		c.Budget = -1
		c.Faults = &dialer.Faults{Seed: 1, Rules: rules}
	}
}

func TestEveryFaultFailsAsTheRealThing(t *testing.T) {
	for name, test := range map[string]struct {
		fault dialer.Fault
		check func(t *testing.T, conn net.Conn, err error, took time.Duration)
	}{
		"refuse": {dialer.Fault{Kind: dialer.Refuse}, func(t *testing.T, _ net.Conn, err error, _ time.Duration) {
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
			}
		}},
		"blackhole": {dialer.Fault{Kind: dialer.Blackhole}, func(t *testing.T, _ net.Conn, err error, took time.Duration) {
			if err == nil || took != 5*time.Second {
				t.Error(err, took)
			}
		}},
		"accept and close": {dialer.Fault{Kind: dialer.AcceptClose}, func(t *testing.T, conn net.Conn, err error, _ time.Duration) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		}},
		"cut": {dialer.Fault{Kind: dialer.Cut, Bytes: 3}, func(t *testing.T, conn net.Conn, err error, _ time.Duration) {
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(conn); string(text) != "hel" || !errors.Is(err, syscall.ECONNRESET) {
				t.Error(string(text), err)
			}
		}},
		"stall": {dialer.Fault{Kind: dialer.Stall, Bytes: 3}, func(t *testing.T, conn net.Conn, err error, _ time.Duration) {
			if err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			begin := time.Now()
			if text, err := io.ReadAll(conn); string(text) != "hel" || !isTimeout(err) || time.Since(begin) != time.Minute {
				t.Error(string(text), err, time.Since(begin))
			}
		}},
		"resolve error": {dialer.Fault{Kind: dialer.ResolveError}, func(t *testing.T, _ net.Conn, err error, _ time.Duration) {
			if err == nil {
				t.Error("resolved")
			}
		}},
		"resolve empty": {dialer.Fault{Kind: dialer.ResolveEmpty}, func(t *testing.T, _ net.Conn, err error, _ time.Duration) {
			if err == nil {
				t.Error("resolved")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, map[string]string{"db": "10.0.0.1"}, planned(test.fault), func(t *testing.T, b *bench) {
				b.net.Greet("10.0.0.1:1", "hello")
				begin := time.Now()
				conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
				test.check(t, conn, err, time.Since(begin))
				if conn != nil {
					conn.Close()
				}
			})
		})
	}
}

func TestAFaultHoldsForItsNameItsTimeAndItsShare(t *testing.T) {
	plan := planned(
		dialer.Fault{Name: "queue", Kind: dialer.Refuse, After: time.Minute, For: time.Minute},
		dialer.Fault{Addr: "10.0.0.3:1", Kind: dialer.Refuse, Rate: 0.5},
	)
	change := func(c *dialer.Config) { plan(c); c.Breaker.Failures = -1 }
	run(t, map[string]string{"db": "10.0.0.1", "queue": "10.0.0.2", "half": "10.0.0.3"}, change, func(t *testing.T, b *bench) {
		for _, addr := range []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"} {
			b.net.Set(addr, testnet.Accept)
		}
		fails := func(name string) bool {
			_, err := b.dial(context.Background(), name)
			return err != nil
		}
		if fails("db:1") || fails("queue:1") {
			t.Error("before its time")
		}
		time.Sleep(90 * time.Second)
		if fails("db:1") || !fails("queue:1") {
			t.Error("in its time: queue fails, and only queue")
		}
		time.Sleep(time.Minute)
		if fails("queue:1") {
			t.Error("after its time")
		}
		failed := 0
		for range 1000 {
			if fails("half:1") {
				failed++
			}
		}
		if failed < 400 || failed > 600 {
			t.Errorf("%d of 1000 failed, want half", failed)
		}
	})
}
