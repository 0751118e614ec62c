package dialer_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/resolve"
)

// readyConn is a connection that costs nothing.
type readyConn struct{ net.Conn }

func (readyConn) Close() error { return nil }

// BenchmarkColdDial is the dialer's own cost: a dial of a cached name with one endpoint, whose DialFunc has a connection
// ready.
func BenchmarkColdDial(b *testing.B) {
	resolver, err := resolve.Static(map[string]string{"db": "10.0.0.1"})
	if err != nil {
		b.Fatal(err)
	}
	ready := net.Conn(readyConn{})
	d, err := dialer.New(dialer.Config{
		Resolver: resolver,
		DialFunc: func(context.Context, string, string) (net.Conn, error) { return ready, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	b.ReportAllocs()
	for b.Loop() {
		conn, err := d.DialContext(context.Background(), "tcp", "db:27017")
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
}

// BenchmarkSpare takes spares out of a stock that is full, over real sockets. It is filled while the clock stands still, and
// not while it runs: who takes a spare does not wait for the next one. Filling takes fifty times as long as what is
// measured, so say how many to take: -benchtime 20000x.
func BenchmarkSpare(b *testing.B) {
	const stock = 100
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	accepted := make(chan net.Conn, 2*stock)
	go func() {
		defer close(accepted)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	var filling sync.RWMutex // locked while the clock runs
	d, err := dialer.New(dialer.Config{
		Spares: map[string]int{"127.0.0.1": stock},
		DialFunc: func(ctx context.Context, network, addr string) (net.Conn, error) {
			filling.RLock()
			defer filling.RUnlock()
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	address := listener.Addr().String()
	taken := make([]net.Conn, 0, stock)
	abort := func(conn net.Conn) { // leaves no port in TIME_WAIT
		conn.(interface{ SetLinger(int) error }).SetLinger(0)
		conn.Close()
	}
	refill := func() {
		for _, conn := range taken {
			abort(conn)
			abort(<-accepted)
		}
		taken = taken[:0]
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for names := d.Stats().Names; len(names) == 0 || names[0].Endpoints[0].Spares < stock; names = d.Stats().Names {
			<-tick.C
		}
	}
	conn, err := d.DialContext(b.Context(), "tcp", address) // has the stock filled
	if err != nil {
		b.Fatal(err)
	}
	taken = append(taken, conn)
	refill()
	filling.Lock()
	b.ReportAllocs()
	for b.Loop() {
		if len(taken) == stock {
			b.StopTimer()
			filling.Unlock()
			refill()
			filling.Lock()
			b.StartTimer()
		}
		conn, err := d.DialContext(b.Context(), "tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		taken = append(taken, conn)
	}
	b.StopTimer()
	filling.Unlock()
	for _, conn := range taken {
		abort(conn)
	}
	d.Close()
	listener.Close()
	for conn := range accepted {
		conn.Close()
	}
	if hits := d.Stats().Names[0].SpareHits; hits != uint64(b.N) {
		b.Fatalf("%d spares were taken in %d dials", hits, b.N)
	}
}
