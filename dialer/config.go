package dialer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/gvpocr/worker/internal/environ"
	"github.com/gvpocr/worker/resolve"
)

// Config says how to dial. Its zero value works: it dials what ordinary DNS knows, with the defaults below.
type Config struct {
	// Resolver turns names into endpoints. Nil means resolve.System(nil). Host names in its answers are turned into
	// addresses before they are dialed.
	Resolver resolve.Resolver

	// DialFunc opens a connection to addr, which is ip:port. Nil means a net.Dialer's.
	DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

	// ConnectTimeout bounds one attempt at one endpoint. Zero means 5 s, which survives two lost SYNs; negative means
	// that only the budget bounds it.
	ConnectTimeout time.Duration

	// Budget bounds one dial with all its attempts and the waits between them, and so does the caller's context. Zero
	// means 15 s, which ends before the MongoDB driver gives up its server selection (30 s); negative means one pass
	// over the endpoints without waiting.
	Budget time.Duration

	// KeepAlive is set on every TCP connection. A zero Idle, Interval or Count means 15 s, 5 s and 3, with which a
	// vanished peer is noticed in 30 s on an idle connection; a negative Idle means no keepalive. Enable is not read.
	KeepAlive net.KeepAliveConfig

	// Logger gets what names resolve to, whenever that changes, and on level debug the attempts that failed. Nil means
	// silent.
	Logger *slog.Logger
}

// Defaults of Config, with their reasons there.
const (
	defaultConnectTimeout    = 5 * time.Second
	defaultBudget            = 15 * time.Second
	defaultKeepAliveIdle     = 15 * time.Second
	defaultKeepAliveInterval = 5 * time.Second
	defaultKeepAliveCount    = 3
)

func (c Config) withDefaults() Config {
	if c.Resolver == nil {
		c.Resolver = resolve.System(nil)
	}
	if c.DialFunc == nil {
		// No keepalive of net.Dialer's own: tune sets ours on what any DialFunc returns.
		c.DialFunc = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, defaultConnectTimeout)
	c.Budget = cmp.Or(c.Budget, defaultBudget)
	c.KeepAlive.Enable = c.KeepAlive.Idle >= 0
	c.KeepAlive.Idle = cmp.Or(c.KeepAlive.Idle, defaultKeepAliveIdle)
	c.KeepAlive.Interval = cmp.Or(c.KeepAlive.Interval, defaultKeepAliveInterval)
	c.KeepAlive.Count = cmp.Or(c.KeepAlive.Count, defaultKeepAliveCount)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	if c.KeepAlive.Interval < 0 || c.KeepAlive.Count < 0 {
		return fmt.Errorf("dialer: KeepAlive: Interval %v and Count %d must not be negative (a negative Idle turns keepalive off)",
			c.KeepAlive.Interval, c.KeepAlive.Count)
	}
	return nil
}

// variables are the settings that are read from the environment, next to those of resolve.FromEnv.
type variables struct {
	ConnectTimeout    time.Duration `env:"DIALER_CONNECT_TIMEOUT"`
	Budget            time.Duration `env:"DIALER_BUDGET"`
	KeepAliveIdle     time.Duration `env:"DIALER_KEEPALIVE_IDLE"`
	KeepAliveInterval time.Duration `env:"DIALER_KEEPALIVE_INTERVAL"`
	KeepAliveCount    int           `env:"DIALER_KEEPALIVE_COUNT"`
}

// ConfigFromEnv reads a Config from environ, which is in the form of os.Environ: where names are from DIAL_<NAME>,
// MAIN_SERVER_IP and DIALER_UNKNOWN (see resolve.FromEnv), the rest from DIALER_CONNECT_TIMEOUT, DIALER_BUDGET,
// DIALER_KEEPALIVE_IDLE, DIALER_KEEPALIVE_INTERVAL and DIALER_KEEPALIVE_COUNT. The error joins every bad variable,
// unknown DIALER_ settings among them.
func ConfigFromEnv(environment []string) (Config, error) {
	var v variables
	resolver, err := resolve.FromEnv(environment)
	if err := errors.Join(err, environ.Parse(&v, environment)); err != nil {
		return Config{}, err
	}
	cfg := Config{
		Resolver:       resolver,
		ConnectTimeout: v.ConnectTimeout,
		Budget:         v.Budget,
		KeepAlive: net.KeepAliveConfig{
			Idle:     v.KeepAliveIdle,
			Interval: v.KeepAliveInterval,
			Count:    v.KeepAliveCount,
		},
	}
	if err := cfg.validate(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// FromEnv returns a Dialer configured by the process's environment: see [ConfigFromEnv].
func FromEnv() (*Dialer, error) {
	cfg, err := ConfigFromEnv(os.Environ())
	if err != nil {
		return nil, err
	}
	return New(cfg)
}
