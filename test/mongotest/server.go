package mongotest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Config says how to start a server. The zero value is a server on a free
// port of 127.0.0.1 that wants no credentials.
type Config struct {
	// Addr is host:port to listen on. Default: 127.0.0.1:0, a free port.
	Addr string
	// User, when set, must authenticate with SCRAM-SHA-1 or SCRAM-SHA-256
	// against the database admin, the only one that has users. Default: no
	// authentication.
	User string
	// Password belongs to User and may not be empty with it.
	Password string
}

// Server is a running server. It is safe for concurrent use. Whoever started
// it calls Close or Kill; both stop every goroutine of it.
type Server struct {
	listener net.Listener
	node     *node
	uri      string
	stop     context.CancelFunc
	serving  sync.WaitGroup

	// mu is never held while reading or writing a connection.
	mu      sync.Mutex
	stopped bool
	conns   map[*conn]struct{}
}

// closeGrace bounds how long Close waits for clients to take their last
// replies.
const closeGrace = 5 * time.Second

// Start listens and serves until Close or Kill. It fails where the address
// cannot be listened on, and where only one of User and Password is set.
func Start(cfg Config) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	users, err := newUsers(cfg.User, cfg.Password)
	if err != nil {
		return nil, fmt.Errorf("start mongotest: %w", err)
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("start mongotest: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		listener: l,
		node:     newNode(newStore(), users),
		uri:      connectionString(l.Addr().String(), cfg.User, cfg.Password),
		stop:     cancel,
		conns:    make(map[*conn]struct{}),
	}
	s.serving.Go(func() { s.accept(ctx) })
	return s, nil
}

// URI is a mongodb:// connection string with the credentials, if any, in it,
// percent-encoded. It names no database, so that drivers log in through admin.
func (s *Server) URI() string { return s.uri }

// Addr is the host:port that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening, lets commands under way answer, closes all
// connections and waits for every goroutine. A second call does nothing but
// wait.
func (s *Server) Close() error {
	return s.shutdown(func(c *conn) {
		// The past deadline wakes a connection that waits for its next
		// command; one that works on a command meets it afterwards.
		_ = c.SetReadDeadline(time.Unix(1, 0))
		_ = c.SetWriteDeadline(time.Now().Add(closeGrace))
	})
}

// Kill cuts the listener and all connections at once, as the death of a
// process does: a command under way may take effect and its reply is lost.
func (s *Server) Kill() {
	_ = s.shutdown(func(c *conn) { c.Close() })
}

// DropConnections cuts all present connections without waiting for replies
// and goes on listening.
func (s *Server) DropConnections() {
	for _, c := range s.snapshot(false) {
		c.Close()
	}
}

func (s *Server) shutdown(end func(*conn)) error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	conns := s.snapshot(true)
	s.stop()
	for _, c := range conns {
		end(c)
	}
	s.serving.Wait()
	return err
}

// snapshot returns the present connections; with stop no further one is
// admitted.
func (s *Server) snapshot(stop bool) []*conn {
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

func (s *Server) accept(ctx context.Context) {
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

func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) release(c *conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func connectionString(addr, user, password string) string {
	if user == "" {
		return "mongodb://" + addr + "/"
	}
	return "mongodb://" + percentEncode(user) + ":" + percentEncode(password) + "@" + addr + "/"
}

// percentEncode leaves only RFC 3986's unreserved characters as they are.
// url.QueryEscape writes a space as a plus, which is a plus in a connection
// string; url.UserPassword leaves reserved characters that drivers refuse.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b []byte
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}
