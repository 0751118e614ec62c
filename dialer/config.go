package dialer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
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

	// AttemptDelay is how long one endpoint may take before the next is tried beside it. Zero means 250 ms (RFC 8305,
	// section 5); negative means that the next is tried only when one has failed.
	AttemptDelay time.Duration

	// Breaker says when an endpoint is no longer dialed, and how it is found to be back.
	Breaker BreakerConfig

	// Spares says for how many dials of a logical name connections are kept ready. Default none. Not for nsqd, which waits
	// for a silent connection when it is stopped (nsqio/nsq#1534).
	Spares map[string]int

	// SpareIdle is how long a spare is kept, ± 10 %: servers and NATs drop silent connections. Zero means 60 s; negative
	// is refused.
	SpareIdle time.Duration

	// DrainAfter is how long connections in use live on when their endpoint has left the answer: two whole answers in a
	// row, at least 10 s and the first one's TTL apart and neither stale, lack it; a TTL that is unknown counts as 5 min.
	// Zero means 5 s; negative means that they are left alone.
	DrainAfter time.Duration

	// TLS secures the connections of logical names. Do, whose connections are its caller's, does not.
	TLS map[string]TLSConfig

	// Cache configures the cache of the Resolver's answers. It is not read if Resolver is a *resolve.Cache, which is
	// used as it is and stays the caller's to close.
	Cache resolve.CacheConfig

	// Faults makes dials fail as planned, for tests. Nil means none.
	Faults *Faults

	// Trace is called as dials go on. Nil means none.
	Trace *Trace

	// KeepAlive is set on every TCP connection. A zero Idle, Interval or Count means 15 s, 5 s and 3, with which a
	// vanished peer is noticed in 30 s on an idle connection; a negative Idle means no keepalive. Enable is not read.
	KeepAlive net.KeepAliveConfig

	// UserTimeout is how long sent data may stay unacknowledged before a TCP connection is given up, on Linux; keepalive
	// is silent in that time. Zero means 30 s, negative the system's own (about 15 min).
	UserTimeout time.Duration

	// Logger gets what names resolve to, whenever that changes, and on level debug the attempts that failed. Nil means
	// silent.
	Logger *slog.Logger
}

// BreakerConfig configures the breaker that each endpoint has. It opens after Failures failures in a row, or when at
// least Ratio of at least MinDials dials within Window failed. Then nobody dials the endpoint but the probe; its success
// closes the breaker.
type BreakerConfig struct {
	Failures int           // in a row; default 5; negative means no breaker
	Ratio    float64       // default 0.5; negative means that only the row counts
	MinDials int           // default 10
	Window   time.Duration // default 30 s

	// ProbeMin and ProbeMax are the shortest and the longest time between probes after failures that came at once
	// (refused, reset): random in between, so that a fleet does not come back in step. Default 100 ms and 1 s. After
	// silence the time is random in 0.5 to 1.5 times 1 s, doubling to 5 s.
	ProbeMin, ProbeMax time.Duration
	ProbeTimeout       time.Duration // of one probe; default 2 s
}

func (c BreakerConfig) withDefaults() BreakerConfig {
	c.Failures = cmp.Or(c.Failures, 5)
	c.Ratio = cmp.Or(c.Ratio, 0.5)
	if c.Ratio < 0 {
		c.Ratio = math.Inf(1)
	}
	c.MinDials = cmp.Or(c.MinDials, 10)
	c.Window = cmp.Or(c.Window, 30*time.Second)
	c.ProbeMin = cmp.Or(c.ProbeMin, 100*time.Millisecond)
	c.ProbeMax = max(cmp.Or(c.ProbeMax, time.Second), c.ProbeMin)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, 2*time.Second)
	return c
}

// Defaults of Config, with their reasons there.
const (
	defaultAttemptDelay      = 250 * time.Millisecond
	defaultConnectTimeout    = 5 * time.Second
	defaultBudget            = 15 * time.Second
	defaultKeepAliveIdle     = 15 * time.Second
	defaultKeepAliveInterval = 5 * time.Second
	defaultKeepAliveCount    = 3
	defaultUserTimeout       = 30 * time.Second
	defaultSpareIdle         = 60 * time.Second
	defaultDrainAfter        = 5 * time.Second
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
	c.AttemptDelay = cmp.Or(c.AttemptDelay, defaultAttemptDelay)
	c.Breaker = c.Breaker.withDefaults()
	if c.Trace == nil {
		c.Trace = &Trace{}
	}
	c.KeepAlive.Enable = c.KeepAlive.Idle >= 0
	c.KeepAlive.Idle = cmp.Or(c.KeepAlive.Idle, defaultKeepAliveIdle)
	c.KeepAlive.Interval = cmp.Or(c.KeepAlive.Interval, defaultKeepAliveInterval)
	c.KeepAlive.Count = cmp.Or(c.KeepAlive.Count, defaultKeepAliveCount)
	c.SpareIdle = cmp.Or(c.SpareIdle, defaultSpareIdle)
	c.DrainAfter = cmp.Or(c.DrainAfter, defaultDrainAfter)
	c.UserTimeout = cmp.Or(c.UserTimeout, defaultUserTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Cache.Logger == nil {
		c.Cache.Logger = c.Logger
	}
	return c
}

// maxSpares bounds the silent connections that one name may hold at a server.
const maxSpares = 100

// validate returns every impossible setting; name is what its user knows a field by.
func (c Config) validate(name func(field string) string) error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(name(field)+": "+format, args...))
	}
	if c.KeepAlive.Interval < 0 {
		bad("KeepAliveInterval", "%v is negative; a negative idle time turns keepalive off", c.KeepAlive.Interval)
	}
	if c.KeepAlive.Count < 0 {
		bad("KeepAliveCount", "%d is negative; a negative idle time turns keepalive off", c.KeepAlive.Count)
	}
	for _, spared := range slices.Sorted(maps.Keys(c.Spares)) {
		if n := c.Spares[spared]; n < 0 || n > maxSpares {
			bad("Spares", "%s=%d: the number is not 0 to %d", spared, n, maxSpares)
		}
	}
	if err := twice(c.Spares); err != nil {
		bad("Spares", "%w", err)
	}
	if err := twice(c.TLS); err != nil {
		bad("TLS", "%w", err)
	}
	if c.SpareIdle < 0 {
		bad("SpareIdle", "%v is negative", c.SpareIdle)
	}
	if err := validateFaults(c.Faults); err != nil {
		bad("Faults", "%w", err)
	}
	b := c.Breaker
	if b.MinDials < 0 || b.Window < 0 || b.ProbeMin < 0 || b.ProbeMax < 0 || b.ProbeTimeout < 0 {
		bad("Breaker", "only Failures and Ratio may be negative: %+v", b)
	}
	return errors.Join(errs...)
}

// variables are the settings that are read from the environment, next to those of resolve.FromEnv.
type variables struct {
	ConnectTimeout    time.Duration `env:"DIALER_CONNECT_TIMEOUT"`
	Budget            time.Duration `env:"DIALER_BUDGET"`
	KeepAliveIdle     time.Duration `env:"DIALER_KEEPALIVE_IDLE"`
	KeepAliveInterval time.Duration `env:"DIALER_KEEPALIVE_INTERVAL"`
	KeepAliveCount    int           `env:"DIALER_KEEPALIVE_COUNT"`
	AttemptDelay      time.Duration `env:"DIALER_ATTEMPT_DELAY"`
	UserTimeout       time.Duration `env:"DIALER_USER_TIMEOUT"`
	CacheFile         string        `env:"DIALER_CACHE_FILE"`
	Spares            string        `env:"DIALER_SPARES"`
	SpareIdle         time.Duration `env:"DIALER_SPARE_IDLE"`
	DrainAfter        time.Duration `env:"DIALER_DRAIN_AFTER"`
	TLS               string        `env:"DIALER_TLS"`
}

// ConfigFromEnv reads a Config from environ, which is in the form of os.Environ: where names are from DIAL_<NAME>,
// MAIN_SERVER_IP and DIALER_UNKNOWN (see resolve.FromEnv), the rest from DIALER_CONNECT_TIMEOUT, DIALER_BUDGET,
// DIALER_ATTEMPT_DELAY, DIALER_KEEPALIVE_IDLE, DIALER_KEEPALIVE_INTERVAL, DIALER_KEEPALIVE_COUNT, DIALER_USER_TIMEOUT,
// DIALER_CACHE_FILE, DIALER_SPARES, DIALER_SPARE_IDLE, DIALER_DRAIN_AFTER and DIALER_TLS. The error joins every bad
// variable, unknown DIALER_ settings among them.
func ConfigFromEnv(environment []string) (Config, error) {
	var v variables
	resolver, err := resolve.FromEnv(environment)
	err = errors.Join(err, environ.Parse(&v, environment))
	spares, sparesErr := parseSpares(v.Spares)
	secured, tlsErr := parseTLS(v.TLS)
	cfg := Config{
		Resolver:       resolver,
		ConnectTimeout: v.ConnectTimeout,
		Budget:         v.Budget,
		KeepAlive: net.KeepAliveConfig{
			Idle:     v.KeepAliveIdle,
			Interval: v.KeepAliveInterval,
			Count:    v.KeepAliveCount,
		},
		AttemptDelay: v.AttemptDelay,
		UserTimeout:  v.UserTimeout,
		Cache:        resolve.CacheConfig{File: v.CacheFile},
		Spares:       spares,
		SpareIdle:    v.SpareIdle,
		DrainAfter:   v.DrainAfter,
		TLS:          secured,
	}
	if err := errors.Join(err, sparesErr, tlsErr, cfg.validate(variable)); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// variable is what a field of variables is read from.
func variable(field string) string {
	f, _ := reflect.TypeFor[variables]().FieldByName(field)
	return f.Tag.Get("env")
}

// parseSpares reads mongodb-proxy=2,backend-proxy=1.
func parseSpares(text string) (map[string]int, error) {
	if text == "" {
		return nil, nil
	}
	spares := map[string]int{}
	for entry := range strings.SplitSeq(text, ",") {
		name, number, ok := strings.Cut(strings.TrimSpace(entry), "=")
		n, err := strconv.Atoi(number)
		if !ok || name == "" || err != nil {
			return nil, fmt.Errorf("DIALER_SPARES: %q is not name=number", entry)
		}
		if _, twice := spares[name]; twice {
			return nil, fmt.Errorf("DIALER_SPARES: %s stands there twice", name)
		}
		spares[name] = n
	}
	return spares, nil
}

// FromEnv returns a Dialer configured by the process's environment: see [ConfigFromEnv].
func FromEnv() (*Dialer, error) {
	cfg, err := ConfigFromEnv(os.Environ())
	if err != nil {
		return nil, err
	}
	return New(cfg)
}
