package dialer_test

import (
	"context"
	"net"
	"testing"

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
