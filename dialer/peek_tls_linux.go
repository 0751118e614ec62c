package dialer

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tlsPeeker asks for the state of the TCP connection below TLS. The socket's next byte says nothing: session tickets
// wait there, and a close_notify hides the end of file.
type tlsPeeker struct {
	raw  syscall.RawConn
	ask  func(fd uintptr)
	open bool
}

func newTLSPeeker(conn net.Conn) peeker {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	const established = 1 // TCP_ESTABLISHED of the kernel's include/net/tcp_states.h
	p := &tlsPeeker{raw: raw}
	p.ask = func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		p.open = err == nil && info.State == established
	}
	return p
}

func (p *tlsPeeker) alive() bool {
	p.open = false
	return p.raw.Control(p.ask) == nil && p.open
}
