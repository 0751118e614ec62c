package dialer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	eventv1 "go.mongodb.org/mongo-driver/event"
	mongov1 "go.mongodb.org/mongo-driver/mongo"
	optionsv1 "go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/resolve"
	"github.com/gvpocr/worker/test/mongotest"
)

const uri = "mongodb://mongodb-proxy:27017/?retryWrites=false&retryReads=false&heartbeatFrequencyMS=500&serverSelectionTimeoutMS=1000"

// client is a MongoDB driver's, as far as these tests go.
type client struct {
	version    string
	ping       func(ctx context.Context) error
	disconnect func(ctx context.Context) error
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// drivers connect by way of a dial function, and have the scene told of commands, and of each time that the driver throws
// its connections away.
var drivers = map[string]func(s *scene, dial dialFunc) (client, error){
	"v1": func(s *scene, dial dialFunc) (client, error) {
		c, err := mongov1.Connect(context.Background(), optionsv1.Client().ApplyURI(uri).SetDialer(dial).
			SetMonitor(&eventv1.CommandMonitor{Started: func(context.Context, *eventv1.CommandStartedEvent) { s.commands.Add(1) }}).
			SetPoolMonitor(&eventv1.PoolMonitor{Event: func(e *eventv1.PoolEvent) {
				if e.Type == eventv1.PoolCleared {
					s.clearing(e.Interruption, e.Error)
				}
			}}))
		if err != nil {
			return client{}, err
		}
		return client{"v1", func(ctx context.Context) error { return c.Ping(ctx, nil) }, c.Disconnect}, nil
	},
	"v2": func(s *scene, dial dialFunc) (client, error) {
		c, err := mongo.Connect(options.Client().ApplyURI(uri).SetDialer(dial).
			SetMonitor(&event.CommandMonitor{Started: func(context.Context, *event.CommandStartedEvent) { s.commands.Add(1) }}).
			SetPoolMonitor(&event.PoolMonitor{Event: func(e *event.PoolEvent) {
				if e.Type == event.ConnectionPoolCleared {
					s.clearing(e.Interruption, e.Error)
				}
			}}))
		if err != nil {
			return client{}, err
		}
		return client{"v2", func(ctx context.Context) error { return c.Ping(ctx, nil) }, c.Disconnect}, nil
	},
}

// scene is a driver over a dialer, whose dials can be made to fail while the connections that it has work on.
type scene struct {
	t      *testing.T
	server *mongotest.Server
	dialer *dialer.Dialer
	client client

	commands atomic.Int64 // that the driver has begun

	mu      sync.Mutex // guards the fields below
	dialing dialFunc   // what dials do
	dnsErr  error      // what DNS says; nil = where the server is
	conns   []*heldConn
	cleared []clearing
	failed  []dialer.Attempt
}

type clearing struct {
	inUse bool
	err   error
}

// heldConn is a connection whose answers can be held back.
type heldConn struct {
	net.Conn
	gate sync.RWMutex
}

func (c *heldConn) Read(p []byte) (int, error) {
	c.gate.RLock()
	c.gate.RUnlock() //nolint:staticcheck // it only waits, and not after the Read: who closes the connection ends that
	return c.Conn.Read(p)
}

// onEach runs a test with each driver. The driver is connected, and has one connection in its pool and others to monitor
// the server.
func onEach(t *testing.T, change func(*dialer.Config), test func(t *testing.T, s *scene)) {
	t.Parallel()
	for name, connect := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scene{t: t, dialing: (&net.Dialer{}).DialContext}
			var err error
			if s.server, err = mongotest.Start(mongotest.Config{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.server.Close() })
			cfg := dialer.Config{
				Resolver: s,
				Budget:   -1,
				DialFunc: s.dial,
				Trace:    &dialer.Trace{Attempted: s.attempted},
			}
			if change != nil {
				change(&cfg)
			}
			if s.dialer, err = dialer.New(cfg); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.dialer.Close() })
			if s.client, err = connect(s, s.dialer.DialContext); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.client.disconnect(context.Background()); err != nil {
					t.Error(err)
				}
			})
			if err := s.ping(); err != nil {
				t.Fatal(err)
			}
			test(t, s)
			s.wantCleanErrors()
		})
	}
}

// Resolve is the scene's DNS.
func (s *scene) Resolve(context.Context, string, string) (resolve.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dnsErr != nil {
		return resolve.Answer{}, s.dnsErr
	}
	return resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: s.server.Addr(), Weight: 1}}, TTL: time.Hour}, nil
}

func (s *scene) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	dial := s.dialing
	s.mu.Unlock()
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held := &heldConn{Conn: conn}
	s.conns = append(s.conns, held)
	return held, nil
}

func (s *scene) setDialing(f dialFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialing = f
}

func (s *scene) attempted(_ string, a dialer.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Err != nil {
		s.failed = append(s.failed, a)
	}
}

func (s *scene) clearing(inUse bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleared = append(s.cleared, clearing{inUse, err})
}

// ping sends a command on a connection of the pool, a new one if those that it has are busy.
func (s *scene) ping() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	return s.client.ping(ctx)
}

// inFlight has a command wait for its answer while test runs, so that every other one needs a new connection, and wants
// the answer to come all the same.
func (s *scene) inFlight(test func()) {
	s.t.Helper()
	s.mu.Lock()
	held := s.conns[1:] // the first is the one that the driver monitors the server by
	s.mu.Unlock()
	for _, c := range held {
		c.gate.Lock()
	}
	release := sync.OnceFunc(func() {
		for _, c := range held {
			c.gate.Unlock()
		}
	})
	defer release()
	answered := make(chan error, 1)
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	before := s.commands.Load()
	go func() { answered <- s.client.ping(ctx) }()
	s.eventually("the command is sent", func() bool { return s.commands.Load() > before })
	test()
	release()
	if err := <-answered; err != nil {
		s.t.Errorf("the command in flight: %v", err)
	}
}

func (s *scene) eventually(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			s.t.Fatalf("not within 20s: %s", what)
		}
	}
}

// wantNotCleared wants the driver to have kept its connections. Version 1 throws away its idle ones whenever a dial
// fails, whatever the error; those in use it must keep, too.
func (s *scene) wantNotCleared() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cleared {
		if c.inUse || s.client.version != "v1" {
			s.t.Errorf("the driver threw its connections away, in use: %v; for %v", c.inUse, c.err)
		}
	}
}

// wantCleanErrors wants no attempt to have ended with an error that drivers take for something else.
func (s *scene) wantCleanErrors() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.failed {
		wantClean(s.t, a.Err)
	}
}

func wantClean(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		t.Errorf("a *net.DNSError: %v", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context.DeadlineExceeded: %v", err)
	}
}

// wantDialError wants the driver to have passed on what the dialer said. Where version 1 can't select a server, it shows
// that as text only.
func (s *scene) wantDialError(err error) {
	s.t.Helper()
	failed, ok := errors.AsType[*dialer.DialError](err)
	if ok {
		wantClean(s.t, failed)
	}
	if !ok && s.client.version != "v1" || err == nil || !strings.Contains(err.Error(), "dial mongodb-proxy:27017") {
		s.t.Errorf("the dialer's error is lost, reachable: %v, in %v", ok, err)
	}
}

func refuse(_ context.Context, network, addr string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Addr: tcpAddr(addr), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func blackhole(ctx context.Context, network, addr string) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Net: network, Addr: tcpAddr(addr), Err: ctx.Err()}
}

func tcpAddr(addr string) net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", addr)
	return a
}

func TestADriverKeepsItsConnectionsWhenNewOnesAreRefused(t *testing.T) {
	onEach(t, nil, func(t *testing.T, s *scene) {
		s.inFlight(func() {
			s.setDialing(refuse)
			err := s.ping()
			s.wantDialError(err)
			if err == nil || !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("the cause is lost: %v", err)
			}
		})
		s.wantNotCleared()
	})
}

func TestADriverKeepsItsConnectionsWhileTheBreakerIsOpen(t *testing.T) {
	onEach(t, nil, func(t *testing.T, s *scene) {
		s.inFlight(func() {
			s.setDialing(refuse)
			s.eventually("the breaker opens", func() bool {
				s.wantDialError(s.ping())
				return s.dialer.Stats().Names[0].Endpoints[0].State != dialer.Closed
			})
			err := s.ping()
			s.wantDialError(err)
			if err == nil || !strings.Contains(err.Error(), "breaker open") {
				t.Errorf("the cause is lost: %v", err)
			}
			s.setDialing((&net.Dialer{}).DialContext)
			s.eventually("a probe finds the server back", func() bool { return s.ping() == nil })
		})
		s.wantNotCleared()
	})
}

func TestADriverKeepsItsConnectionsWhenNewOnesGetNoAnswer(t *testing.T) {
	quick := func(c *dialer.Config) { c.ConnectTimeout = 100 * time.Millisecond }
	onEach(t, quick, func(t *testing.T, s *scene) {
		s.inFlight(func() {
			s.setDialing(blackhole)
			// The driver dials anew for its monitor. When the monitor's time is over twice in a row, it cuts connections in
			// use; the dialer's time-outs must not be taken for that.
			s.conns[0].Close()
			s.eventually("the monitor dials three times", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.failed) >= 3
			})
			s.setDialing((&net.Dialer{}).DialContext)
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, a := range s.failed {
			if !errors.Is(a.Err, os.ErrDeadlineExceeded) {
				t.Errorf("%v is no time-out", a.Err)
			}
		}
		for _, c := range s.cleared {
			if c.inUse {
				t.Errorf("the driver cut connections in use for %v", c.err)
			}
		}
	})
}

var deadDNS = &net.DNSError{Err: "server misbehaving", Name: "mongodb-proxy", Server: "192.0.2.53:53", IsTemporary: true}

func TestADriverGoesOnWhileDNSIsDead(t *testing.T) {
	shortLived := func(c *dialer.Config) { c.Cache = resolve.CacheConfig{MinTTL: -1, MaxTTL: time.Nanosecond} }
	onEach(t, shortLived, func(t *testing.T, s *scene) {
		s.inFlight(func() {
			s.mu.Lock()
			s.dnsErr = deadDNS
			before := len(s.conns)
			s.mu.Unlock()
			if err := s.ping(); err != nil {
				t.Error(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.conns) <= before {
				t.Error("no connection was dialed")
			}
		})
		s.wantNotCleared()
	})
}

func TestADriverKeepsItsConnectionsWhenDNSIsDeadAndNoAnswerMayBeServedStale(t *testing.T) {
	forgetful := func(c *dialer.Config) {
		c.Cache = resolve.CacheConfig{MinTTL: -1, MaxTTL: time.Nanosecond, NegativeTTL: -1, MaxStale: -1}
	}
	onEach(t, forgetful, func(t *testing.T, s *scene) {
		s.inFlight(func() {
			s.mu.Lock()
			s.dnsErr = fmt.Errorf("ask DNS: %w", deadDNS)
			s.mu.Unlock()
			err := s.ping()
			s.wantDialError(err)
			if err == nil || !strings.Contains(err.Error(), deadDNS.Err) {
				t.Errorf("the cause is lost: %v", err)
			}
		})
		s.wantNotCleared()
	})
}

func TestADriverFindsAServerThatWasKilledAgain(t *testing.T) {
	onEach(t, nil, func(t *testing.T, s *scene) {
		addr := s.server.Addr()
		s.server.Kill()
		if err := s.ping(); err == nil {
			t.Error("a command of a dead server")
		}
		var err error
		s.eventually("the port is free", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.server, err = mongotest.Start(mongotest.Config{Addr: addr})
			return err == nil
		})
		begin := time.Now()
		s.eventually("commands get through", func() bool { return s.ping() == nil })
		t.Logf("%v after the server listened again", time.Since(begin).Round(time.Millisecond))
	})
}
