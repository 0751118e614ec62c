package check

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/resolve"
)

// line is the way to one endpoint: a dialer that knows nothing else, and what happened on its connections.
type line struct {
	dialer *dialer.Dialer
	again  func(context.Context) (net.Conn, error) // connects once more, unheard and without TLS

	mu       sync.Mutex // guards the fields below
	dialed   bool
	err      error         // of the last TCP connect
	duration time.Duration // of the first TCP connect
	heard    bool          // a byte came
	closed   bool          // it was closed before one did
}

// only resolves every name to one endpoint.
type only string

func (o only) Resolve(context.Context, string, string) (resolve.Answer, error) {
	return resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: string(o), Weight: 1}}, Source: "check"}, nil
}

func (c *checker) line(addr string) (*line, error) {
	l := &line{}
	cfg := c.cfg.Dialer
	cfg.Resolver = only(addr)
	base := cfg.DialFunc
	if base == nil {
		base = (&net.Dialer{}).DialContext
	}
	l.again = func(ctx context.Context) (net.Conn, error) { return base(ctx, "tcp", addr) }
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		begin := time.Now()
		conn, err := base(ctx, network, addr)
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.dialed {
			l.duration = time.Since(begin)
		}
		l.dialed, l.err = true, err
		if err != nil {
			return nil, err
		}
		return &overheard{conn, l}, nil
	}
	var err error
	l.dialer, err = dialer.New(cfg)
	return l, err
}

func (l *line) close() { l.dialer.Close() }

// connected reports whether TCP connected.
func (l *line) connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dialed && l.err == nil
}

// connectError is why TCP did not connect: TCP's own error, or that of the dial which did not get so far.
func (l *line) connectError(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	return err
}

func (l *line) took() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.duration
}

// closedAtOnce reports whether a connection was accepted and closed before it said a word.
func (l *line) closedAtOnce() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed && !l.heard
}

// overheard is a connection that tells its line what happens on it.
type overheard struct {
	net.Conn
	line *line
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	o.line.mu.Lock()
	defer o.line.mu.Unlock()
	o.line.heard = o.line.heard || n > 0
	o.line.closed = o.line.closed || hungUp(err)
	return n, err
}

func (o *overheard) Write(p []byte) (int, error) {
	n, err := o.Conn.Write(p)
	if hungUp(err) {
		o.line.mu.Lock()
		defer o.line.mu.Unlock()
		o.line.closed = true
	}
	return n, err
}

// hungUp reports whether the other side closed.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
