package dialer

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// connection is what the dialer hands out: a net.Conn that counts itself.
type connection interface {
	net.Conn
	state() *connState
}

// connState is what the dialer keeps of a connection.
type connState struct {
	dialer   *Dialer
	endpoint *endpoint
	name     string
	raw      net.Conn
	trial    trial
	closed   atomic.Bool
}

func (d *Dialer) newConn(e *endpoint, raw net.Conn, name string, generation uint64) connection {
	var conn connection
	switch raw := raw.(type) {
	case *net.TCPConn:
		conn = &tcpConn{TCPConn: raw}
	case *tls.Conn:
		conn = newTLSConn(raw)
	default:
		conn = &otherConn{Conn: raw}
	}
	s := conn.state()
	s.dialer, s.endpoint, s.name, s.raw = d, e, name, raw
	s.trial.generation, s.trial.began = generation, time.Now()
	e.trials.settle(e.breaker, s.trial.began) // so that no more than a second's dials stay on trial
	e.trials.begin(&s.trial)
	return conn
}

// handOut counts the connection as the caller's.
func (s *connState) handOut() { s.endpoint.open.Add(1) }

// discard closes a connection that nobody took.
func (s *connState) discard() {
	s.endpoint.abandoned(&s.trial)
	s.raw.Close()
}

func (s *connState) read(n int, err error) {
	if !s.trial.decided.Load() {
		s.dialer.firstRead(s.endpoint, &s.trial, n, err)
	}
}

// close closes once and counts once.
func (s *connState) close() error {
	err := s.raw.Close()
	if s.closed.CompareAndSwap(false, true) {
		s.endpoint.abandoned(&s.trial)
		s.endpoint.open.Add(-1)
		s.dialer.cfg.Trace.closed(s.name, s.endpoint.addr, time.Since(s.trial.began), "closed by the program")
	}
	return err
}

// tcpConn overrides only what the dialer has to see, so that everything else of a *net.TCPConn works as it is: splice
// through ReadFrom and WriteTo, SyscallConn, CloseWrite, deadlines.
type tcpConn struct {
	*net.TCPConn
	s connState
}

func (c *tcpConn) state() *connState { return &c.s }

func (c *tcpConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.s.read(n, err)
	return n, err
}

// Close closes the connection. A second Close returns an error wrapping net.ErrClosed, as net.TCPConn's does.
func (c *tcpConn) Close() error { return c.s.close() }

// CloseWrite ends our side. An end of file after it says nothing against the server.
func (c *tcpConn) CloseWrite() error {
	c.s.endpoint.abandoned(&c.s.trial)
	return c.TCPConn.CloseWrite()
}

// NetConn returns the connection below, for what this one does not pass on.
func (c *tcpConn) NetConn() net.Conn { return c.TCPConn }

// otherConn is a connection that a DialFunc of the caller's made.
type otherConn struct {
	net.Conn
	s connState
}

func (c *otherConn) state() *connState { return &c.s }

func (c *otherConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.read(n, err)
	return n, err
}

// Close is tcpConn's.
func (c *otherConn) Close() error { return c.s.close() }

// NetConn is tcpConn's.
func (c *otherConn) NetConn() net.Conn { return c.Conn }
