package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// relay stands between workers and a main server: it hands on what it gets, may delay it, and may reset connections. It
// accepts while nobody listens behind it, and resets then, as a forwarder does.
type relay struct {
	listeners []net.Listener
	running   sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	delay  time.Duration
	conns  map[*net.TCPConn]bool
	closed bool
}

// newRelay listens at ip on each of the ports, and connects to the same port of target.
func newRelay(ip, target string, ports ...int) (*relay, error) {
	r := &relay{conns: map[*net.TCPConn]bool{}}
	for _, port := range ports {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(ip), Port: port})
		if err != nil {
			r.close()
			return nil, err
		}
		r.listeners = append(r.listeners, l)
		r.running.Go(func() { r.accept(l, &net.TCPAddr{IP: net.ParseIP(target), Port: port}) })
	}
	return r, nil
}

func (r *relay) accept(l *net.TCPListener, target *net.TCPAddr) {
	for {
		in, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		r.running.Go(func() {
			out, err := net.DialTCP("tcp", nil, target)
			if err != nil {
				reset(in)
				return
			}
			r.join(in, out)
		})
	}
}

func (r *relay) join(in, out *net.TCPConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		reset(in)
		reset(out)
		return
	}
	for from, to := range map[*net.TCPConn]*net.TCPConn{in: out, out: in} {
		r.conns[from] = true
		r.running.Go(func() {
			r.hand(to, from)
			_ = to.CloseWrite() // the other direction may go on
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.conns, from)
			if !r.conns[to] {
				// What was to be sent has been, or can't be.
				_, _ = from.Close(), to.Close()
			}
		})
	}
}

// chunk is what was read, and when it may be written.
type chunk struct {
	data []byte
	due  time.Time
}

// hand copies, each part after the delay.
func (r *relay) hand(to, from *net.TCPConn) {
	chunks := make(chan chunk, 1000)
	var writing sync.WaitGroup
	writing.Go(func() {
		failed := false
		for c := range chunks {
			if failed {
				continue // the reader must not wait for nobody
			}
			if wait := time.Until(c.due); wait > 0 {
				<-time.After(wait)
			}
			if _, err := to.Write(c.data); err != nil {
				failed = true
				_ = from.Close() // what it would send can't arrive
			}
		}
	})
	for {
		data := make([]byte, 32<<10)
		n, err := from.Read(data)
		if n > 0 {
			r.mu.Lock()
			due := time.Now().Add(r.delay)
			r.mu.Unlock()
			chunks <- chunk{data[:n], due}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				reset(to)
			}
			break
		}
	}
	close(chunks)
	writing.Wait()
}

// setDelay is how much later what comes from either side arrives at the other.
func (r *relay) setDelay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

// resetAll resets all connections at both ends, and returns how many there were.
func (r *relay) resetAll() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		reset(c)
	}
	return len(r.conns) / 2
}

// close ends the relay and waits. A nil relay is none.
func (r *relay) close() {
	if r == nil {
		return
	}
	for _, l := range r.listeners {
		l.Close()
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.resetAll()
	r.running.Wait()
}

// reset closes a connection with RST instead of FIN.
func reset(c *net.TCPConn) {
	_, _ = c.SetLinger(0), c.Close() // they fail only if it is closed
}
