package status

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/printable"
	"github.com/gvpocr/worker/internal/services"
)

// Config is what a Server answers from. All fields but Version and Paused are required.
type Config struct {
	ID, Version string
	Dialer      *dialer.Dialer
	Services    []services.Service
	Stopping    func() bool
	Paused      func() error // why the worker takes no tasks, without secrets; it asks nothing

	// Greet asks a service for a sign of life, by Dialer. It is called for several services at once.
	Greet func(context.Context, services.Service) error
}

// Server answers for a running worker. Close ends it.
type Server struct {
	cfg     Config
	since   time.Time
	http    *http.Server
	serving sync.WaitGroup

	mu    sync.Mutex       // guards asked
	asked map[string]asked // what came of asking services, by their addresses
}

// Serve begins to answer. The error is that of the file system: there may be no temporary folder to write to.
func Serve(cfg Config) (*Server, error) {
	listener, err := listen(folder(), cfg.ID)
	if errors.Is(err, fs.ErrNotExist) {
		listener, err = listen(folder(), cfg.ID) // another worker has ended and removed the folder, which was empty, in between
	}
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	s := &Server{cfg: cfg, since: time.Now(), asked: map[string]asked{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /explain", s.explain)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: patience, IdleTimeout: patience, MaxHeaderBytes: 8 << 10}
	s.serving.Go(func() {
		_ = s.http.Serve(listener) // always ErrServerClosed, or a listener that was closed
	})
	return s, nil
}

func listen(dir, id string) (net.Listener, error) {
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	sweep(dir)
	var random [4]byte
	rand.Read(random[:]) // never fails
	return net.Listen("unix", filepath.Join(dir, socketName(os.Getpid(), id, random)))
}

// Close stops answering, removes the socket and waits. A second Close does nothing.
func (s *Server) Close() error {
	err := s.http.Close() // the listener removes its file
	s.serving.Wait()
	_ = os.Remove(folder()) // fails while other workers have sockets there
	return err
}

// makeFolder makes dir, or checks that one that is there is this user's alone: a name in a shared temporary folder may
// have been taken by anybody.
func makeFolder(dir string) error {
	err := os.MkdirAll(filepath.Dir(dir), 0o700)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return checkFolder(dir)
}

func checkFolder(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := fi.Sys().(*syscall.Stat_t)
	if !fi.IsDir() || ok && int(owner.Uid) != os.Getuid() || fi.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a folder of this user's alone", dir)
	}
	return nil
}

// leftover is the age from which a socket that refuses connections is taken for one whose worker was killed, and not
// for one whose worker is just starting.
const leftover = time.Minute

// sweep removes what killed workers have left.
func sweep(dir string) {
	for _, path := range sockets(dir) {
		fi, err := os.Lstat(path)
		if err != nil || time.Since(fi.ModTime()) < leftover {
			continue
		}
		conn, err := net.DialTimeout("unix", path, patience)
		if err == nil {
			conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(path) // another worker may have done so
		}
	}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	answer(w, s.worker(r.Context(), r.URL.Query().Has("ask")))
}

func (s *Server) worker(ctx context.Context, ask bool) Worker {
	w := Worker{ID: s.cfg.ID, Version: s.cfg.Version, PID: os.Getpid(), Since: s.since, Stopping: s.cfg.Stopping(), Asked: ask}
	w.Services = s.remembered()
	if ask {
		before, failures := w.Services, s.greet(ctx)
		w.Services = s.remembered()
		s.mu.Lock()
		for i := range w.Services {
			record := s.asked[w.Services[i].Address]
			record.note(before[i], w.Services[i], failures[i])
			s.asked[w.Services[i].Address] = record
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	for i := range w.Services {
		s.asked[w.Services[i].Address].apply(&w.Services[i], ask)
	}
	s.mu.Unlock()
	if s.cfg.Paused != nil {
		if err := s.cfg.Paused(); err != nil {
			w.Paused = printable.Error(err)
		}
	}
	return w
}

// remembered returns the services as the dialer knows them.
func (s *Server) remembered() []Service {
	stats := s.cfg.Dialer.Stats()
	var list []Service
	for _, service := range s.cfg.Services {
		state := Service{Service: service, Reason: "not resolved yet"}
		if j := slices.IndexFunc(stats.Names, func(n dialer.NameStats) bool { return n.Name == service.Address }); j >= 0 {
			state.remember(stats.Names[j])
		}
		list = append(list, state)
	}
	return list
}

// remember takes over what the dialer knows of the service: how it was when it was last dialed.
func (s *Service) remember(n dialer.NameStats) {
	s.Reason = "not dialed yet"
	for _, e := range n.Endpoints {
		s.Open += e.Open
		if e.LastSuccess.After(s.LastReached) {
			s.LastReached = e.LastSuccess
		}
		switch {
		case e.State == dialer.Closed && (e.Open > 0 || !e.LastSuccess.IsZero() && !e.LastSuccess.Before(e.LastErrorAt)):
			s.Reached = true
		case e.LastError != nil && !s.Reached:
			s.Reason, s.failed = fmt.Sprintf("%s: %s", e.Addr, printable.Error(e.LastError)), true
		}
	}
	if s.Reached {
		s.Reason, s.failed = "", false
	}
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), ExplainTimeout)
	defer cancel()
	answer(w, Explain(s.cfg.Dialer.Explain(ctx, r.URL.Query().Get("address"))))
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the one who asked is gone
}
