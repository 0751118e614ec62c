package resolve

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookupLimit ends one lookup. It is as long as one dial may take by default, so no caller's patience is cut.
	lookupLimit = 15 * time.Second
	// lookupPatience is how long a caller waits for a lookup while an older answer could be served (RFC 8767, section
	// 5, has 1.8 s).
	lookupPatience = 2 * time.Second
	// cacheIdle is how long a name stays in use after it was last asked for or watched.
	cacheIdle     = 10 * time.Minute
	maxCacheNames = 10_000
	maxCacheKey   = 512 // no name and port are longer
	// longestTTL is that of DNS (RFC 2181, section 8); no setting goes beyond it, so sums of times do not overflow.
	longestTTL = math.MaxInt32 * time.Second
)

// CacheConfig says how long a Cache keeps answers. The zero value has the defaults. How long an answer is fresh is
// spread at random by ± 10 %, so that a fleet does not ask all at once.
type CacheConfig struct {
	// MinTTL is the floor of a TTL; default 5 s, negative = none.
	MinTTL time.Duration
	// MaxTTL is the ceiling of a TTL, which goes before the floor; default 5 min, negative = none.
	MaxTTL time.Duration
	// UnknownTTL is for answers without a TTL; default 30 s, negative = such an answer is not kept: every Resolve
	// asks, though callers at the same time still share one lookup.
	UnknownTTL time.Duration
	// NegativeTTL is how long an error is kept, and the pace at which a name is asked for while its last good answer is
	// served stale; default 5 s, negative = errors are not kept (the pace is 5 s then).
	NegativeTTL time.Duration
	// MaxStale is how old a good answer may get when refreshes fail (RFC 8767); default 24 h, negative = an answer is not
	// served past its TTL, nor out of File.
	MaxStale time.Duration
	// File keeps the last good answers over a restart, until they are MaxStale old; empty = none. An answer out of it is
	// served as stale, after a lookup has failed or taken 2 s; its Source ends in "(from file)". Several processes may
	// not share one: each writes what it knows alone.
	File string
	// Logger is told, once, that File can't be written; nil = silent.
	Logger *slog.Logger
}

// withDefaults leaves zero where a setting is off.
func (cfg CacheConfig) withDefaults() CacheConfig {
	set := func(d *time.Duration, standard, negative time.Duration) {
		switch {
		case *d < 0:
			*d = negative
		case *d == 0:
			*d = standard
		default:
			*d = min(*d, longestTTL)
		}
	}
	set(&cfg.MinTTL, 5*time.Second, 0)
	set(&cfg.MaxTTL, 5*time.Minute, longestTTL)
	set(&cfg.UnknownTTL, 30*time.Second, 0)
	set(&cfg.NegativeTTL, 5*time.Second, 0)
	set(&cfg.MaxStale, 24*time.Hour, 0)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// Cache remembers the answers of another Resolver, and is one. It is safe for concurrent use.
//
// A name that was asked for or watched within the last 10 minutes is in use: the cache asks again before its answer
// runs out, at 80 % of its time, whether or not anybody asks meanwhile. Other names are forgotten, and the longest
// unused one where there would be more than 10 000.
//
// A lookup that fails, finds nothing or says ErrNotFound does not replace a good answer: that is served with Stale set
// for up to MaxStale, and also when a lookup takes longer than 2 s and the good answer has run out. An error is shown,
// and kept for a short time, where there is no good answer.
//
// Callers that want one name at one time share a lookup. It goes on when they give up, for at most 15 s, and has none of
// the values of their contexts. A name is handed to the resolver in the form in which it was first asked for.
//
// A cache has no goroutine of its own: its timer, its lookups and the writer of its file run when there is something to
// do. Close ends them.
type Cache struct {
	resolver Resolver
	cfg      CacheConfig
	start    time.Time
	ctx      context.Context // of all lookups
	cancel   context.CancelFunc
	running  sync.WaitGroup // lookups, the timer that is set, the writer of the file
	closing  sync.Once
	fileErr  error // why the whole file was not used

	mu     sync.RWMutex // nobody resolves, reads or writes a file under it
	closed bool
	names  map[cacheKey]*cacheName
	queue  cacheQueue // the same names, the one that is due first in front
	timer  *time.Timer

	// The fields below are used only if there is a file.
	shelf    map[cacheKey]filed // answers for names that nobody asks for
	unsaved  bool
	saving   bool
	saveDue  time.Duration // never unless unsaved answers wait for the timer
	writeErr error         // the first

	unwritable atomic.Bool // was told
}

// cacheKey is a name as it is compared: host in canonical form.
type cacheKey struct{ host, port string }

// NewCache returns a cache over r, which must end a lookup when its context ends. It reads cfg.File; what is wrong with
// that shows in the error of a Resolve that could have been answered out of it.
func NewCache(r Resolver, cfg CacheConfig) *Cache {
	c := &Cache{
		resolver: r,
		cfg:      cfg.withDefaults(),
		start:    time.Now(),
		names:    map[cacheKey]*cacheName{},
		saveDue:  never,
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.timer = time.AfterFunc(time.Hour, c.wake)
	c.timer.Stop()
	if c.cfg.File != "" {
		c.shelf, c.fileErr = loadAnswers(c.cfg.File, c.start, c.cfg.MaxStale)
	}
	return c
}

// now is the time since the start on the monotonic clock, which takes half as long to read as the time of day.
func (c *Cache) now() time.Duration {
	return time.Since(c.start)
}

// Resolve answers from the cache, or asks and waits: as long as ctx lasts, but at most 2 s where an older answer can be
// served. ctx says nothing about the lookup, which others may wait for as well. After Close the error wraps
// net.ErrClosed.
func (c *Cache) Resolve(ctx context.Context, host, port string) (Answer, error) {
	key := cacheKey{canonical(host), port}
	now := c.now()
	c.mu.RLock()
	n := c.names[key] // nil after Close
	c.mu.RUnlock()
	if n != nil {
		if v := n.verdict.Load(); v.lasts(now) {
			n.used.Store(int64(now))
			return v.answer, v.err
		}
	}
	return c.ask(ctx, key, host)
}

// ask joins the lookup of a name, or begins it.
func (c *Cache) ask(ctx context.Context, key cacheKey, host string) (Answer, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, resolveError(host, key.port, err)
	}
	if len(host)+len(key.port) > maxCacheKey {
		return Answer{}, fmt.Errorf("%w: a host name has 1 to 253 characters", ErrNotFound)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Answer{}, resolveError(host, key.port, errCacheClosed)
	}
	n, v := c.useLocked(key, host)
	call := n.call
	c.armLocked()
	c.mu.Unlock()

	if v != nil {
		return v.answer, v.err
	}
	select {
	case <-call.settled:
		return call.verdict.answer, call.verdict.err
	case <-ctx.Done():
		return Answer{}, resolveError(host, key.port, ctx.Err())
	case <-c.ctx.Done(): // a resolver may be slow to see it
		return Answer{}, resolveError(host, key.port, errCacheClosed)
	}
}

// Refresh asks for a name again now, in the background, however fresh its answer: for a caller that found that the
// answer does not work. It does so at most once per second and name, not while a lookup of the name is in flight, and
// not for a name that is not in the cache. It does not count as asking for the name.
func (c *Cache) Refresh(host, port string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	n := c.names[cacheKey{canonical(host), port}] // nil after Close
	if n == nil || n.call != nil || now-n.refreshed < time.Second {
		return
	}
	n.refreshed = now
	c.lookUpLocked(n, now)
	c.armLocked()
}

// Watch returns what is known of a name, and a channel that is closed when that has other endpoints: other addresses,
// priorities or weights, in whatever order. An answer without endpoints is the zero Answer: nothing is known yet, or the
// lookup failed. The first Watch of a name begins its lookup in the background.
//
// A call keeps the name in use for 10 minutes. The channel is closed at the end of that, too, if the name is dropped
// from the cache, so a watcher that calls Watch again each time misses nothing. Close closes the channel as well;
// after Close, Watch returns a closed one.
func (c *Cache) Watch(host, port string) (Answer, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		closed := make(chan struct{})
		close(closed)
		return Answer{}, closed
	}
	n := c.watchLocked(host, port)
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return c.presentLocked(n), n.changed
}

// Follow returns the last good answer that a lookup of a name brought, when it came, and a channel that is closed when the
// next one comes, whether or not that says the same: for who has to tell an answer that was given twice from one that was
// read twice. Without such an answer the time is zero; one out of the file is none. After Close the channel is nil. In all
// else Follow is as Watch.
func (c *Cache) Follow(host, port string) (Answer, time.Time, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return Answer{}, time.Time{}, nil
	}
	n := c.watchLocked(host, port)
	if n.answered == nil {
		n.answered = make(chan struct{})
	}
	if n.good == nil || n.good.fromFile {
		return Answer{}, time.Time{}, n.answered
	}
	return n.good.answer, n.good.at, n.answered
}

// watchLocked returns the state of a name that somebody watches from now on. Only a new name is asked for at once: an
// answer that is not kept would be asked for by each call, and each answer be followed by a call.
func (c *Cache) watchLocked(host, port string) *cacheName {
	now := c.now()
	n := c.names[cacheKey{canonical(host), port}]
	if n == nil {
		n, _ = c.useLocked(cacheKey{canonical(host), port}, host)
	}
	n.used.Store(int64(now))
	n.watched = now
	if v := n.verdict.Load(); n.next == never && v != nil {
		n.next = max(v.until, now) // nobody watched when the answer came
	}
	c.scheduleLocked(n)
	c.armLocked()
	return n
}

// Close ends the lookups in flight, waits for them, and writes the file if it lacks something. Its error is the first
// one of writing the file, now or before. Further calls wait for the first and return the same.
func (c *Cache) Close() error {
	c.closing.Do(func() {
		c.mu.Lock()
		c.closed = true
		last := c.filedLocked()
		for _, n := range c.names {
			notify(&n.changed)
			notify(&n.answered)
		}
		c.names, c.queue, c.shelf = nil, nil, nil
		c.armLocked()
		c.mu.Unlock()

		c.cancel()
		c.running.Wait()
		if c.unsaved { // the goroutines that share it have ended
			c.writeErr = cmp.Or(c.writeErr, saveAnswers(c.cfg.File, last))
		}
	})
	return c.writeErr
}

func (c *Cache) named() Resolver { return Named(c.resolver) }

func resolveError(host, port string, err error) error {
	return fmt.Errorf("resolve %s: %w", net.JoinHostPort(host, port), err)
}

var errCacheClosed = fmt.Errorf("the cache is closed: %w", net.ErrClosed)
