package dialer

import (
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gvpocr/worker/resolve"
)

const (
	// leaveApart is how far apart two answers have to lie for what both lack to count as gone: two that are asked for
	// within a moment may come from one cache.
	leaveApart = 10 * time.Second

	// unknownTTL stands for the TTL of an answer that has none, from ordinary DNS: as long as a cache keeps one at most.
	unknownTTL = 5 * time.Minute

	// idlePace is how often idle connections are closed once a second answer lacks their endpoint: one that is busy may
	// become idle for a moment. Not before: a Transport closes those to other hosts, too, and records may rotate.
	idlePace = 250 * time.Millisecond

	// watchPace is how often a watch looks whether there is still something to watch, and keeps the name in use.
	watchPace = time.Minute
)

// origin is whose answers lead to the endpoints of a connection.
type origin struct {
	cache      *resolve.Cache
	host, port string
	hostsOnly  bool // the port is not the answer's, but the one that was asked for: see Behind
}

// names reports whether an answer holds the endpoint.
func (o origin) names(a resolve.Answer, addr string) bool {
	return slices.ContainsFunc(a.Endpoints, func(e resolve.Endpoint) bool {
		return o.same(e.Addr, addr)
	})
}

func (o origin) same(a, b string) bool { return a == b || o.hostsOnly && sameHost(a, b) }

func sameHost(a, b string) bool {
	hostA, _, errA := net.SplitHostPort(a)
	hostB, _, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && hostA == hostB
}

// watches are those of a Dialer. A watch begins with the first connection that its origin's answer led to.
type watches struct {
	mu       sync.Mutex // guards byOrigin and what is in it; nothing is resolved or closed under it
	byOrigin map[origin]*watch
}

// watch follows the answers of one origin while connections that they led to are open.
type watch struct {
	origin  origin
	joined  chan struct{} // has room for one: an endpoint is new
	members []*member

	last   resolve.Answer // whole
	lastAt time.Time
	ask    time.Time // when to ask unasked; zero = not
}

// member is one endpoint that an origin's answers led to, with the connections to it.
type member struct {
	watch    *watch
	endpoint *endpoint
	left     chan struct{} // closed when the endpoint has left the answer

	conns   map[*connState]struct{}
	missing bool          // from the last answer
	lacked  chan struct{} // closed when that begins; another one when it ends
	agreed  bool          // that answer said the same as the one before
	until   time.Time     // when an answer that lacks it, too, is another one, and not the same out of some name server's cache
}

// join adds a connection to those that are watched. Addresses are not: their answer can't change.
func (d *Dialer) join(o origin, e *endpoint, s *connState) {
	if o.cache == nil || isAddress(o.host) {
		return
	}
	ws := &d.watches
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byOrigin[o]
	if w == nil {
		w = &watch{origin: o, joined: make(chan struct{}, 1)}
		if len(ws.byOrigin) >= maxNames || !d.goOn(func() { d.follow(w) }) {
			return
		}
		ws.byOrigin[o] = w
	}
	i := slices.IndexFunc(w.members, func(m *member) bool { return m.endpoint == e })
	if i < 0 {
		i = len(w.members)
		w.members = append(w.members, &member{watch: w, endpoint: e, left: make(chan struct{}), lacked: make(chan struct{}), conns: map[*connState]struct{}{}})
		select {
		case w.joined <- struct{}{}:
		default:
		}
	}
	s.member = w.members[i]
	s.member.conns[s] = struct{}{}
}

// part takes a closed connection out.
func (d *Dialer) part(s *connState) {
	if s.member == nil {
		return
	}
	d.watches.mu.Lock()
	defer d.watches.mu.Unlock()
	delete(s.member.conns, s)
}

// follow is the life of a watch.
func (d *Dialer) follow(w *watch) {
	timer := time.NewTimer(watchPace)
	defer timer.Stop()
	_, noted, _ := w.origin.cache.Follow(w.origin.host, w.origin.port) // by the dial
	for {
		answer, at, next := w.origin.cache.Follow(w.origin.host, w.origin.port)
		if at.After(noted) && !w.origin.hostsOnly && d.resolved.note(net.JoinHostPort(w.origin.host, w.origin.port), answer) {
			d.changed.broadcast()
		}
		noted = at
		news := d.take(w, answer, at, next == nil)
		if news.over {
			return
		}
		for _, t := range news.idle {
			t.CloseIdleConnections()
		}
		for _, m := range news.gone {
			d.drain(m)
		}
		if news.ask {
			w.origin.cache.Refresh(w.origin.host, w.origin.port)
		}
		timer.Reset(news.wait)
		select {
		case <-next:
		case <-w.joined:
		case <-timer.C:
		case <-d.ctx.Done():
			return
		}
	}
}

// news is what an answer means to the connections of a watch.
type news struct {
	over bool              // nothing is left to watch
	gone []*member         // their endpoints have left the answer
	idle []*http.Transport // hold connections to endpoints that the answer lacks
	ask  bool              // now
	wait time.Duration     // until there is something to do
}

// take compares the last answer with the connections. There is no other one after a closed cache's.
func (d *Dialer) take(w *watch, a resolve.Answer, at time.Time, closed bool) (n news) {
	d.watches.mu.Lock()
	defer d.watches.mu.Unlock()
	w.members = slices.DeleteFunc(w.members, func(m *member) bool { return len(m.conns) == 0 })
	if len(w.members) == 0 || closed {
		delete(d.watches.byOrigin, w.origin)
		return news{over: true}
	}
	if !at.IsZero() {
		w.compare(a, at, &n)
	}
	now := time.Now()
	n.wait = watchPace
	for _, m := range w.members {
		if transports := m.transports(); m.missing && m.agreed && len(transports) > 0 {
			n.idle = append(n.idle, transports...)
			n.wait = idlePace
		}
	}
	if !w.ask.IsZero() {
		if n.ask = !now.Before(w.ask); n.ask {
			w.ask = time.Time{}
		} else {
			n.wait = min(n.wait, w.ask.Sub(now))
		}
	}
	return n
}

// compare finds the endpoints that have left: two whole answers in a row lack them, the second of which came when the first
// one's TTL was over and leaveApart later, since a name server on the way gives one answer several times. Both have to
// say the same, too. If they don't, the name's records rotate, and the row begins anew.
func (w *watch) compare(a resolve.Answer, at time.Time, n *news) {
	again := slices.Equal(endpointAddrs(a), endpointAddrs(w.last))
	w.members = slices.DeleteFunc(w.members, func(m *member) bool {
		switch {
		case w.origin.names(a, m.endpoint.addr):
			if m.missing {
				m.lacked = make(chan struct{})
			}
			m.missing, m.agreed = false, false
		case a.Partial: // what it lacks may have been cut off
		case !m.missing || !again:
			if !m.missing {
				n.idle = append(n.idle, m.transports()...)
				close(m.lacked)
			}
			m.missing, m.agreed, m.until = true, false, at.Add(max(leaveApart, lasts(a)))
			w.ask = m.until // if the cache has not done it by then
		case !at.Before(m.until):
			n.gone = append(n.gone, m)
			return true
		case at.After(w.lastAt):
			m.agreed = true
		}
		return false
	})
	if !a.Partial {
		w.last, w.lastAt = a, at
	}
}

// lasts is how long a name server may give an answer again. What it says is in whole seconds, and rounded down.
func lasts(a resolve.Answer) time.Duration {
	if a.TTL == 0 {
		return unknownTTL
	}
	return a.TTL + time.Second
}

// transports returns those whose connections the member has.
func (m *member) transports() (all []*http.Transport) {
	for s := range m.conns {
		if s.transport != nil && !slices.Contains(all, s.transport) {
			all = append(all, s.transport)
		}
	}
	return all
}

// drain closes the connections to an endpoint that has left: spares at once, those in use after DrainAfter, so that
// whoever knows of Leaving can change over.
func (d *Dialer) drain(m *member) {
	close(m.left)
	d.dropSpares(func(sp *spare) bool { return sp.conn.state().member == m })
	in := d.watches.connections(m)
	if len(in) == 0 || d.cfg.DrainAfter < 0 {
		return
	}
	d.cfg.Logger.Info("endpoint is no longer in the answer; its connections are closed",
		"name", in[0].name, "endpoint", m.endpoint.addr, "connections", len(in), "after", d.cfg.DrainAfter)
	d.goOn(func() {
		if !sleepUntil(d.ctx, time.Now().Add(d.cfg.DrainAfter)) {
			return // a closed Dialer leaves connections alone
		}
		var closing sync.WaitGroup // beside each other: TLS waits for a peer that takes nothing
		for _, s := range d.watches.connections(m) {
			closing.Go(func() { _ = s.close("its endpoint left the answer") })
		}
		closing.Wait()
	})
}

func (ws *watches) connections(m *member) []*connState {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	all := make([]*connState, 0, len(m.conns))
	for s := range m.conns {
		all = append(all, s)
	}
	return all
}
