package nsqdial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
)

// ConsumerConfig says what to consume and where to find it. Dialer, Topic, Channel and one of Lookupds and NSQDs are
// required.
type ConsumerConfig struct {
	Dialer         *dialer.Dialer
	Topic, Channel string

	// Lookupds are the HTTP addresses of nsqlookupds, host:port, with http:// or without.
	Lookupds []string

	// NSQDs are the TCP addresses of nsqds. They are consumed directly if there is no lookupd, or if nothing is connected
	// and no lookupd has answered for 5 s, until one does. The first one's name is what advertised names are looked for
	// behind; without one it is the first lookupd's.
	NSQDs []string

	// MaxInFlight is how many messages are handled at a time, over all connections and those that were lost. Zero
	// means 1.
	MaxInFlight int

	// NSQ is go-nsq's configuration; it is copied. Nil means NewConfig(). TLS is never below 1.2, and an nsqd that does not
	// offer the TLS that is asked for is refused; it is verified against TlsConfig.ServerName or, without one, the host
	// name that it is dialed by. Not read: MaxAttempts, since no message is ever finished but by its handler;
	// MaxInFlight; DialTimeout, LocalAddr, which are the Dialer's; LookupdAuthorization, since that would show the secret
	// to anybody on the way; and what belongs to go-nsq's backoff and polling, which the Consumer does not have, apart
	// from LookupdPollInterval: how often the lookupds are asked while no connection is missing.
	NSQ *nsq.Config

	// Connected is called with the address of each nsqd that has been connected to, before the first message is taken from it:
	// who keeps results at the same server can look there whether that has moved. Attached returns what it returns for each
	// message of the connection; ended, if it is not nil, is called once no more come. It is called for several connections at a
	// time. Nil means nothing.
	//
	// Where one answer says that an nsqd is elsewhere, and no second one has confirmed it yet, it is consumed at both places.
	// Then beside is what was attached to the connection to the old place. Connected can wait there for what has to move
	// with nsqd; ctx ends when it is sure that nsqd has moved, or the connection is of no use any more.
	Connected func(ctx context.Context, nsqd string, beside any) (attached any, ended func())

	// Logger gets connections made and lost. Nil means silent.
	Logger *slog.Logger
}

// ProducerConfig says where to publish. Dialer and NSQD are required.
type ProducerConfig struct {
	Dialer *dialer.Dialer
	NSQD   string       // TCP address
	NSQ    *nsq.Config  // as in ConsumerConfig
	Logger *slog.Logger // nil means silent
}

func (c ConsumerConfig) validate() error {
	switch {
	case c.Dialer == nil:
		return errors.New("nsqdial: Dialer is nil")
	case !nsq.IsValidTopicName(c.Topic):
		return fmt.Errorf("nsqdial: Topic: %q is not a valid name", c.Topic)
	case !nsq.IsValidChannelName(c.Channel):
		return fmt.Errorf("nsqdial: Channel: %q is not a valid name", c.Channel)
	case len(c.Lookupds)+len(c.NSQDs) == 0:
		return errors.New("nsqdial: neither Lookupds nor NSQDs: there is nothing to consume from")
	case c.MaxInFlight < 0:
		return fmt.Errorf("nsqdial: MaxInFlight: %d is negative", c.MaxInFlight)
	}
	for _, addr := range c.NSQDs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("nsqdial: NSQDs: %w", err)
		}
	}
	return nil
}

// NewConfig is nsq.NewConfig with HeartbeatInterval 10 s and ReadTimeout 25 s (a vanished nsqd would be seen after
// 60 s), WriteTimeout 5 s (1 s is short for a large body over a slow link) and OutputBufferTimeout 25 ms (by which nsqd
// delays a message that is alone; go-nsq asks for 250).
func NewConfig() *nsq.Config {
	cfg := nsq.NewConfig()
	cfg.HeartbeatInterval = 10 * time.Second
	cfg.ReadTimeout = 25 * time.Second
	cfg.WriteTimeout = 5 * time.Second
	cfg.OutputBufferTimeout = 25 * time.Millisecond
	return cfg
}

// nsqConfig returns a private copy of cfg.
func nsqConfig(cfg *nsq.Config) (*nsq.Config, error) {
	if cfg == nil {
		return NewConfig(), nil
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("nsqdial: NSQ: %w", err)
	}
	private := *cfg
	return &private, nil
}

func orSilent(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
