package dialer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/gvpocr/worker/dialer"
)

// pair returns a connection of a dialer's and the server's end of it.
func pair() (client, server net.Conn, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, nil, err
	}
	defer listener.Close()
	d, err := dialer.New(dialer.Config{})
	if err != nil {
		return nil, nil, nil, err
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := listener.Accept()
		accepted <- conn
	}()
	client, err = d.DialContext(context.Background(), "tcp", listener.Addr().String())
	if err != nil {
		return nil, nil, nil, err
	}
	server = <-accepted
	return client, server, func() {
		client.Close()
		server.Close()
		d.Close()
	}, nil
}

func TestAConnectionIsAGoodNetConn(t *testing.T) {
	nettest.TestConn(t, pair)
}

func TestAConnectionKeepsWhatATCPConnectionCanDo(t *testing.T) {
	client, server, stop, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	controlled := false
	if c, ok := client.(syscall.Conn); !ok {
		t.Error("no SyscallConn")
	} else if raw, err := c.SyscallConn(); err != nil || raw.Control(func(uintptr) { controlled = true }) != nil || !controlled {
		t.Errorf("SyscallConn does not lead to the socket: %v", err)
	}
	if _, ok := client.(io.ReaderFrom); !ok {
		t.Error("no ReadFrom: copies to it would not splice")
	}
	if _, ok := client.(io.WriterTo); !ok {
		t.Error("no WriteTo: copies from it would not splice")
	}
	if n, ok := client.(interface{ NetConn() net.Conn }); !ok || n.NetConn() == nil {
		t.Error("no NetConn")
	}
	half, ok := client.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("no CloseWrite")
	}
	if err := half.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after CloseWrite the peer reads %v", err)
	}
	if _, err := server.Write([]byte("still open")); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(io.LimitReader(client, 10)); err != nil || !bytes.Equal(text, []byte("still open")) {
		t.Errorf("the other direction: %q, %v", text, err)
	}
}

func TestADoubleCloseIsHarmlessAndSaysSo(t *testing.T) {
	for name, pair := range map[string]nettest.MakePipe{"plain": pair, "TLS": securePair(t)} {
		client, _, stop, err := pair()
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		if err := client.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := client.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: second close: %v", name, err)
		}
	}
}

func TestAnEndOfFileAfterCloseWriteSaysNothingAgainstTheServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d, err := dialer.New(dialer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, half := range []bool{true, false} { // without, to see that it would count
		conn, err := d.DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if half {
			conn.(interface{ CloseWrite() error }).CloseWrite()
			io.Copy(io.Discard, server)
		}
		server.Close()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		conn.Close()
		if n := d.Stats().Names[0].Endpoints[0].Failures; n == 0 != half {
			t.Errorf("after CloseWrite: %v; %d failures", half, n)
		}
	}
}

// TestManyDialsWhileEndpointsDieAndReturn looks for leaks: goroutines (TestMain), descriptors and gauges.
func TestManyDialsWhileEndpointsDieAndReturn(t *testing.T) {
	servers := []*mortal{newMortal(t), newMortal(t), newMortal(t)}
	targets := ""
	for i, s := range servers {
		if i > 0 {
			targets += ","
		}
		targets += s.addr
	}
	d, err := dialer.New(dialer.Config{
		Resolver: static(t, map[string]string{"db": targets}),
		Budget:   200 * time.Millisecond,
		Spares:   map[string]int{"db": 2},
		Breaker:  dialer.BreakerConfig{ProbeMin: time.Millisecond, ProbeMax: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	end := make(chan struct{})
	var chaos, dials sync.WaitGroup
	var failures atomic.Int64
	chaos.Go(func() {
		ticker := time.NewTicker(15 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ticker.C:
				servers[i%len(servers)].toggle(t)
			case <-end:
				return
			}
		}
	})
	for range 200 {
		dials.Go(func() {
			for range 50 {
				conn, err := d.DialContext(t.Context(), "tcp", "db:1")
				if err == nil {
					conn.Close()
					continue
				}
				failed, ok := err.(*dialer.DialError) //nolint:errorlint // the promise is about the outermost
				if !ok || len(failed.Unwrap()) == 0 || slices.Contains(failed.Unwrap(), nil) {
					t.Errorf("%T with the causes %v; want a *DialError that has some: %v", err, failed.Unwrap(), err)
				}
				failures.Add(1)
			}
		})
	}
	dials.Wait()
	close(end)
	chaos.Wait()
	d.Close()
	stats := d.Stats().Names[0]
	var dialed, openings uint64
	for _, e := range stats.Endpoints {
		if e.Open != 0 || e.Spares != 0 {
			t.Errorf("%s: %d connections are counted as open, %d as spares", e.Addr, e.Open, e.Spares)
		}
		dialed, openings = dialed+e.Dials, openings+e.Openings
	}
	t.Logf("%d attempts, %d dials failed, breakers opened %d times, %d spares were taken", dialed, failures.Load(), openings, stats.SpareHits)
	if openings == 0 || stats.SpareHits == 0 {
		t.Errorf("nothing to see: breakers opened %d times, %d spares were taken", openings, stats.SpareHits)
	}
	for _, s := range servers {
		s.stop()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
