package dialer

import (
	"net"

	"golang.org/x/sys/unix"
)

// newTLSPeeker asks whether the server has closed its side of the TCP connection below TLS. Something to read says nothing:
// session tickets wait there, and a close_notify before the end of file. Only Linux tells one from the other.
func newTLSPeeker(conn net.Conn) peeker {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	return newPollPeeker(tcp, unix.POLLRDHUP)
}
