package dialer

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxRecord = 16 << 10 // of TLS: what one Write of part of a message keeps back at most
	maxUnsent = 64 << 10 // a peer that asks for new keys over and over adds to it
)

// underTLS is the connection that TLS writes to. A TLS connection whose Write below failed is lost, a time-out included,
// since a part of a record may have been sent. So a record that a deadline cuts is kept here and taken for written, and
// goes out before the next.
type underTLS struct {
	net.Conn
	deadline atomic.Pointer[time.Time] // of writes

	mu     sync.Mutex // held while writing; guards unsent
	unsent []byte
}

func (u *underTLS) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, err := 0, u.sendLocked()
	if err == nil {
		n, err = u.Conn.Write(p)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && len(u.unsent)+len(p)-n <= maxUnsent {
		u.unsent = append(u.unsent, p[n:]...)
		return len(p), nil
	}
	return n, err
}

// send sends what was kept. Its error is a time-out, too, if the deadline has passed and nothing was kept.
func (u *underTLS) send() error {
	if at := u.deadline.Load(); at != nil && !at.IsZero() && !time.Now().Before(*at) {
		return u.late()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sendLocked()
}

func (u *underTLS) sendLocked() error {
	for len(u.unsent) > 0 {
		n, err := u.Conn.Write(u.unsent)
		u.unsent = u.unsent[n:]
		if err != nil {
			return err
		}
	}
	u.unsent = nil
	return nil
}

// kept returns a time-out if a deadline has cut what was written.
func (u *underTLS) kept() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.unsent) > 0 {
		return u.late()
	}
	return nil
}

func (u *underTLS) late() error {
	return &net.OpError{Op: "write", Net: "tcp", Source: u.LocalAddr(), Addr: u.RemoteAddr(), Err: os.ErrDeadlineExceeded}
}

func (u *underTLS) SetDeadline(t time.Time) error {
	u.deadline.Store(&t)
	return u.Conn.SetDeadline(t)
}

func (u *underTLS) SetWriteDeadline(t time.Time) error {
	u.deadline.Store(&t)
	return u.Conn.SetWriteDeadline(t)
}

// Write writes p. Unlike that of a *tls.Conn, it can go on after a time-out: with what follows the first n bytes. Up to
// 16 KiB of those n may not be sent before that.
func (c *tlsConn) Write(p []byte) (n int, err error) {
	if c.under == nil { // a DialFunc of the caller's made it
		return c.Conn.Write(p)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.under.send(); err != nil {
		return 0, err
	}
	for {
		m, err := c.Conn.Write(p[n:min(len(p), n+maxRecord)])
		n += m
		if err != nil {
			return n, err
		}
		if err := c.under.kept(); err != nil {
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
	}
}

// NetConn returns the connection below TLS. Bytes that are written to it break the encryption.
func (c *tlsConn) NetConn() net.Conn {
	if c.under == nil {
		return c.Conn.NetConn()
	}
	return c.under.Conn
}
