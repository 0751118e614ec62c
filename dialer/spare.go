package dialer

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// stock is the ready connections of one name: a dial that takes one saves the round trips of connecting. A used
// connection never comes back, since clients authenticate on it.
type stock struct {
	dialer *Dialer
	name   string // host:port as it is dialed
	size   int

	hits, misses atomic.Uint64

	mu        sync.Mutex // guards the fields below; nothing is dialed or closed under it
	spares    []*spare   // oldest first
	refilling bool
}

// spare is one ready connection.
type spare struct {
	conn   connection
	peeker peeker
	expire *time.Timer
}

// stock returns the stock of a name that keeps spares, or nil.
func (d *Dialer) stock(host, name string) *stock {
	size, _ := d.spares.of(host)
	if size <= 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stocks[name]
	if s == nil {
		s = &stock{dialer: d, name: name, size: size}
		d.stocks[name] = s
	}
	return s
}

// take returns a spare that is alive, and has the stock filled up in the background. It dials nothing.
func (s *stock) take() connection {
	answer := s.dialer.resolved.answer(s.name)
	for {
		sp := s.pop()
		if sp == nil {
			s.misses.Add(1)
			return nil
		}
		if sp.usable(answer) {
			s.hits.Add(1)
			return sp.conn
		}
		sp.conn.state().discard()
	}
}

// pop returns the youngest spare, which has the best chance to be alive.
func (s *stock) pop() *spare {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.spares) - 1
	if last < 0 {
		return nil
	}
	sp := s.spares[last]
	s.spares[last] = nil // the array must not hold it
	s.spares = s.spares[:last]
	sp.expire.Stop() // if it has fired, it finds nothing to close: who takes a spare out owns it
	return sp
}

// usable reports whether a spare leads to an endpoint that is still wanted, and its connection is open and has no bytes
// that nobody asked for.
func (sp *spare) usable(answer resolve.Answer) bool {
	e := sp.conn.state().endpoint
	if _, ok := e.breaker.allow(); !ok {
		return false
	}
	wanted := slices.ContainsFunc(answer.Endpoints, func(o resolve.Endpoint) bool { return o.Addr == e.addr })
	return wanted && sp.peeker.alive()
}

// refill fills the stock in a goroutine of the Dialer's, if it lacks something and nobody does it. It is called by dials
// alone, so that a name that is no longer used keeps no connections.
func (s *stock) refill() {
	s.mu.Lock()
	due := !s.refilling && len(s.spares) < s.size
	s.refilling = s.refilling || due
	s.mu.Unlock()
	if !due {
		return
	}
	started := s.dialer.goOn(func() {
		for s.addOne() {
		}
	})
	if !started {
		s.mu.Lock()
		s.refilling = false
		s.mu.Unlock()
	}
}

// addOne connects once and reports whether another spare is lacking. A failure ends the refill: the next dial tries
// again.
func (s *stock) addOne() (more bool) {
	d := s.dialer
	host, port, _ := net.SplitHostPort(s.name) // was split before
	c := call{name: s.name, network: "tcp", host: host, port: port, names: ownNames{d.cache}, caller: d.ctx, ctx: d.ctx}
	var conn connection
	endpoints, _, err := d.candidates(&c)
	if err == nil && len(endpoints) > 0 {
		if generation, ok := endpoints[0].breaker.allow(); ok && endpoints[0].enterBackground() {
			conn, _ = d.attempt(d.ctx, &c, c.pass.origin, endpoints[0], generation)
			endpoints[0].background.Add(-1)
		}
	}
	kept := conn != nil && s.put(conn)
	if conn != nil && !kept {
		conn.state().discard()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	more = kept && d.ctx.Err() == nil && len(s.spares) < s.size
	s.refilling = more
	return more
}

// keep makes a connection that nobody waits for any more a spare, where one is lacking, else it closes it.
func (d *Dialer) keep(conn connection) {
	s := d.stocked(conn.state().name)
	if s == nil || !s.put(conn) {
		conn.state().discard()
	}
}

// put adds a connection, if there is room.
func (s *stock) put(conn connection) bool {
	sp := &spare{conn: conn, peeker: newPeeker(conn)}
	if sp.peeker == nil {
		return false
	}
	idle := s.dialer.cfg.SpareIdle
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, closed := conn.state().endpoint.breaker.allow(); !closed || len(s.spares) >= s.size || s.dialer.ctx.Err() != nil {
		return false
	}
	// ± 10 %, so that spares that were made together don't end together.
	life := idle*9/10 + rand.N(max(idle/5, 1))
	sp.expire = time.AfterFunc(life, func() { s.drop(func(o *spare) bool { return o == sp }) })
	s.spares = append(s.spares, sp)
	return true
}

// drop closes the spares that match.
func (s *stock) drop(match func(*spare) bool) {
	var dropped []*spare
	s.mu.Lock()
	s.spares = slices.DeleteFunc(s.spares, func(sp *spare) bool {
		if !match(sp) {
			return false
		}
		dropped = append(dropped, sp)
		return true
	})
	s.mu.Unlock()
	for _, sp := range dropped {
		sp.expire.Stop()
		sp.conn.state().discard()
	}
}

// count returns how many spares lead to addr.
func (s *stock) count(addr string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.spares {
		if sp.conn.state().endpoint.addr == addr {
			n++
		}
	}
	return n
}

// dropSpares closes the spares of all names that match.
func (d *Dialer) dropSpares(match func(*spare) bool) {
	d.mu.Lock()
	stocks := make([]*stock, 0, len(d.stocks))
	for _, s := range d.stocks {
		stocks = append(stocks, s)
	}
	d.mu.Unlock()
	for _, s := range stocks {
		s.drop(match)
	}
}

// peeker tells whether an idle connection is alive, without blocking.
type peeker interface{ alive() bool }

// newPeeker returns nil for a connection that can't be looked at: TLS elsewhere than on Linux.
func newPeeker(conn connection) peeker {
	switch c := conn.(type) {
	case *tlsConn:
		return newTLSPeeker(c.NetConn())
	case *tcpConn:
		if p := newTCPPeeker(c.TCPConn); p != nil {
			return p
		}
	}
	return &deadlinePeeker{conn.state().raw}
}

// deadlinePeeker reads with a deadline that has passed. In-memory connections tell an end of file before that; real
// sockets don't look.
type deadlinePeeker struct{ conn net.Conn }

func (p *deadlinePeeker) alive() bool {
	if p.conn.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var one [1]byte
	n, err := p.conn.Read(one[:])
	timeout, ok := err.(net.Error) //nolint:errorlint // what a Read returns is not wrapped
	return n == 0 && ok && timeout.Timeout() && p.conn.SetReadDeadline(time.Time{}) == nil
}
