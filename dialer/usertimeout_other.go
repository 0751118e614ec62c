//go:build !linux

package dialer

import (
	"net"
	"time"
)

// setUserTimeout does nothing where the system has no such option.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }
