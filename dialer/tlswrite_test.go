package dialer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/gvpocr/worker/dialer"
)

// securePair returns a TLS connection of a dialer's and the server's end of it.
func securePair(t testing.TB) nettest.MakePipe {
	id := newIdentity(t, t.TempDir(), "db", time.Now().Add(time.Hour))
	return func() (client, server net.Conn, stop func(), err error) {
		listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{id.cert}})
		if err != nil {
			return nil, nil, nil, err
		}
		defer listener.Close()
		d := secureDialer(t, listener.Addr().String(), dialer.TLSConfig{CAFile: id.certFile})
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				err = conn.(*tls.Conn).HandshakeContext(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
			accepted <- conn
		}()
		client, err = d.DialContext(context.Background(), "tcp", "db:1")
		if err != nil {
			return nil, nil, nil, err
		}
		server = <-accepted
		return client, server, func() {
			client.Close()
			server.Close()
		}, nil
	}
}

func TestATLSConnectionIsAGoodNetConn(t *testing.T) {
	nettest.TestConn(t, securePair(t))
}

// write writes until a deadline of 50 ms ends that, and returns what was taken.
func write(t *testing.T, conn net.Conn, message []byte) (sent int) {
	t.Helper()
	conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		n, err := conn.Write(message[sent:])
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
				t.Errorf("%v is no time-out", err)
			}
			return sent
		}
		if err != nil || sent == len(message) {
			t.Fatalf("the server does not read, and %d bytes were written: %v", sent, err)
		}
	}
}

func TestATLSConnectionGoesOnAfterWritesThatTimedOut(t *testing.T) {
	client, server, stop, err := securePair(t)()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	message := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB, more than the sockets' buffers hold
	sent := 0
	for range 3 {
		sent += write(t, client, message[sent:])
	}
	got := make(chan []byte)
	go func() {
		all, err := io.ReadAll(server)
		if err != nil {
			t.Error(err)
		}
		got <- all
	}()
	client.SetWriteDeadline(time.Time{})
	if n, err := client.Write(message[sent:]); err != nil || sent+n != len(message) {
		t.Errorf("the rest: %d of %d bytes, %v", n, len(message)-sent, err)
	}
	client.Close()
	if all := <-got; !bytes.Equal(all, message) {
		t.Errorf("%d bytes came, %d were sent, or not the same", len(all), len(message))
	}
}

func TestWritesOfATLSConnectionDoNotMix(t *testing.T) {
	client, server, stop, err := securePair(t)()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	const size = 2 << 20
	const writers = "abcdefgh"
	var writes sync.WaitGroup
	for _, c := range writers {
		writes.Go(func() {
			if n, err := client.Write(bytes.Repeat([]byte{byte(c)}, size)); n != size || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	for range writers {
		message := make([]byte, size)
		if _, err := io.ReadFull(server, message); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(message, message[:1]); n != size {
			t.Errorf("%d of %d bytes are %q: the writes are mixed", n, size, message[:1])
		}
	}
	writes.Wait()
}

func TestATLSConnectionKeepsWhatItCanDo(t *testing.T) {
	client, server, stop, err := securePair(t)()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, ok := client.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn); !ok {
		t.Error("NetConn is not the TCP connection")
	}
	if state := client.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState(); !state.HandshakeComplete || state.Version < tls.VersionTLS12 {
		t.Errorf("%+v", state)
	}
	if err := client.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after CloseWrite the peer reads %v", err)
	}
	if _, err := server.Write([]byte("still open")); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(io.LimitReader(client, 10)); err != nil || string(text) != "still open" {
		t.Errorf("the other direction: %q, %v", text, err)
	}
}

func TestAWriteOfATLSConnectionWhoseDeadlineHasPassedWritesNothing(t *testing.T) {
	client, server, stop, err := securePair(t)()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	client.SetDeadline(time.Now().Add(-time.Second))
	if n, err := client.Write([]byte("late")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	client.SetDeadline(time.Time{})
	if _, err := client.Write([]byte("in time")); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if all, err := io.ReadAll(server); string(all) != "in time" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
}
