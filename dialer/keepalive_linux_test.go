package dialer_test

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gvpocr/worker/dialer"
)

// keepalive reads whether keepalive is on, idle and interval in seconds, the count, and the user time-out in ms.
func keepalive(t *testing.T, conn *net.TCPConn) []int {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var values []int
	err = raw.Control(func(fd uintptr) {
		for _, option := range [][2]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
			{syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
		} {
			value, err := syscall.GetsockoptInt(int(fd), option[0], option[1])
			if err != nil {
				t.Error(err)
			}
			values = append(values, value)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func TestUnacknowledgedDataIsSentAgainEverySecond(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := dialer.New(dialer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	conn, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		longest, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS)
		if err != nil {
			t.Skipf("this kernel can't bound the time between retransmissions: %v", err)
		}
		if longest != 1000 {
			t.Errorf("up to %d ms pass between retransmissions, want 1000", longest)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
