// Package bench compares ways to a server, from the dial to the first byte of its answer. See run.
package bench

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/resolve"
)

// BenchmarkFirstByte is a new connection to its first answer over loopback, where a round trip costs next to nothing: what is
// left is what each way costs by itself. The forwarder is as socat is, without its process for each connection.
func BenchmarkFirstByte(b *testing.B) {
	server := listen(b, func(conn net.Conn) {
		_, _ = io.Copy(conn, conn) // ends with the connection
	})
	forwarder := listen(b, func(conn net.Conn) {
		onward, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		var back sync.WaitGroup
		back.Go(func() {
			_, _ = io.Copy(conn, onward)
			conn.Close()
		})
		_, _ = io.Copy(onward, conn)
		onward.Close()
		back.Wait()
	})
	b.Run("way=net.Dialer", func(b *testing.B) {
		measure(b, func() (net.Conn, error) { return net.Dial("tcp", server) })
	})
	b.Run("way=dialer", func(b *testing.B) {
		d := newDialer(b, server, 0)
		measure(b, func() (net.Conn, error) { return d.DialContext(b.Context(), "tcp", "server:7") })
	})
	b.Run("way=spare", func(b *testing.B) {
		const stock = 32
		d := newDialer(b, server, stock)
		left := 0
		measure(b, func() (net.Conn, error) {
			if left == 0 { // it is filled while the clock stands still
				b.StopTimer()
				left = fill(b, d, stock)
				b.StartTimer()
			}
			left--
			return d.DialContext(b.Context(), "tcp", "server:7")
		})
		if misses := d.Stats().Names[0].SpareMisses; misses > 1 {
			b.Errorf("%d dials found no spare", misses)
		}
	})
	b.Run("way=forwarder", func(b *testing.B) {
		measure(b, func() (net.Conn, error) { return net.Dial("tcp", forwarder) })
	})
}

// listen serves connections until the benchmark ends.
func listen(b *testing.B, serve func(net.Conn)) (addr string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	b.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

func newDialer(b *testing.B, server string, spares int) *dialer.Dialer {
	names, err := resolve.Static(map[string]string{"server": server})
	if err != nil {
		b.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: names, Spares: map[string]int{"server": spares}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d
}

// fill waits until all spares are there, after a first dial that has them made.
func fill(b *testing.B, d *dialer.Dialer, stock int) int {
	if len(d.Stats().Names) == 0 {
		conn, err := d.DialContext(b.Context(), "tcp", "server:7")
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for d.Stats().Names[0].Endpoints[0].Spares < stock {
		<-tick.C
	}
	return stock
}

func measure(b *testing.B, dial func() (net.Conn, error)) {
	var answer [1]byte
	b.ReportAllocs()
	for b.Loop() {
		conn, err := dial()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Write(answer[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer[:]); err != nil {
			b.Fatal(err)
		}
		if abort, ok := conn.(interface{ SetLinger(int) error }); ok { // leaves no port in TIME_WAIT
			_ = abort.SetLinger(0)
		}
		conn.Close()
	}
}
