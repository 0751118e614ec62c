package dialer

import (
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"
)

// idle returns an idle connection over a real socket, and its other end.
func idle(t *testing.T) (near *net.TCPConn, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return conn.(*net.TCPConn), far
}

func TestASpareIsLookedAtWithoutAllocating(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("how other systems are asked is up to Go's syscall packages")
	}
	plain, _ := idle(t)
	under, _ := idle(t)
	for name, conn := range map[string]connection{
		"plain": &tcpConn{TCPConn: plain},
		"TLS":   newTLSConn(tls.Client(&underTLS{Conn: under}, &tls.Config{})),
	} {
		p := newPeeker(conn)
		alive := true
		if n := testing.AllocsPerRun(100, func() { alive = alive && p.alive() }); n != 0 || !alive {
			t.Errorf("%s: %v allocations, alive %v", name, n, alive)
		}
	}
}

func TestASpareIsDeadAsSoonAsThereIsSomethingToRead(t *testing.T) {
	for name, test := range map[string]struct {
		end func(far net.Conn)
		TLS bool // dead for TLS, too
	}{
		"end of file": {func(far net.Conn) { far.Close() }, true},
		"end of file after a close_notify": {func(far net.Conn) {
			far.Write([]byte("close_notify"))
			far.Close()
		}, true},
		"reset": {func(far net.Conn) {
			far.(*net.TCPConn).SetLinger(0)
			far.Close()
		}, true},
		"a byte that nobody asked for": {func(far net.Conn) { far.Write([]byte("x")) }, false},
	} {
		near, far := idle(t)
		plain, secured := newTCPPeeker(near), newTLSPeeker(near)
		if !plain.alive() || secured != nil && !secured.alive() {
			t.Errorf("%s: dead before that", name)
		}
		test.end(far)
		if !dies(plain) {
			t.Errorf("%s: alive after that", name)
		}
		if secured != nil && test.TLS && !dies(secured) {
			t.Errorf("%s: alive under TLS", name)
		}
		if secured != nil && !test.TLS && !secured.alive() {
			t.Errorf("%s: dead under TLS", name)
		}
	}
}

// dies gives what was sent a moment to arrive.
func dies(p peeker) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(5 * time.Second); p.alive(); {
		select {
		case <-tick.C:
		case <-limit:
			return false
		}
	}
	return true
}
