package dialer_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
)

func spares(n int) func(*dialer.Config) {
	return func(c *dialer.Config) {
		c.Budget = -1
		c.Spares = map[string]int{"db": n}
	}
}

func (b *bench) names() dialer.NameStats {
	b.t.Helper()
	synctest.Wait()
	return b.d.Stats().Names[0]
}

func TestASecondDialTakesASpareAndDialsNothing(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, spares(2), func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		b.dial(t.Context(), "db:1")
		if s := b.names(); s.Endpoints[0].Spares != 2 || s.SpareMisses != 1 {
			t.Fatalf("after the first dial: %+v", s)
		}
		b.net.Set("10.0.0.1:1", testnet.Silent) // so a dial would be noticed
		if took, err := b.dial(t.Context(), "db:1"); err != nil || took != 0 {
			t.Errorf("took %v, %v", took, err)
		}
		if s := b.names(); s.SpareHits != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestASpareIsNeverHandedOutTwice(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, spares(3), func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		seen := map[net.Conn]bool{}
		for range 20 {
			conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
			if err != nil {
				t.Fatal(err)
			}
			raw := conn.(interface{ NetConn() net.Conn }).NetConn()
			if seen[raw] {
				t.Fatal("the same connection twice")
			}
			seen[raw] = true
			synctest.Wait()
		}
		for conn := range seen {
			conn.Close()
		}
	})
}

func TestADeadSpareIsPassedOver(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, spares(2), func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		b.dial(t.Context(), "db:1")
		synctest.Wait()
		b.net.Close() // the server restarts: every connection is closed
		conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || !isTimeout(err) {
			t.Errorf("a dead connection was handed out: %v", err)
		}
		if s := b.names(); s.SpareHits != 0 || s.SpareMisses != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func TestSparesEndAfterAMinuteAndAreNotMadeAgainWithoutUse(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, spares(2), func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		b.dial(t.Context(), "db:1")
		time.Sleep(53 * time.Second)
		if s := b.names(); s.Endpoints[0].Spares != 2 {
			t.Errorf("after 53s: %d spares, want 2", s.Endpoints[0].Spares)
		}
		time.Sleep(14 * time.Second)
		if s := b.names(); s.Endpoints[0].Spares != 0 {
			t.Errorf("after 67s: %d spares, want none", s.Endpoints[0].Spares)
		}
		before := len(b.net.Dials())
		time.Sleep(time.Hour)
		if n := len(b.net.Dials()) - before; n != 0 {
			t.Errorf("%d dials for a name that nobody uses", n)
		}
	})
}

func TestNoSpareIsKeptToAnEndpointWhoseBreakerIsOpen(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, spares(1), func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		b.dial(t.Context(), "db:1")
		synctest.Wait()
		b.net.Set("10.0.0.1:1", testnet.Refuse)
		b.dial(t.Context(), "db:1") // takes the spare; the refill fails
		for range 10 {
			time.Sleep(time.Second)
			b.dial(t.Context(), "db:1")
		}
		if s := b.names(); s.Endpoints[0].State == dialer.Closed || s.Endpoints[0].Spares != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAConnectionThatArrivesAfterTheBreakerOpenedBecomesNoSpare(t *testing.T) {
	var dials atomic.Int32
	change := func(c *dialer.Config) {
		spares(1)(c)
		refuse := c.DialFunc
		c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			near, _ := net.Pipe()
			switch dials.Add(1) {
			case 1:
			case 2: // the refill's
				time.Sleep(3 * time.Second)
			default:
				return refuse(ctx, network, addr)
			}
			return near, nil
		}
	}
	run(t, map[string]string{"db": "10.0.0.1"}, change, func(t *testing.T, b *bench) {
		if _, err := b.dial(t.Context(), "db:1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the refill dials
		b.open("db:1")
		time.Sleep(4 * time.Second)
		if s := b.names().Endpoints[0]; s.State == dialer.Closed || s.Spares != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestALosersConnectionBecomesASpare(t *testing.T) {
	change := func(c *dialer.Config) {
		spares(2)(c)
		c.DialFunc = slowFirst(c.DialFunc)
	}
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, change, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		b.net.Set("10.0.0.2:1", testnet.Accept)
		b.dial(t.Context(), "db:1")
		time.Sleep(2 * time.Second) // the first endpoint's connection arrives after a second
		if s := b.names(); s.Endpoints[0].Spares+s.Endpoints[1].Spares != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestCloseClosesSparesAndNotWhatWasHandedOut(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, spares(2), func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.d.Close()
		if n := b.net.Open(); n != 1 {
			t.Errorf("%d connections are open after Close, want the caller's", n)
		}
		conn.Close()
		conn.Close()
		if s := b.d.Stats().Names[0].Endpoints[0]; s.Open != 0 {
			t.Errorf("gauge after a double close: %d", s.Open)
		}
	})
}

func TestSparesOverRealSocketsAreCheckedWithoutTakingAByte(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	d, err := dialer.New(dialer.Config{Spares: map[string]int{"127.0.0.1": 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	address := listener.Addr().String()
	dial := func() net.Conn {
		conn, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	dial()
	first := <-accepted
	defer first.Close()
	spare := <-accepted // the refill's
	spare.Close()       // dies while it is kept
	conn := dial()
	server := <-accepted
	defer server.Close()
	server.Write([]byte("x"))
	one := make([]byte, 1)
	if n, err := conn.Read(one); n != 1 || err != nil || one[0] != 'x' {
		t.Errorf("the connection after a dead spare: %d, %v", n, err)
	}
}

// slowFirst makes dials of 10.0.0.1 take a second.
func slowFirst(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "10.0.0.1:1" {
			time.Sleep(time.Second)
		}
		return dial(ctx, network, addr)
	}
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)
