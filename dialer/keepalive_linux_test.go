package dialer_test

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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
