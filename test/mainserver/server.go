// Package mainserver starts the main server of GVPOCR for tests and for trying the worker: real nsqd and nsqlookupd,
// embedded, a MongoDB stand-in (package mongotest) and the backend's file API, on loopback ports of the system's
// choice.
//
// Its nsqd advertises a name that nothing can resolve, as a main server's nsqd in a container does. Server.Environ gives
// a worker the DIAL_ lines that say where everything is.
package mainserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gvpocr/worker/test/mongotest"
)

// The services, in the order in which they start.
const (
	MongoDB    = "mongodb"
	NSQLookupd = "nsqlookupd"
	NSQD       = "nsqd"
	Backend    = "backend"
)

var services = []string{MongoDB, NSQLookupd, NSQD, Backend}

// Config says what to start. Its zero value starts everything.
type Config struct {
	// Dir holds nsqd's and MongoDB's data. Empty means a temporary one that Close removes.
	Dir string

	// Files is what the backend's file API serves: a path as a task has it, without a leading slash. Nil means none.
	Files fs.FS

	// BroadcastAddress is the name that nsqd advertises. Empty means gvpocr-nsqd.
	BroadcastAddress string

	// MsgTimeout and MaxMsgTimeout are nsqd's. Zero means its defaults, 1 min and 15 min.
	MsgTimeout, MaxMsgTimeout time.Duration

	// MemQueueSize is how many messages of a topic nsqd keeps in memory. Zero means its default, 10 000; negative means
	// none: every message goes to disk.
	MemQueueSize int64

	// MaxMsgSize is the largest message that nsqd takes, in bytes. Zero means its default, 1 MiB.
	MaxMsgSize int64

	// SyncEvery is after how many messages nsqd flushes its queues on disk. Zero means its default, 2500.
	SyncEvery int64

	// NSQDAddr, NSQDHTTPAddr, LookupdTCPAddr and LookupdHTTPAddr are where nsqd and nsqlookupd listen, host:port. Empty
	// means a loopback port of the system's choice. An nsqlookupd that is not started here is elsewhere: LookupdTCPAddr
	// is where nsqd registers.
	NSQDAddr, NSQDHTTPAddr, LookupdTCPAddr, LookupdHTTPAddr string

	// Host is where all services listen at the ports that a main server publishes them on, 27017 and so on, such as 0.0.0.0
	// in a container. Empty means loopback ports of the system's choice, or what the fields above and Mongo.Addr say.
	Host string

	// Mongo configures MongoDB. Without a User it has gvpocr_admin with the password gvp@123; without a Dir, one in Dir.
	Mongo mongotest.Config

	// Services is what to start. Empty means all of it.
	Services []string

	backendAddr string // where the backend listens; empty means anyPort
}

// Server is a running main server. Its fields are set for the services that it started. It is safe for concurrent use;
// Close ends it.
type Server struct {
	MongoURI        string // with user and password; the user lives in admin
	NSQDAddr        string // TCP
	NSQDHTTPAddr    string
	LookupdHTTPAddr string
	BackendURL      string

	cfg        Config
	mongoAddrs []string // of MongoDB's members
	lookupdTCP string   // where nsqd registers
	temporary  string   // to be removed; empty if Dir was given

	mu      sync.Mutex // guards running; a service starts or stops under it, so that no two do at once
	running map[string]service
}

// service is one that runs.
type service interface {
	stop() error
}

// Start starts the services and returns when they accept connections. ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if len(cfg.Services) == 0 {
		cfg.Services = services
	}
	for _, name := range cfg.Services {
		if !slices.Contains(services, name) {
			return nil, fmt.Errorf("main server: unknown service %q; there are %v", name, services)
		}
	}
	if cfg.BroadcastAddress == "" {
		cfg.BroadcastAddress = "gvpocr-nsqd"
	}
	if cfg.Mongo.User == "" {
		cfg.Mongo.User, cfg.Mongo.Password = "gvpocr_admin", "gvp@123"
	}
	cfg.listenOnHost()
	s := &Server{cfg: cfg, lookupdTCP: cfg.LookupdTCPAddr, running: map[string]service{}}
	if cfg.Dir == "" {
		dir, err := os.MkdirTemp("", "mainserver")
		if err != nil {
			return nil, fmt.Errorf("main server: %w", err)
		}
		s.cfg.Dir, s.temporary = dir, dir
	}
	for _, name := range services {
		if !slices.Contains(cfg.Services, name) {
			continue
		}
		err := ctx.Err()
		if err == nil {
			err = s.Start(name)
		}
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Start starts a service that was stopped, on the port that it had. What nsqd and MongoDB had stored is there again.
func (s *Server) Start(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[name] != nil {
		return fmt.Errorf("main server: %s runs", name)
	}
	start, ok := map[string]func() (service, error){
		MongoDB:    s.startMongoDB,
		NSQLookupd: s.startNSQLookupd,
		NSQD:       s.startNSQD,
		Backend:    s.startBackend,
	}[name]
	if !ok {
		return fmt.Errorf("main server: unknown service %q; there are %v", name, services)
	}
	running, err := start()
	if err != nil {
		return fmt.Errorf("main server: start %s: %w", name, err)
	}
	s.running[name] = running
	return nil
}

// Stop stops a service in an orderly way.
func (s *Server) Stop(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	running := s.running[name]
	if running == nil {
		return fmt.Errorf("main server: %s does not run", name)
	}
	delete(s.running, name)
	if err := running.stop(); err != nil {
		return fmt.Errorf("main server: stop %s: %w", name, err)
	}
	return nil
}

// Close stops what runs, last started first. A second Close does nothing.
func (s *Server) Close() error {
	var errs []error
	for _, name := range slices.Backward(services) {
		s.mu.Lock()
		runs := s.running[name] != nil
		s.mu.Unlock()
		if runs {
			errs = append(errs, s.Stop(name))
		}
	}
	if s.temporary != "" {
		errs = append(errs, os.RemoveAll(s.temporary))
	}
	return errors.Join(errs...)
}

// Environ returns the DIAL_ lines that tell a worker where the services are.
func (s *Server) Environ() []string {
	var lines []string
	add := func(name, addr string) {
		if addr != "" {
			lines = append(lines, name+"="+addr)
		}
	}
	add("DIAL_MONGODB_PROXY", strings.Join(s.mongoAddrs, ","))
	add("DIAL_NSQD_PROXY", s.NSQDAddr)
	add("DIAL_NSQLOOKUPD_PROXY", s.LookupdHTTPAddr)
	add("DIAL_BACKEND_PROXY", hostOf(s.BackendURL))
	return lines
}

func (s *Server) dir(name string) (string, error) {
	dir := filepath.Join(s.cfg.Dir, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// Addresses returns where a client that needs no dialer finds the services, as lines of an environment.
func (s *Server) Addresses() []string {
	var lines []string
	for _, line := range [][2]string{
		{"MONGO_DIRECT_URI", s.MongoURI},
		{"NSQD_TCP", s.NSQDAddr},
		{"NSQD_HTTP", s.NSQDHTTPAddr},
		{"NSQLOOKUPD_HTTP", s.LookupdHTTPAddr},
		{"BACKEND_URL", s.BackendURL},
	} {
		if line[1] != "" {
			lines = append(lines, line[0]+"="+line[1])
		}
	}
	return lines
}
