package mongotest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// instance is one running server process, as its clients see it: a listener
// and the connections to it. A replica set has several over one store; one
// that has ended is never used again.
type instance struct {
	listener net.Listener
	node     *node
	stop     context.CancelFunc
	serving  sync.WaitGroup

	// mu is never held while reading or writing a connection.
	mu      sync.Mutex
	stopped bool
	conns   map[*conn]struct{}
}

// closeGrace bounds how long close waits for clients to take their last
// replies.
const closeGrace = 5 * time.Second

func serve(l net.Listener, n *node) *instance {
	ctx, cancel := context.WithCancel(context.Background())
	s := &instance{listener: l, node: n, stop: cancel, conns: make(map[*conn]struct{})}
	s.serving.Go(func() { s.accept(ctx) })
	return s
}

// close lets commands under way answer.
func (s *instance) close() error {
	return s.end(func(c *conn) {
		// The past deadline wakes a connection that waits for its next
		// command; one that works on a command meets it afterwards.
		_ = c.SetReadDeadline(time.Unix(1, 0))
		_ = c.SetWriteDeadline(time.Now().Add(closeGrace))
	})
}

// kill cuts everything at once.
func (s *instance) kill() {
	_ = s.end(func(c *conn) { c.Close() }) // a listener that won't close has no client left either
}

func (s *instance) dropConnections() {
	for _, c := range s.snapshot(false) {
		c.Close()
	}
}

func (s *instance) end(each func(*conn)) error {
	err := s.listener.Close()
	conns := s.snapshot(true)
	// The connections first: a hello that waits is answered when the server
	// stops, and a server that is killed says nothing more.
	for _, c := range conns {
		each(c)
	}
	s.stop()
	s.serving.Wait()
	return err
}

// snapshot returns the present connections; with stop no further one is
// admitted.
func (s *instance) snapshot(stop bool) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = s.stopped || stop
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// acceptPause keeps a lasting failure of accept, such as too many open files,
// from using up a core.
const acceptPause = 20 * time.Millisecond

func (s *instance) accept(ctx context.Context) {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(acceptPause):
				continue
			}
		}
		c := newConn(nc, s.node)
		if !s.admit(c) {
			c.Close()
			return
		}
		s.serving.Go(func() {
			defer s.release(c)
			c.serve(ctx)
		})
	}
}

func (s *instance) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *instance) release(c *conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
