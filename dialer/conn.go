package dialer

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
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
	stage    atomic.Int32

	member    *member         // of a watch; nil = none. Set before the connection is handed out
	transport *http.Transport // whose connection it is; nil = nobody's. Guarded by watches.mu
}

func (d *Dialer) newConn(name string, from origin, e *endpoint, raw net.Conn, generation uint64) connection {
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
	s.trial.generation = generation
	s.trial.decided.Store(true) // a spare that nobody reads proves nothing
	d.join(from, e, s)
	return conn
}

// The stages of a connection.
const (
	ready  int32 = iota // nobody has it yet
	handed              // it counts as the caller's
	closed
)

// handOut counts the connection as the caller's and puts it on trial, unless its endpoint has left the answer meanwhile.
func (s *connState) handOut() bool {
	s.trial.began = time.Now()
	if !s.stage.CompareAndSwap(ready, handed) {
		return false
	}
	e := s.endpoint
	e.open.Add(1)
	s.trial.decided.Store(false)
	e.settle(s.trial.began) // so that no more than a second's dials stay on trial
	e.trials.begin(&s.trial)
	if s.stage.Load() == closed { // in between
		e.abandoned(&s.trial)
	}
	return true
}

// discard closes a connection that nobody took.
func (s *connState) discard() { _ = s.close("") }

func (s *connState) read(n int, err error) {
	if !s.trial.decided.Load() {
		s.dialer.firstRead(s.endpoint, &s.trial, n, err)
	}
}

// byProgram is the reason of a close that is not the Dialer's.
const byProgram = "closed by the program"

// close closes once and counts once.
func (s *connState) close(reason string) error {
	err := s.raw.Close()
	was := s.stage.Swap(closed)
	if was == closed {
		return err
	}
	s.dialer.part(s)
	s.endpoint.abandoned(&s.trial)
	if was == handed {
		s.endpoint.open.Add(-1)
		s.dialer.cfg.Trace.closed(s.name, s.endpoint.addr, s.trial.began, reason)
	}
	return err
}

func (s *connState) leaving() <-chan struct{} {
	if s.member == nil {
		return nil
	}
	return s.member.left
}

func (s *connState) missing() <-chan struct{} {
	if s.member == nil {
		return nil
	}
	s.dialer.watches.mu.Lock()
	defer s.dialer.watches.mu.Unlock()
	return s.member.lacked
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
func (c *tcpConn) Close() error { return c.s.close(byProgram) }

// WriteTo copies to w what the server sends, without a copy in this process where w is a TCP connection too.
func (c *tcpConn) WriteTo(w io.Writer) (int64, error) {
	n, err := c.TCPConn.WriteTo(w)
	switch {
	case n > 0:
		c.s.read(1, nil)
	case err == nil:
		c.s.read(0, io.EOF)
	} // other errors may be w's
	return n, err
}

// Leaving returns a channel that is closed when the server's address has left the answer for the name, DrainAfter before
// the Dialer closes the connection. It is nil where the answer is not watched: if the name is an address. Closing the
// connection does not close it.
func (c *tcpConn) Leaving() <-chan struct{} { return c.s.leaving() }

// Missing returns a channel that is closed when an answer for the name lacks the server's address: dials of the name lead
// elsewhere then, and if a second answer lacks it, too, the address has left, see Leaving. An answer may also have it again, after
// which Missing returns another channel. It is nil where Leaving is.
func (c *tcpConn) Missing() <-chan struct{} { return c.s.missing() }

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
func (c *otherConn) Close() error { return c.s.close(byProgram) }

// Leaving is tcpConn's.
func (c *otherConn) Leaving() <-chan struct{} { return c.s.leaving() }

// Missing is tcpConn's.
func (c *otherConn) Missing() <-chan struct{} { return c.s.missing() }

// NetConn is tcpConn's.
func (c *otherConn) NetConn() net.Conn { return c.Conn }
