package nsqdial

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsqio/go-nsq"
)

// Consumer hands the messages of a channel to a handler, from every nsqd that has the topic. It is safe for concurrent
// use; Stop ends it.
//
// A handler that returns nil finishes its message, one that returns an error requeues it with go-nsq's default delay;
// it may answer by itself, or call DisableAutoResponse and answer later. While it runs its message is touched, so
// that nsqd's message time-out does not matter, only its max-msg-timeout. Beyond what go-nsq offers nothing is done
// behind the handler's back: no backoff, no limit of attempts.
type Consumer struct {
	cfg     ConsumerConfig
	session sessionConfig
	handler nsq.Handler
	dial    dialFunc
	logger  *slog.Logger

	ctx    context.Context // ends when Stop begins: no connection is made any more
	cancel context.CancelFunc
	links  sync.WaitGroup // discovery, and what keeps up each connection
	nudge  chan struct{}  // a connection was lost: ask the lookupds

	giveUp     chan struct{} // closed when Stop's time is up
	giveUpOnce sync.Once
	givenUp    atomic.Int64 // messages that were requeued then

	received, finished, requeued atomic.Uint64

	mu       sync.Mutex       // guards the fields below; nothing is dialed, sent or handled under it
	wanted   map[string]*link // by address
	max      int              // messages in flight that are asked for; 0 = paused
	turn     int              // which session comes first where they can't have equal shares
	sessions []*session       // connected
	handling map[*nsq.Message]*session
	waiting  []*nsq.Message // delivered beyond max, which happens when max shrinks
	handlers sync.WaitGroup
}

// link keeps up the connection to one nsqd.
type link struct {
	cancel context.CancelFunc
	direct bool // from NSQDs, not from a lookupd
}

// ConsumerStats is a snapshot of a Consumer.
type ConsumerStats struct {
	Connections int
	InFlight    int // messages that are being handled
	Received    uint64
	Finished    uint64
	Requeued    uint64
}

// NewConsumer starts a Consumer and returns at once: a server that is down is tried until it is up. The error names the
// field of cfg that is wrong.
func NewConsumer(cfg ConsumerConfig, handler nsq.Handler) (*Consumer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	config, err := nsqConfig(cfg.NSQ)
	if err != nil {
		return nil, err
	}
	lookups, err := newLookup(cfg.Dialer, cfg.Lookupds, cfg.Topic)
	if err != nil {
		return nil, err
	}
	logger := orSilent(cfg.Logger).With("topic", cfg.Topic, "channel", cfg.Channel)
	c := &Consumer{
		cfg:      cfg,
		handler:  handler,
		logger:   logger,
		dial:     cfg.Dialer.Behind(cfg.service(lookups)).DialContext,
		nudge:    make(chan struct{}, 1),
		giveUp:   make(chan struct{}),
		max:      max(cfg.MaxInFlight, 1),
		wanted:   map[string]*link{},
		handling: map[*nsq.Message]*session{},
	}
	c.session = sessionConfig{
		cfg:        config,
		subscribe:  nsq.Subscribe(cfg.Topic, cfg.Channel),
		onMessage:  c.onMessage,
		onAnswered: c.onAnswered,
		logger:     logger,
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.links.Go(func() { c.discover(lookups) })
	c.links.Go(c.takeTurns)
	return c, nil
}

// keepUp holds a connection to one nsqd, and makes it again when it is lost, until ctx ends.
func (c *Consumer) keepUp(ctx context.Context, address string) {
	failures := 0
	for ctx.Err() == nil {
		s, err := c.session.open(ctx, c.dial, address)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if failures++; failures == 1 {
				c.logger.Warn("nsqd can't be consumed; it is tried again", "nsqd", address, "error", err)
			}
			pause(ctx, failures)
			continue
		}
		failures = 0
		c.logger.Info("consuming", "nsqd", address, "endpoint", s.remote)
		c.serve(ctx, s)
		if ctx.Err() == nil {
			c.logger.Warn("connection lost", "nsqd", address, "error", s.lost())
		}
	}
}

// pause waits 0.1 to 1 s after a failure, up to five times as long after many, at random.
func pause(ctx context.Context, failures int) {
	timer := time.NewTimer((100*time.Millisecond + rand.N(900*time.Millisecond)) * time.Duration(min(failures, 5)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serve takes messages from s until it is lost, or, once ctx has ended, until those that it has are answered.
func (c *Consumer) serve(ctx context.Context, s *session) {
	c.join(s)
	select {
	case <-s.done:
		c.leave(s)
		c.takeWaiting(s) // nsqd delivers them again
		s.close()
		select {
		case c.nudge <- struct{}{}:
		default:
		}
	case <-ctx.Done():
		// After CLS nsqd sends nothing new, and takes the answers to what it has sent.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = s.ask(closing, nsq.StartClose()) // without an answer the connection ends all the same
		cancel()
		c.leave(s)
		// Not before: nsqd would deliver it here again.
		c.requeue(c.takeWaiting(s))
		select {
		case <-s.drained():
		case <-s.done:
		case <-c.giveUp:
			c.givenUp.Add(int64(c.requeue(s.unanswered())))
		}
		s.finish()
	}
}

// Stats returns a snapshot.
func (c *Consumer) Stats() ConsumerStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ConsumerStats{
		Connections: len(c.sessions),
		InFlight:    len(c.handling) + len(c.waiting),
		Received:    c.received.Load(),
		Finished:    c.finished.Load(),
		Requeued:    c.requeued.Load(),
	}
}

// Stop stops the intake, waits for the handlers, and closes the connections. When ctx ends first, the messages of the
// handlers that still run are requeued, for another consumer to take at once, and Stop returns an error that says how
// many; it does not wait for those handlers then.
func (c *Consumer) Stop(ctx context.Context) error {
	c.cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.links.Wait()
		c.handlers.Wait()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
	}
	c.giveUpOnce.Do(func() { close(c.giveUp) })
	c.links.Wait()
	if n := c.givenUp.Load(); n > 0 {
		return fmt.Errorf("nsqdial: stop: %d messages were still being handled and went back to the queue: %w", n, ctx.Err())
	}
	return nil
}

// takeWaiting returns the messages of s that no handler has taken, and lets none wait any more.
func (c *Consumer) takeWaiting(s *session) (messages []*nsq.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.closing = true
	c.waiting = slices.DeleteFunc(c.waiting, func(m *nsq.Message) bool {
		of := sessionOf(m) == s
		if of {
			messages = append(messages, m)
		}
		return of
	})
	return messages
}

// requeue gives back the messages that are not answered.
func (c *Consumer) requeue(messages []*nsq.Message) (requeued int) {
	for _, m := range messages {
		if !m.HasResponded() {
			m.RequeueWithoutBackoff(0)
			requeued++
		}
	}
	return requeued
}
