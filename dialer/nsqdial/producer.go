package nsqdial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/nsqio/go-nsq"
)

// Producer publishes to an nsqd. It connects with the first message, and again when a connection is lost, each time to
// where the dialer finds the nsqd then. It is safe for concurrent use; Close ends it.
type Producer struct {
	address string
	session sessionConfig
	dial    dialFunc
	logger  *slog.Logger

	turn     chan struct{} // held by the one who connects, so that no lock is held over the network
	retiring sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	current *session
	closed  bool
}

// NewProducer returns a Producer. It opens no connection. The error names the field of cfg that is wrong.
func NewProducer(cfg ProducerConfig) (*Producer, error) {
	if cfg.Dialer == nil {
		return nil, errors.New("nsqdial: Dialer is nil")
	}
	if _, _, err := net.SplitHostPort(cfg.NSQD); err != nil {
		return nil, fmt.Errorf("nsqdial: NSQD: %w", err)
	}
	if err := notSecured(cfg.Dialer, "NSQD", cfg.NSQD); err != nil {
		return nil, err
	}
	config, err := nsqConfig(cfg.NSQ)
	if err != nil {
		return nil, err
	}
	logger := orSilent(cfg.Logger)
	return &Producer{
		address: cfg.NSQD,
		session: sessionConfig{cfg: config, logger: logger},
		dial:    cfg.Dialer.DialContext,
		logger:  logger,
		turn:    make(chan struct{}, 1),
	}, nil
}

// Publish publishes body and returns when nsqd has taken it. If a connection that stood idle turns out to be dead, it
// connects again and publishes once more; nsqd may then have the message twice. The errors are a *dialer.DialError,
// a *[ServerError], [ErrLost], ctx's error, and net.ErrClosed after Close.
func (p *Producer) Publish(ctx context.Context, topic string, body []byte) error {
	return p.publish(ctx, topic, 0, body)
}

// PublishDeferred is Publish for a message that nsqd delivers no sooner than delay from now; nsqd allows up to an hour,
// by default.
func (p *Producer) PublishDeferred(ctx context.Context, topic string, delay time.Duration, body []byte) error {
	return p.publish(ctx, topic, delay, body)
}

func (p *Producer) publish(ctx context.Context, topic string, delay time.Duration, body []byte) error {
	if !nsq.IsValidTopicName(topic) {
		return fmt.Errorf("nsqdial: publish: %q is not a valid topic name", topic)
	}
	cmd := publishCommand(topic, delay, body)
	for again := false; ; again = true {
		s, fresh, err := p.connect(ctx)
		if err != nil {
			return fmt.Errorf("nsqdial: publish to %s: %w", topic, err)
		}
		err = s.ask(ctx, cmd)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrLost) && !fresh && !again && ctx.Err() == nil:
			p.logger.Debug("connection lost; publishing again", "nsqd", p.address, "error", err)
		default:
			return fmt.Errorf("nsqdial: publish to %s: %w", topic, err)
		}
	}
}

// connect returns the connection, and whether it was made for this call.
func (p *Producer) connect(ctx context.Context) (s *session, fresh bool, err error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	old, err := p.take()
	if err != nil {
		return nil, false, err
	}
	switch {
	case old == nil:
	case closed(old.done):
		old.close()
	case closed(old.leaving()):
		// The nsqd has moved. Until there is a connection to the new place, the old one still serves.
		moving, cancel := context.WithTimeout(ctx, moveTimeout)
		defer cancel()
		if s, err := p.open(moving); err == nil {
			p.retiring.Go(old.finish)
			return s, true, nil
		}
		return old, false, nil
	default:
		return old, false, nil
	}
	s, err = p.open(ctx)
	return s, err == nil, err
}

// moveTimeout is less than the dialer leaves a connection whose endpoint is no longer the name's.
const moveTimeout = time.Second

// open makes the current connection.
func (p *Producer) open(ctx context.Context) (*session, error) {
	s, err := p.session.open(ctx, p.dial, p.address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	closed := p.closed
	p.current = s
	p.mu.Unlock()
	if closed {
		s.close()
		return nil, net.ErrClosed
	}
	return s, nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (p *Producer) take() (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	return p.current, nil
}

// Close closes the connection after what was being written, and waits for its goroutines. A second Close does nothing.
func (p *Producer) Close() error {
	p.mu.Lock()
	s := p.current
	done := p.closed
	p.closed = true
	p.mu.Unlock()
	if s != nil && !done {
		s.finish()
	}
	p.retiring.Wait()
	return nil
}
