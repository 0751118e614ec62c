package dialer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

// connectFunc connects to addr, which is ip:port.
type connectFunc func(ctx context.Context, addr string) error

// attempt connects to an endpoint and tells its breaker of a failure at once, of a success when the connection has
// proved itself. It may outlive its dial, so it does not read what changes with a pass.
func (d *Dialer) attempt(ctx context.Context, c *call, from origin, e *endpoint, generation uint64) (connection, Attempt) {
	var connected net.Conn
	a, end := d.timed(ctx, c, e, func(ctx context.Context, addr string) (err error) {
		connected, err = d.connect(ctx, c.host, from.host, c.network, addr)
		return err
	})
	d.judge(ctx, c, e, generation, a, end)
	if a.Err != nil {
		return nil, a
	}
	return d.newConn(c.name, from, e, connected, generation), a
}

// attemptWith is attempt for a connect that keeps its connection to itself: its word is taken at once.
func (d *Dialer) attemptWith(ctx context.Context, c *call, e *endpoint, generation uint64, connect connectFunc) Attempt {
	a, end := d.timed(ctx, c, e, connect)
	d.judge(ctx, c, e, generation, a, end)
	if a.Err == nil {
		now := time.Now()
		e.proved(generation, now)
	}
	return a
}

// timed calls connect within the connect time-out, whose end it returns; zero = none.
func (d *Dialer) timed(ctx context.Context, c *call, e *endpoint, connect connectFunc) (a Attempt, end time.Time) {
	begin := time.Now()
	switch limit := d.patience(); {
	case limit <= 0:
	case c.narrow && ctx == c.ctx: // it bounds the context already
		end = c.began.Add(limit)
	default:
		end = begin.Add(limit)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	err := connect(ctx, e.addr)
	if _, permanent := errors.AsType[*permanentError](err); errors.Is(err, context.DeadlineExceeded) && !permanent {
		// Clients take context.DeadlineExceeded for their own deadline, and this one is ours.
		err = timeoutError(e.addr)
	}
	return Attempt{Addr: e.addr, Err: err, Elapsed: time.Since(begin)}, end
}

// judge counts an attempt. ctx is the one that the attempt was bounded by from outside, end its own time-out's.
func (d *Dialer) judge(ctx context.Context, c *call, e *endpoint, generation uint64, a Attempt, end time.Time) {
	e.dials.Add(1)
	if a.Err == nil {
		e.noteLatency(a.Elapsed)
		d.cfg.Trace.attempted(c.name, a)
		return
	}
	kind, counts := d.classify(ctx, a, end)
	if counts {
		e.failures.Add(1)
		now := time.Now()
		e.noteError(a.Err, now)
		d.fail(e, generation, kind, now)
	}
	d.cfg.Logger.Debug("attempt failed", "name", c.name, "endpoint", a.Addr, "elapsed", a.Elapsed, "error", a.Err)
	d.cfg.Trace.attempted(c.name, a)
}

// fail tells the breaker of a failure, and sees to it that an open one is probed.
func (d *Dialer) fail(e *endpoint, generation uint64, kind failureKind, now time.Time) {
	e.settle(now)
	if !e.breaker.failed(generation, kind, now) {
		return
	}
	e.openings.Add(1)
	d.dropSpares(func(sp *spare) bool { return sp.conn.state().endpoint == e })
	d.changed.broadcast()
	d.cfg.Logger.Warn("endpoint is not dialed until a probe finds it back", "endpoint", e.addr, "error", e.lastError())
	host, _, _ := net.SplitHostPort(e.addr)
	if down, refuses := d.hostDown(host); down {
		d.cfg.Logger.Warn("host does not answer on any port", "host", host, "refuses", refuses)
	}
	d.cfg.Trace.breaker(e.addr, Closed, Open)
	d.probeUntilClosed(e)
}

func (e *endpoint) noteLatency(elapsed time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.latency == 0 {
		e.latency = elapsed
	}
	e.latency += (elapsed - e.latency) / 8 // as TCP smooths its round trips (RFC 6298)
}

func (e *endpoint) noteError(err error, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastErr, e.lastErrAt = err, now
}

func (e *endpoint) lastError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lastErr
}

func (e *endpoint) noteSuccess(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastSuccess = now
}

func timeoutError(addr string) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: tcpAddr(addr), Err: os.ErrDeadlineExceeded}
}

func tcpAddr(addr string) net.Addr {
	ip, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil
	}
	return net.TCPAddrFromAddrPort(ip)
}

// connect opens a connection, and secures it if those of the name are to be, or those of the service that handed the name
// out.
func (d *Dialer) connect(ctx context.Context, host, service, network, addr string) (net.Conn, error) {
	conn, err := d.dialTCP(ctx, host, network, addr)
	files, ok := d.tls.of(host)
	if !ok {
		files, ok = d.tls.of(service)
	}
	if err != nil || !ok {
		return conn, err
	}
	secured, err := files.secure(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

func (d *Dialer) dialTCP(ctx context.Context, host, network, addr string) (net.Conn, error) {
	if d.faults != nil {
		return d.faults.dial(ctx, host, network, addr, func() (net.Conn, error) { return d.tuned(ctx, network, addr) })
	}
	return d.tuned(ctx, network, addr)
}

// tuned opens a connection and sets on it what finds a dead peer.
func (d *Dialer) tuned(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.cfg.DialFunc(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	err = tcp.SetKeepAliveConfig(d.cfg.KeepAlive)
	if err == nil && d.cfg.UserTimeout > 0 {
		err = setUserTimeout(tcp, d.cfg.UserTimeout)
	}
	if err != nil {
		conn.Close()
		return nil, &net.OpError{Op: "set keepalive", Net: network, Addr: tcpAddr(addr), Err: err}
	}
	return conn, nil
}
