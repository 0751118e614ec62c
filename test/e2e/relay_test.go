package e2e_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay stands before a service. While it is down the service is gone for those that come through it, and keeps what it
// holds.
type relay struct {
	t      *testing.T
	addr   string
	target string
	copies sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	listener net.Listener
	conns    map[net.Conn]bool
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
			io.Copy(to, from)
			in.Close()
			out.Close()
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.conns, from)
		})
	}
}

// down cuts all connections and waits for their end. A second down does nothing.
func (r *relay) down() {
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
