package dialer

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// acceptHold is how long a probe holds a connection to an endpoint that closed its last ones at once, before it takes it
// as good.
const acceptHold = 250 * time.Millisecond

// probeUntilClosed probes an endpoint whose breaker has opened, in a goroutine of the Dialer's, until the breaker closes
// again, the Dialer is closed, or nobody has wanted the endpoint for long.
func (d *Dialer) probeUntilClosed(e *endpoint) {
	d.goOn(func() {
		for {
			_, next := e.breaker.snapshot()
			if !sleepUntil(d.ctx, next) {
				return
			}
			hold, ok := e.breaker.probe()
			if !ok {
				return
			}
			if time.Since(e.lastUsed()) > endpointLife && e.open.Load() == 0 {
				d.drop(e)
				return
			}
			if d.probeOnce(e, hold) {
				return
			}
		}
	})
}

// drop forgets an endpoint; a dial that wants it again begins with a closed breaker.
func (d *Dialer) drop(e *endpoint) {
	d.mu.Lock()
	if d.endpoints[e.addr] == e {
		delete(d.endpoints, e.addr)
	}
	d.mu.Unlock()
	d.changed.broadcast()
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// probeOnce probes and reports whether the endpoint is back.
func (d *Dialer) probeOnce(e *endpoint, hold bool) bool {
	d.cfg.Trace.breaker(e.addr, Open, Probing)
	ctx, cancel := context.WithTimeout(d.ctx, d.cfg.Breaker.ProbeTimeout)
	defer cancel()
	e.dials.Add(1)
	err := d.knock(ctx, e, hold)
	if d.ctx.Err() != nil {
		return true
	}
	now := time.Now()
	if err != nil {
		e.failures.Add(1)
		kind := kindOf(err)
		if kind == silentFailure {
			err = timeoutError(e.addr)
		}
		e.noteError(err, now)
		e.breaker.probed(false, kind, now)
		d.cfg.Trace.breaker(e.addr, Probing, Open)
		return false
	}
	e.noteSuccess(now)
	e.breaker.probed(true, 0, now)
	d.changed.broadcast()
	d.cfg.Logger.Info("endpoint is back", "endpoint", e.addr)
	d.cfg.Trace.breaker(e.addr, Probing, Closed)
	return true
}

// knock connects as a dial does, TLS included.
func (d *Dialer) knock(ctx context.Context, e *endpoint, hold bool) error {
	conn, err := d.connect(ctx, e.host, e.service, "tcp", e.addr)
	switch {
	case refusedCertificate(err): // somebody has to mend it, but the server is there
		return nil
	case err != nil:
		return err
	}
	defer conn.Close()
	if hold && !stays(conn) {
		return errAcceptThenClose
	}
	return nil
}

// stays reports whether a fresh connection is still open after acceptHold. Servers that speak first count as open.
func stays(conn net.Conn) bool {
	if conn.SetReadDeadline(time.Now().Add(acceptHold)) != nil {
		return false
	}
	var one [1]byte
	n, err := conn.Read(one[:])
	return n > 0 || errors.Is(err, os.ErrDeadlineExceeded)
}
