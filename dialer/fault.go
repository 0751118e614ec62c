package dialer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// Faults is a plan of failures, for tests of programs that dial. What it does depends on Seed, on the order of the dials
// and on the time since New, and on nothing else. Its faults of resolving do not reach a Resolver that is a
// *resolve.Cache, which is asked as it is.
type Faults struct {
	Seed  uint64
	Rules []Fault // the first that matches holds
}

// Fault is one failure.
type Fault struct {
	Name, Addr string        // logical name (without a port) and ip:port; empty = any
	Kind       FaultKind     //
	Rate       float64       // share of dials or lookups that it hits; 0 = all
	After, For time.Duration // when it begins, counted from New, and how long it lasts; For 0 = for ever
	Bytes      int64         // Cut and Stall: after so many bytes were read
}

// FaultKind is what fails.
type FaultKind int

// The kinds of faults.
const (
	Refuse       FaultKind = iota // the dial is refused
	Blackhole                     // the dial gets no answer
	AcceptClose                   // the dial succeeds, and the connection is closed at once
	Cut                           // the connection is reset after Bytes were read
	Stall                         // the connection is silent after Bytes were read
	ResolveError                  // the name can't be resolved: the name server fails
	ResolveEmpty                  // the name resolves to nothing
)

func (k FaultKind) resolving() bool { return k == ResolveError || k == ResolveEmpty }

// faultPlan is Faults at work.
type faultPlan struct {
	rules []Fault
	start time.Time

	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

func newFaultPlan(f *Faults) *faultPlan {
	if f == nil {
		return nil
	}
	return &faultPlan{rules: f.Rules, start: time.Now(), rng: rand.New(rand.NewPCG(f.Seed, f.Seed))}
}

func validateFaults(f *Faults) error {
	if f == nil {
		return nil
	}
	for i, r := range f.Rules {
		if r.Kind < Refuse || r.Kind > ResolveEmpty || r.Rate < 0 || r.Rate > 1 || r.After < 0 || r.For < 0 || r.Bytes < 0 {
			return fmt.Errorf("rule %d is impossible: %+v", i, r)
		}
	}
	return nil
}

// hit returns the fault that holds now, if any.
func (p *faultPlan) hit(name, addr string, resolving bool) (Fault, bool) {
	if p == nil {
		return Fault{}, false
	}
	now := time.Since(p.start)
	for _, r := range p.rules {
		if r.Kind.resolving() != resolving || r.Name != "" && r.Name != name || r.Addr != "" && r.Addr != addr {
			continue
		}
		if now < r.After || r.For > 0 && now >= r.After+r.For {
			continue
		}
		if r.Rate > 0 {
			p.mu.Lock()
			miss := p.rng.Float64() >= r.Rate
			p.mu.Unlock()
			if miss {
				continue
			}
		}
		return r, true
	}
	return Fault{}, false
}

// dial is dialTCP under the plan.
func (p *faultPlan) dial(ctx context.Context, name, network, addr string, dial func() (net.Conn, error)) (net.Conn, error) {
	f, ok := p.hit(name, addr, false)
	if !ok {
		return dial()
	}
	fails := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: tcpAddr(addr), Err: err}
	}
	switch f.Kind {
	case Refuse:
		return fails(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case Blackhole:
		<-ctx.Done()
		return fails(ctx.Err())
	case AcceptClose:
		near, far := net.Pipe()
		return near, far.Close()
	}
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	return &faultyConn{Conn: conn, fault: f, left: f.Bytes}, nil
}

// faultyConn is cut or goes silent after some bytes.
type faultyConn struct {
	net.Conn
	fault Fault

	mu   sync.Mutex // guards left
	left int64
}

func (c *faultyConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	left := c.left
	c.mu.Unlock()
	if left == 0 {
		return c.fail()
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), left)])
	c.mu.Lock()
	c.left -= int64(n)
	c.mu.Unlock()
	return n, err
}

// fail resets the connection, or swallows what comes until a deadline or a close ends that.
func (c *faultyConn) fail() (int, error) {
	if c.fault.Kind == Cut {
		return 0, errors.Join(&net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: syscall.ECONNRESET}, c.Close())
	}
	if _, err := io.Copy(io.Discard, c.Conn); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// resolver returns r, which may be nil, under the plan.
func (p *faultPlan) resolver(r resolve.Resolver) resolve.Resolver {
	if p == nil || r == nil {
		return r
	}
	return &faultyResolver{r, p}
}

// faultyResolver fails under the plan.
type faultyResolver struct {
	resolve.Resolver
	plan *faultPlan
}

var errFault = errors.New("name server fails as planned")

func (r *faultyResolver) Resolve(ctx context.Context, host, port string) (resolve.Answer, error) {
	f, ok := r.plan.hit(host, "", true)
	switch {
	case ok && f.Kind == ResolveError:
		return resolve.Answer{}, fmt.Errorf("%s: %w", host, errFault)
	case ok:
		return resolve.Answer{Source: "fault plan"}, nil
	}
	return r.Resolver.Resolve(ctx, host, port)
}
