package dialer

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// longestRetransmit is the longest time between two retransmissions. The kernel's own doubles to two minutes, so that after
// a link was cut for 7 s the data waits up to 6 s more.
const longestRetransmit = time.Second

// setUserTimeout bounds how long sent data may stay unacknowledged (tcp(7), TCP_USER_TIMEOUT). Keepalive is silent then:
// the kernel retransmits for about 15 minutes before it gives up. In that time it is sent again each longestRetransmit,
// where the kernel can (Linux 6.15 or later).
func setUserTimeout(conn *net.TCPConn, timeout time.Duration) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(longestRetransmit.Milliseconds())) // older kernels refuse
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", set)
}
