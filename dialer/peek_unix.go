//go:build unix

package dialer

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pollPeeker asks for what has happened at a socket, and takes nothing from it. It is made once for a connection, so that
// asking allocates nothing.
type pollPeeker struct {
	raw  syscall.RawConn
	ask  func(fd uintptr)
	fds  [1]unix.PollFd
	open bool
}

// newTCPPeeker takes anything to read for the connection's end: an end of file, an error, a byte that nobody asked for.
func newTCPPeeker(conn *net.TCPConn) peeker {
	return newPollPeeker(conn, unix.POLLIN)
}

// newPollPeeker takes events and errors for the connection's end.
func newPollPeeker(conn *net.TCPConn, events int16) peeker {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	p := &pollPeeker{raw: raw}
	p.ask = func(fd uintptr) {
		p.fds[0] = unix.PollFd{Fd: int32(fd), Events: events}
		n, err := unix.Poll(p.fds[:], 0)
		p.open = n == 0 && err == nil
	}
	return p
}

func (p *pollPeeker) alive() bool {
	p.open = false
	return p.raw.Control(p.ask) == nil && p.open
}
