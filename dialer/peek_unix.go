//go:build unix

package dialer

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpPeeker looks at the socket's next byte without taking it. It is made once for a connection, so that looking
// allocates nothing.
type tcpPeeker struct {
	raw   syscall.RawConn
	look  func(fd uintptr)
	open  bool
	first [1]byte
}

func newTCPPeeker(conn *net.TCPConn) peeker {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	p := &tcpPeeker{raw: raw}
	p.look = func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), p.first[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		// No byte yet is what an idle connection has. An end of file is dead, and so is a byte that nobody asked for.
		p.open = err == unix.EAGAIN
	}
	return p
}

func (p *tcpPeeker) alive() bool {
	p.open = false
	return p.raw.Control(p.look) == nil && p.open
}
