package jobs

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// openConn is a connection that was dialed and not closed.
type openConn struct {
	net.Conn
	dials   *dials
	dialed  string // by the driver
	address string // whose answer it was dialed by; empty = not known
	behind  bool   // of that answer the hosts count, and not the ports
}

func (c *openConn) Close() error {
	c.dials.mu.Lock()
	delete(c.dials.open, c)
	c.dials.mu.Unlock()
	return c.Conn.Close()
}

// placeTimeout bounds the dial of a place, after which the name decides: half of the time that there is for both.
const placeTimeout = dialTimeout / 2

// dialPlace dials the place where the address has led before, if its name leads elsewhere now. Else, or if that can't be dialed,
// it returns nothing, and the name decides; a Dialer that denies addresses (DIALER_UNKNOWN=deny) dials no place. The error is of
// a place that is kept, where no name decides.
func (d *dials) dialPlace(ctx context.Context, network, address string) (*openConn, error) {
	to := d.place(ctx, address)
	if to == nil {
		return nil, nil
	}
	if to.endpoint == "" {
		return nil, errNotKept
	}
	short, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	raw, err := d.dialer.DialContext(short, network, to.endpoint)
	switch {
	case err == nil:
		return &openConn{Conn: raw, dials: d, dialed: address, address: to.address, behind: to.behind}, nil
	case to.kept:
		return nil, err
	case !errors.Is(err, context.Canceled):
		d.mu.Lock()
		d.loose = true
		d.mu.Unlock()
	}
	return nil, nil
}

var errNotKept = errors.New("the server has been left, and is not known by an address that could be dialed")

// place is where an address leads, whatever its name does.
type place struct {
	endpoint string // empty = none can be dialed
	address  string // as in openConn
	behind   bool
	kept     bool
}

// place returns nil where the name decides: also where that decides on TLS.
func (d *dials) place(ctx context.Context, address string) *place {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !d.onePlace {
		return nil
	}
	secured := d.dialer.Secures(host)
	d.mu.Lock()
	endpoint, kept, loose := d.kept[address], d.kept != nil, d.loose
	var like *openConn
	for conn := range d.open {
		if conn.dialed == address && conn.address != "" {
			like = conn
		}
	}
	d.mu.Unlock()
	switch {
	case kept && secured:
		return &place{kept: true}
	case kept:
		return &place{endpoint: endpoint, kept: true}
	case loose || secured || like == nil || d.hasLeft():
		return nil
	}
	if there, known := d.leadsTo(ctx, like.address, like.RemoteAddr(), like.behind); there || !known {
		return nil
	}
	return &place{endpoint: like.RemoteAddr().String(), address: like.address, behind: like.behind}
}

// keep makes addresses lead from now on where their connections do; where they lead to several hosts, to the one of from.
func (d *dials) keep(from string) {
	host, _, _ := net.SplitHostPort(from)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept != nil {
		return
	}
	d.kept = map[string]string{}
	for conn := range d.open {
		endpoint := conn.RemoteAddr().String()
		if h, _, _ := net.SplitHostPort(endpoint); d.kept[conn.dialed] == "" || h == host {
			d.kept[conn.dialed] = endpoint
		}
	}
}

// watch closes left when the endpoint of a connection has left its name's answer for good.
func (d *dials) watch(conn net.Conn) {
	l, ok := conn.(interface{ Leaving() <-chan struct{} })
	if !ok || !d.onePlace {
		return
	}
	leaving := l.Leaving() // of its endpoint: many connections have one
	d.mu.Lock()
	defer d.mu.Unlock()
	if leaving == nil || d.closed || d.watched[leaving] {
		return
	}
	d.watched[leaving] = true
	d.watching.Go(func() {
		select {
		case <-leaving:
			d.leave.Do(func() { close(d.left) })
		case <-d.done:
		}
	})
}

func (d *dials) hasLeft() bool {
	select {
	case <-d.left:
		return true
	default:
		return false
	}
}

// close ends the watching. Connections are the driver's.
func (d *dials) close() {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.done)
	}
	d.mu.Unlock()
	d.watching.Wait()
}

// moved returns an open connection whose address leads elsewhere now, or nil. It asks anew where addresses lead.
func (d *dials) moved(ctx context.Context) *openConn {
	d.mu.Lock()
	open := slices.Collect(maps.Keys(d.open))
	d.mu.Unlock()
	asked := map[string]bool{}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	for _, conn := range open {
		if conn.address == "" {
			continue
		}
		if !asked[conn.address] {
			asked[conn.address] = true
			_ = d.dialer.Refresh(ctx, conn.address) // else the last answer has to do
		}
		if there, known := d.leadsTo(context.WithoutCancel(ctx), conn.address, conn.RemoteAddr(), conn.behind); known && !there {
			return conn
		}
	}
	return nil
}

// refreshTimeout bounds the wait for name servers: while they are out, a connection to nsqd waits for it each time.
const refreshTimeout = 500 * time.Millisecond

// leadsTo reports whether the answer for an address has an endpoint, or its host. It is known if the answer is fresh and whole.
func (d *dials) leadsTo(ctx context.Context, address string, endpoint net.Addr, hostOnly bool) (there, known bool) {
	e, err := d.dialer.Explain(ctx, address)
	if err != nil || e.Answer.Stale || e.Answer.Partial {
		return false, false
	}
	host, _, _ := net.SplitHostPort(endpoint.String())
	return slices.ContainsFunc(e.Answer.Endpoints, func(named resolve.Endpoint) bool {
		h, _, _ := net.SplitHostPort(named.Addr)
		return named.Addr == endpoint.String() || hostOnly && h == host
	}), true
}
