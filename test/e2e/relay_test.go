package e2e_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay stands before a service. While it is down the service is gone for those that come through it, and keeps what it
// holds. While it is frozen, connections are accepted and stay, and nothing comes through them.
type relay struct {
	t      *testing.T
	addr   string
	target string
	copies sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	listener net.Listener
	conns    map[net.Conn]bool
	frozen   chan struct{} // closed by thaw; nil while it is not frozen
}

// newRelay returns a relay that is down.
func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	r := &relay{t: t, addr: "127.0.0.1:0", target: target, conns: map[net.Conn]bool{}}
	r.up()
	r.addr = r.listener.Addr().String()
	r.down()
	t.Cleanup(r.down)
	return r
}

func (r *relay) up() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	r.copies.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", r.target)
			if err != nil {
				in.Close()
				continue
			}
			r.join(in, out)
		}
	})
}

func (r *relay) join(in, out net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener == nil { // down since it was accepted
		in.Close()
		out.Close()
		return
	}
	for from, to := range map[net.Conn]net.Conn{in: out, out: in} {
		r.conns[from] = true
		r.copies.Go(func() {
			io.Copy(to, thawed{from, r})
			in.Close()
			out.Close()
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.conns, from)
		})
	}
}

// thawed reads what has arrived once its relay is not frozen.
type thawed struct {
	net.Conn
	relay *relay
}

func (t thawed) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.relay.mu.Lock()
	frozen := t.relay.frozen
	t.relay.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	return n, err
}

func (r *relay) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen == nil {
		r.frozen = make(chan struct{})
	}
}

func (r *relay) thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen != nil {
		close(r.frozen)
		r.frozen = nil
	}
}

// down cuts all connections and waits for their end. A second down does nothing.
func (r *relay) down() {
	r.thaw()
	r.mu.Lock()
	if r.listener != nil {
		r.listener.Close()
		r.listener = nil
	}
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.copies.Wait()
}
