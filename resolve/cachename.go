package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// cacheName is what a cache knows of one name. Times are since the cache's start.
type cacheName struct {
	key  cacheKey
	host string // as it was asked for

	verdict atomic.Pointer[verdict] // nil until the first lookup has ended
	used    atomic.Int64            // when it was last asked for or watched

	// Guarded by Cache.mu.
	good      *filed        // the last good answer; nil = none
	fresh     time.Duration // when its TTL is over
	note      error         // why the file has no answer for the name
	call      *cacheCall    // the lookup in flight; nil = none
	next      time.Duration // when to ask again unasked
	watched   time.Duration
	refreshed time.Duration // when Refresh last began a lookup
	changed   chan struct{} // nil = nobody watches
	answered  chan struct{} // nil = nobody follows
	due       time.Duration // when the timer is to look at the name
	index     int           // in the queue; -1 = dropped
}

// filed is a good answer with the time that it came.
type filed struct {
	answer   Answer
	at       time.Time
	saved    time.Time // the time that the file has, or will have
	fromFile bool
	unusable error // why an answer of the file can't be used; nil = it can
}

// verdict is what callers are told until a time. It does not change.
type verdict struct {
	answer Answer
	err    error
	until  time.Duration
}

func (v *verdict) lasts(now time.Duration) bool {
	return v != nil && now < v.until
}

// cacheCall is a lookup in flight. It is settled when it ends, or before that with an older answer.
type cacheCall struct {
	begun   time.Duration
	late    bool // has taken longer than an older answer could wait for
	settled chan struct{}
	verdict *verdict // nil until it is settled
}

func (c *cacheCall) settleLocked(v *verdict) {
	if c.verdict == nil {
		c.verdict = v
		close(c.settled)
	}
}

// useLocked returns the state of a name, which is in use from now on, and what callers are to be told; nil if they have to
// wait for the lookup in flight.
func (c *Cache) useLocked(key cacheKey, host string) (*cacheName, *verdict) {
	now := c.now()
	n := c.names[key]
	if n == nil {
		if len(c.names) >= maxCacheNames {
			c.dropLocked(slices.MinFunc(c.queue, func(a, b *cacheName) int { return cmp.Compare(a.used.Load(), b.used.Load()) }))
		}
		n = &cacheName{key: key, host: host, next: never, watched: -cacheIdle, refreshed: now - time.Second}
		if f, ok := c.shelf[key]; ok {
			delete(c.shelf, key)
			if n.note = f.unusable; n.note == nil {
				n.good = &f
			}
		}
		c.names[key] = n
		c.enqueueLocked(n)
	}
	n.used.Store(int64(now))
	if v := n.verdict.Load(); v.lasts(now) {
		return n, v
	}
	if n.call == nil {
		c.lookUpLocked(n, now)
		if v := n.verdict.Load(); v.lasts(now) {
			return n, v
		}
	}
	return n, nil
}

// dropLocked forgets a name. A lookup in flight still answers those who wait for it.
func (c *Cache) dropLocked(n *cacheName) {
	delete(c.names, n.key)
	c.dequeueLocked(n)
	notify(&n.changed)
	notify(&n.answered)
	if c.shelf != nil && n.good != nil && len(c.shelf) < maxCacheNames {
		c.shelf[n.key] = *n.good
	}
}

// lookUpLocked begins a lookup. Nobody waits for it where callers are being told a stale answer already.
func (c *Cache) lookUpLocked(n *cacheName, now time.Duration) {
	n.call = &cacheCall{begun: now, settled: make(chan struct{})}
	if v := n.verdict.Load(); v != nil && v.answer.Stale {
		c.serveStaleLocked(n, now, never)
	}
	c.scheduleLocked(n)
	c.running.Add(1)
	go c.lookUp(n, n.call)
}

func (c *Cache) lookUp(n *cacheName, call *cacheCall) {
	defer c.running.Done()
	ctx, cancel := context.WithTimeout(c.ctx, lookupLimit)
	defer cancel()
	answer, err := c.resolver.Resolve(ctx, n.host, n.key.port)
	switch {
	case err == nil && len(answer.Endpoints) == 0:
		err = resolveError(n.host, n.key.port, fmt.Errorf("%s gave no endpoint", cmp.Or(answer.Source, "the resolver")))
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		// The end of the lookup's context must not look like that of a caller's.
		err = resolveError(n.host, n.key.port, fmt.Errorf("no answer in %v: %w", lookupLimit, os.ErrDeadlineExceeded))
	}
	c.finish(n, call, answer, err)
}

// finish takes in the result of a lookup.
func (c *Cache) finish(n *cacheName, call *cacheCall, answer Answer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n.call = nil
	if c.closed { // those who wait have seen it, or are about to
		return
	}
	now := c.now()
	if err == nil {
		c.acceptLocked(n, answer, now)
	} else if n.next = now + c.pace(); errors.Is(err, ErrAbsent) || !c.serveStaleLocked(n, now, n.next) {
		// Whoever keeps the domain says that the service is no more: no older answer stands against that.
		c.rejectLocked(n, err, now)
	}
	call.settleLocked(n.verdict.Load())
	c.scheduleLocked(n)
	c.armLocked()
}

// acceptLocked takes a good answer.
func (c *Cache) acceptLocked(n *cacheName, answer Answer, now time.Duration) {
	answer.Endpoints = slices.Clip(answer.Endpoints)
	fresh := c.cfg.UnknownTTL
	if answer.TTL > 0 {
		fresh = min(max(answer.TTL, c.cfg.MinTTL), c.cfg.MaxTTL)
	}
	if fresh == 0 {
		n.next = c.unaskedLocked(n, now)
	} else {
		fresh = time.Duration(float64(fresh) * (0.9 + 0.2*rand.Float64()))
		// A TTL of a moment, where there is no floor, must not make the cache ask without a pause.
		n.next = now + max(fresh*8/10, time.Second)
	}
	n.fresh = now + fresh
	c.publishLocked(n, &verdict{answer: answer, until: n.fresh})
	c.fileLocked(n, answer)
	notify(&n.answered)
}

// rejectLocked takes an error for the answer.
func (c *Cache) rejectLocked(n *cacheName, err error, now time.Duration) {
	// What is wrong with the file is told, not wrapped: it must not pass for what the resolver said.
	if note := cmp.Or(c.fileErr, n.note); note != nil && n.good == nil {
		err = fmt.Errorf("%w; cache file %s is not used: %v", err, c.cfg.File, note) //nolint:errorlint // a remark, and no cause of err
	}
	c.publishLocked(n, &verdict{err: err, until: now + c.cfg.NegativeTTL})
	n.good = nil
	n.next = c.unaskedLocked(n, now)
}

// serveStaleLocked tells callers the last good answer until a time, and reports whether that may be: until MaxStale after
// it came, and not before its TTL is over.
func (c *Cache) serveStaleLocked(n *cacheName, now, until time.Duration) bool {
	if n.good == nil {
		return false
	}
	end := max(now+c.cfg.MaxStale-time.Since(n.good.at), n.fresh)
	if now >= end {
		return false
	}
	c.publishLocked(n, &verdict{answer: n.good.stale(), until: min(until, end)})
	return true
}

func (f *filed) stale() Answer {
	answer := f.answer
	answer.Stale = true
	if f.fromFile {
		answer.Source += " (from file)"
	}
	return answer
}

// unaskedLocked is when to ask again for a name whose lookup left nothing to keep: only for somebody who watches.
// Others ask by themselves.
func (c *Cache) unaskedLocked(n *cacheName, now time.Duration) time.Duration {
	if now-n.watched < cacheIdle {
		return now + c.pace()
	}
	return never
}

// pace is the time between lookups that fail.
func (c *Cache) pace() time.Duration {
	if c.cfg.NegativeTTL == 0 {
		return 5 * time.Second
	}
	return c.cfg.NegativeTTL
}

// presentLocked is what is known of a name, whether or not it lasts.
func (c *Cache) presentLocked(n *cacheName) Answer {
	if v := n.verdict.Load(); v != nil {
		return v.answer
	}
	if n.good != nil {
		return n.good.stale()
	}
	return Answer{}
}

func (c *Cache) publishLocked(n *cacheName, v *verdict) {
	before := c.presentLocked(n)
	n.verdict.Store(v)
	if !sameEndpoints(before.Endpoints, v.answer.Endpoints) {
		notify(&n.changed)
	}
}

// notify tells those who wait, if there are any. Cache.mu is held.
func notify(waiting *chan struct{}) {
	if *waiting != nil {
		close(*waiting)
		*waiting = nil
	}
}

// sameEndpoints compares sets.
func sameEndpoints(a, b []Endpoint) bool {
	return slices.Equal(a, b) || slices.Equal(endpointSet(a), endpointSet(b))
}

func endpointSet(endpoints []Endpoint) []Endpoint {
	set := slices.SortedFunc(slices.Values(endpoints), func(a, b Endpoint) int {
		return cmp.Or(strings.Compare(a.Addr, b.Addr), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Weight, b.Weight))
	})
	return slices.Compact(set)
}
