//go:build !unix

package dialer

import "net"

func newTCPPeeker(*net.TCPConn) peeker { return nil }
