package nsqdial

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
)

// Consumer hands the messages of a channel to a handler, from every nsqd that has the topic. It is safe for concurrent
// use; Stop ends it.
//
// A handler that returns nil finishes its message, one that returns an error requeues it with go-nsq's default delay;
// it may answer by itself, or call DisableAutoResponse and answer later. While it runs its message is touched, so
// that nsqd's message time-out does not matter, only its max-msg-timeout. Beyond what go-nsq offers nothing is done
// behind the handler's back: no backoff, no limit of attempts.
//
// Two handlers never work on one message at a time. One that nsqd sends again while its handler runs, because its
// connection was lost or its time ran out, is answered by that handler; one whose answer was lost is answered again
// without a handler.
type Consumer struct {
	cfg     ConsumerConfig
	session sessionConfig
	handler nsq.Handler
	dialer  nsqDialer
	lookup  *lookup
	logger  *slog.Logger
	account *account

	ctx      context.Context // ends when Stop begins: no connection is made any more
	cancel   context.CancelFunc
	links    sync.WaitGroup // discovery, and what keeps up each connection
	handlers sync.WaitGroup

	giveUp     chan struct{} // closed when Stop's time is up
	giveUpOnce sync.Once
	givenUp    atomic.Int64 // messages that were requeued then

	received, finished, requeued atomic.Uint64

	mu   sync.Mutex // guards the field below; nothing is dialed, asked or logged under it
	seen discovery
}

// nsqDialer is what a Consumer needs of a [dialer.Dialer] and of what is behind it.
type nsqDialer struct {
	dial   dialFunc
	health func(address string) (dialer.Health, <-chan struct{})
}

// ConsumerStats is a snapshot of a Consumer.
type ConsumerStats struct {
	Connections int
	InFlight    int // messages that are being handled, or were and wait for their answer
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
	service := cfg.service(lookups)
	if len(cfg.NSQDs) == 0 && cfg.Dialer.Secures(service) {
		return nil, fmt.Errorf("nsqdial: Lookupds: the Dialer secures %s, and the nsqds that it advertises, which begin without TLS, "+
			"are looked for behind it: name NSQDs (NSQD_ADDRESS) to have them looked for there", service)
	}
	for _, address := range cfg.NSQDs {
		if err := notSecured(cfg.Dialer, "NSQDs", address); err != nil {
			return nil, err
		}
	}
	c := newConsumer(cfg, config, lookups, handler, nsqDialer{cfg.Dialer.Behind(service).DialContext, cfg.Dialer.Health})
	c.start()
	return c, nil
}

func newConsumer(cfg ConsumerConfig, config *nsq.Config, lookups *lookup, handler nsq.Handler, d nsqDialer) *Consumer {
	c := &Consumer{
		cfg:     cfg,
		handler: handler,
		dialer:  d,
		lookup:  lookups,
		logger:  orSilent(cfg.Logger).With("topic", cfg.Topic, "channel", cfg.Channel),
		account: newAccount(max(cfg.MaxInFlight, 1)),
		giveUp:  make(chan struct{}),
		seen:    newDiscovery(len(lookups.urls)),
	}
	c.session = sessionConfig{
		cfg:        config,
		subscribe:  nsq.Subscribe(cfg.Topic, cfg.Channel),
		onMessage:  c.onMessage,
		onAnswered: c.onAnswered,
		logger:     c.logger,
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *Consumer) start() {
	c.discover()
	c.links.Go(c.takeTurns)
}

// Stats returns a snapshot.
func (c *Consumer) Stats() ConsumerStats {
	sessions, messages := c.account.count()
	return ConsumerStats{
		Connections: sessions,
		InFlight:    messages,
		Received:    c.received.Load(),
		Finished:    c.finished.Load(),
		Requeued:    c.requeued.Load(),
	}
}

// Stop stops the intake, waits for the handlers, and closes the connections. When ctx ends first, the messages of the
// handlers that still run are requeued, for another consumer to take at once, and Stop returns an error that says how
// many; it does not wait for those handlers then.
func (c *Consumer) Stop(ctx context.Context) error {
	c.work(c.account.stop()...)
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
	if n := c.account.working(); n > 0 {
		return fmt.Errorf("nsqdial: stop: %d messages are still being handled whose connections were lost; nsqd delivers them again: %w", n, ctx.Err())
	}
	return nil
}
