package mongotest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Config says how to start a server. The zero value is a standalone server on
// a free port of 127.0.0.1 that wants no credentials and keeps its documents
// in memory.
type Config struct {
	// Addr is host:port to listen on. In a replica set it is the first
	// member's; each further one listens on the same host, at the port in its
	// name. Default: 127.0.0.1 and a free port, or the one in the first
	// member's name.
	Addr string
	// Dir is a folder for a journal from which the documents, their indexes
	// and the records of retryable writes come back: nothing that was
	// acknowledged is lost when the process is killed. It is made where it is
	// missing, and one server at a time can use it. Default: none.
	Dir string
	// User, when set, must authenticate with SCRAM-SHA-1 or SCRAM-SHA-256
	// against the database admin, the only one that has users. Default: no
	// authentication.
	User string
	// Password belongs to User and may not be empty with it.
	Password string
	// ReadOnly gives User the role readAnyDatabase: its writes are refused.
	// Default: root, which may do everything.
	ReadOnly bool
	// ReplicaSet is the name of a replica set. Default: a standalone server.
	ReplicaSet string
	// Members are the names, as host:port, that a replica set's members
	// announce in hello; nothing has to resolve them. A port of 0 stands for
	// the one that the member listens on. The first is the first primary.
	// Default: one member that announces its address.
	Members []string
	// ElectionTime is how long a replica set has no primary after its primary
	// has stepped down or died. Default: 1 s.
	ElectionTime time.Duration
}

// defaultElectionTime is shorter than MongoDB's, whose elections take up to
// 12 s.
const defaultElectionTime = time.Second

// Server is a running server, or a replica set with all of its members. It is
// safe for concurrent use. Whoever started it calls Close; that stops every
// goroutine of it.
type Server struct {
	store *store
	users *users
	set   *replicaSet // nil: standalone
	addrs []string    // of the members
	uri   string

	elections sync.WaitGroup
	stop      context.CancelFunc // of elections

	// mu is held while members start and end, so that no two of Kill, Revive
	// and Close do so at once.
	mu        sync.Mutex
	instances []*instance // by member; nil where dead
}

// Start listens and serves until Close. It fails where an address cannot be
// listened on, where Dir is in use or damaged, and where the Config makes no
// sense.
func Start(cfg Config) (*Server, error) {
	s, err := start(cfg)
	if err != nil {
		return nil, fmt.Errorf("start mongotest: %w", err)
	}
	return s, nil
}

func start(cfg Config) (*Server, error) {
	users, err := newUsers(cfg)
	if err != nil {
		return nil, err
	}
	listeners, names, err := listen(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{store: newStore(), users: users, instances: make([]*instance, len(listeners))}
	if cfg.Dir != "" {
		if s.store, err = openStore(cfg.Dir); err != nil {
			closeAll(listeners)
			return nil, err
		}
	}
	for _, l := range listeners {
		s.addrs = append(s.addrs, l.Addr().String())
	}
	s.uri = connectionString(s.addrs, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	if cfg.ReplicaSet != "" {
		if cfg.ElectionTime == 0 {
			cfg.ElectionTime = defaultElectionTime
		}
		s.set = newReplicaSet(cfg.ReplicaSet, names, cfg.ElectionTime)
		s.elections.Go(func() { s.set.elections(ctx) })
	}
	for i, l := range listeners {
		s.run(i, l)
	}
	return s, nil
}

// run starts a member.
func (s *Server) run(member int, l net.Listener) {
	n := newNode(s.store, s.users, s.set, member)
	if s.set != nil {
		s.set.join(member, n)
	}
	s.instances[member] = serve(l, n)
}

// listen opens a listener for each member and returns their names.
func listen(cfg Config) (listeners []net.Listener, names []string, err error) {
	switch {
	case cfg.ReplicaSet == "" && len(cfg.Members) > 0:
		return nil, nil, errors.New("Members need a ReplicaSet")
	case cfg.ElectionTime < 0:
		return nil, nil, fmt.Errorf("ElectionTime is %v", cfg.ElectionTime)
	case len(cfg.Members) == 0:
		cfg.Members = []string{""}
	}
	defer func() {
		if err != nil {
			closeAll(listeners)
		}
	}()
	taken := make(map[string]bool)
	host := "127.0.0.1"
	for i, name := range cfg.Members {
		announced, port := "", "0"
		if name != "" {
			if announced, port, err = net.SplitHostPort(name); err != nil {
				return listeners, nil, fmt.Errorf("member %q: %w", name, err)
			}
		}
		addr := net.JoinHostPort(host, port)
		if i == 0 && cfg.Addr != "" {
			addr = cfg.Addr
			if host, _, err = net.SplitHostPort(addr); err != nil {
				return listeners, nil, err
			}
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return listeners, nil, err
		}
		listeners = append(listeners, l)
		if port == "0" {
			_, port, _ = net.SplitHostPort(l.Addr().String()) // a listener's address is one
		}
		if name == "" {
			name = l.Addr().String()
		} else {
			name = net.JoinHostPort(announced, port)
		}
		if taken[name] {
			return listeners, nil, fmt.Errorf("member %q: named twice", name)
		}
		taken[name] = true
		names = append(names, name)
	}
	return listeners, names, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// URI is a mongodb:// connection string with the credentials, if any, in it,
// percent-encoded. It names no database, so that drivers log in through admin.
// A replica set's has the addresses of all members and its name; a driver then
// dials the names that the members announce.
func (s *Server) URI() string { return s.uri }

// Addr is the host:port that the server, or a replica set's first member,
// listens on.
func (s *Server) Addr() string { return s.addrs[0] }

// Addrs are the host:port that the members listen on, in the order of
// Config.Members.
func (s *Server) Addrs() []string { return append([]string(nil), s.addrs...) }

// Members are the names that a replica set's members announce, without zero
// ports; nil for a standalone server.
func (s *Server) Members() []string {
	if s.set == nil {
		return nil
	}
	return append([]string(nil), s.set.hosts...)
}

// Primary is the name that a replica set's primary announces, empty where
// there is none; of a standalone server it is the address.
func (s *Server) Primary() string {
	if s.set == nil {
		return s.addrs[0]
	}
	return s.set.role(0).leader
}

// StepDown makes a replica set's primary a secondary. After the election time
// another member is primary, or the same one where there is no other. It fails
// where there is no primary, and on a standalone server. Clients reach it as
// the command replSetStepDown.
func (s *Server) StepDown() error {
	if s.set == nil {
		return errors.New("mongotest: step down: the server is standalone")
	}
	if !s.set.stepDown(-1) {
		return errors.New("mongotest: step down: there is no primary")
	}
	return nil
}

// Kill cuts a replica set's primary off at once, as the death of its process
// does: its listener and connections are closed, and a command under way may
// take effect and its reply is lost. It returns the member's name, empty where
// there is no primary at the moment. The others elect one after the election
// time, if they are a majority.
//
// A standalone server, and a set whose last member it was, has ended then: its
// Dir and addresses are free, and Close does nothing more.
func (s *Server) Kill() (member string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dead, name := 0, s.addrs[0]
	if s.set != nil {
		name = s.set.role(0).leader
		for dead = range s.instances {
			if s.set.hosts[dead] == name {
				break
			}
		}
	}
	if name == "" || s.instances[dead] == nil {
		return ""
	}
	s.instances[dead].kill()
	s.instances[dead] = nil
	if s.set != nil {
		s.set.leave(dead)
	}
	for _, i := range s.instances {
		if i != nil {
			return name
		}
	}
	_ = s.endLocked() // as after a kill, all that is written is there
	return name
}

// Revive starts the members that Kill has ended, on their old addresses. They
// come back as secondaries, and know what was written meanwhile. It fails
// where all have ended.
func (s *Server) Revive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := false
	for _, i := range s.instances {
		alive = alive || i != nil
	}
	if !alive {
		return errors.New("mongotest: revive: the server has ended")
	}
	for i, running := range s.instances {
		if running != nil {
			continue
		}
		l, err := net.Listen("tcp", s.addrs[i])
		if err != nil {
			return fmt.Errorf("mongotest: revive %s: %w", s.set.hosts[i], err)
		}
		s.run(i, l)
	}
	return nil
}

// DropConnections cuts all present connections without waiting for replies
// and goes on listening.
func (s *Server) DropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.instances {
		if i != nil {
			i.dropConnections()
		}
	}
}

// Close stops listening, lets commands under way answer, closes all
// connections and waits for every goroutine. A second call does nothing but
// wait.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	var ending sync.WaitGroup
	results := make([]error, len(s.instances))
	for i, running := range s.instances {
		if running != nil {
			ending.Go(func() { results[i] = running.close() })
		}
	}
	ending.Wait()
	clear(s.instances)
	errs = append(errs, results...)
	errs = append(errs, s.endLocked())
	return errors.Join(errs...)
}

// endLocked ends what the members shared.
func (s *Server) endLocked() error {
	s.stop()
	s.elections.Wait()
	return s.store.close()
}

func connectionString(addrs []string, cfg Config) string {
	uri := "mongodb://"
	if cfg.User != "" {
		uri += percentEncode(cfg.User) + ":" + percentEncode(cfg.Password) + "@"
	}
	uri += strings.Join(addrs, ",") + "/"
	if cfg.ReplicaSet != "" {
		uri += "?replicaSet=" + percentEncode(cfg.ReplicaSet)
	}
	return uri
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
