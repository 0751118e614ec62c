package nsqdial

import (
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"time"
)

// directAfter is how long a lookupd is waited for before NSQDs are consumed directly.
const directAfter = 5 * time.Second

// discovery is what a consumer knows of the nsqds that have its topic. Guarded by Consumer.mu.
type discovery struct {
	lookupds []listing        // one each
	heard    time.Time        // when a lookupd last answered
	wanted   map[string]*link // by address
	had      int              // how many connections there were, of late
	missing  time.Time        // since when there are fewer; zero if there are not
	nudged   chan struct{}    // closed and replaced when a connection was lost
}

// listing is what one lookupd said last.
type listing struct {
	producers
	known   bool // it has answered before
	failing bool // it did not answer the last question
}

// link keeps up the connection to one nsqd.
type link struct {
	cancel   context.CancelFunc
	direct   bool      // from NSQDs, not from a lookupd
	unlisted time.Time // since when no lookupd lists it; zero if one does
}

func newDiscovery(lookupds int) discovery {
	return discovery{
		lookupds: make([]listing, lookupds), heard: time.Now(), wanted: map[string]*link{}, nudged: make(chan struct{}),
	}
}

// service is the name behind which advertised names are looked for.
func (c ConsumerConfig) service(l *lookup) string {
	address := ""
	if len(c.NSQDs) > 0 {
		address = c.NSQDs[0]
	} else {
		address = l.urls[0].Host
	}
	host, _, _ := net.SplitHostPort(address) // validated
	return host
}

// discover decides which nsqds are wanted, until Stop. Each lookupd is asked in a goroutine of its own: one that is slow
// or dead must not hold up what another one knows.
func (c *Consumer) discover() {
	if len(c.lookup.urls) == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.wantLocked(c.cfg.NSQDs, true)
		return
	}
	for i, u := range c.lookup.urls {
		c.links.Go(func() { c.poll(i, u) })
	}
	c.links.Go(func() {
		sleep(c.ctx, directAfter)
		c.fallBack()
	})
}

// poll asks one lookupd again and again.
func (c *Consumer) poll(i int, u *url.URL) {
	for {
		nudged := c.nextNudge()
		listed, err := c.lookup.ask(c.ctx, u)
		if c.ctx.Err() != nil {
			return
		}
		c.heard(i, u, listed, err)
		if err != nil {
			c.fallBack()
		}
		timer := time.NewTimer(c.untilNextPoll())
		select {
		case <-timer.C:
		case <-nudged:
			timer.Stop()
			sleep(c.ctx, missingPoll())
		case <-c.ctx.Done():
			timer.Stop()
		}
	}
}

// heard takes in what a lookupd answered.
func (c *Consumer) heard(i int, u *url.URL, listed producers, err error) {
	c.mu.Lock()
	l := &c.seen.lookupds[i]
	failed, known := l.failing, l.known
	l.failing = err != nil
	unusable := false // and that is new
	if err == nil {
		unusable = len(listed.leftOut) > 0 && !slices.Equal(listed.leftOut, l.leftOut)
		l.producers, l.known = listed, true
		c.seen.heard = time.Now()
		c.wantLocked(listed.nsqds, false)
	}
	c.mu.Unlock()
	c.review()
	switch {
	case err != nil && !failed:
		c.logger.Warn("nsqlookupd does not answer; it is asked again", "error", err)
	case err == nil && failed:
		c.logger.Info("nsqlookupd answers again", "nsqlookupd", u.Host)
	case err == nil && !known:
		c.logger.Debug("nsqlookupd answers", "nsqlookupd", u.Host, "nsqds", listed.nsqds)
	}
	if unusable {
		c.logger.Warn("an nsqd is left out: what it advertises is not a host and a port (its -broadcast-address and TCP port)",
			"nsqlookupd", u.Host, "advertised", listed.leftOut)
	}
}

// review gives up what is not wanted any more.
func (c *Consumer) review() {
	c.mu.Lock()
	gone := c.forgetLocked(time.Now())
	c.mu.Unlock()
	for _, address := range gone {
		c.logger.Info("nsqd is given up: no nsqlookupd lists it", "nsqd", address)
	}
}

// fallBack consumes NSQDs directly if no lookupd has answered for long enough and nothing is connected.
func (c *Consumer) fallBack() {
	sessions, _ := c.account.count()
	c.mu.Lock()
	silent := c.ctx.Err() == nil && sessions == 0 && time.Since(c.seen.heard) >= directAfter &&
		!slices.ContainsFunc(c.seen.lookupds, func(l listing) bool { return l.known && !l.failing })
	added := silent && c.wantLocked(c.cfg.NSQDs, true)
	c.mu.Unlock()
	if added {
		c.logger.Warn("no nsqlookupd answers: consuming directly", "nsqds", c.cfg.NSQDs)
	}
}

// missingPoll is the time between questions while a connection is missing: short enough that an nsqd that comes back at
// another address is found within a second, at random so that a fleet does not ask in step.
func missingPoll() time.Duration { return 150*time.Millisecond + rand.N(650*time.Millisecond) }

// patience is how long an nsqd that is gone is looked for.
const patience = 5 * time.Minute

// untilNextPoll is missingPoll while there is no connection, or for some time one less than there was; else go-nsq's
// poll interval, at random as well.
func (c *Consumer) untilNextPoll() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	sessions := 0 // that are not being given up
	for address := range c.account.connected() {
		if c.seen.wanted[address] != nil {
			sessions++
		}
	}
	now := time.Now()
	switch d := &c.seen; {
	case sessions >= d.had:
		d.had, d.missing = sessions, time.Time{}
	case d.missing.IsZero():
		d.missing = now
	case now.Sub(d.missing) > patience:
		d.had, d.missing = sessions, time.Time{}
	}
	if sessions == 0 || sessions < c.seen.had {
		return missingPoll()
	}
	interval := c.session.cfg.LookupdPollInterval
	return interval/2 + rand.N(interval)
}

// nudge lets the lookupds be asked soon: a connection was lost.
func (c *Consumer) nudge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.seen.nudged)
	c.seen.nudged = make(chan struct{})
}

func (c *Consumer) nextNudge() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.nudged
}

// wantLocked makes connections to addresses that have none. It reports whether there was one.
func (c *Consumer) wantLocked(addresses []string, direct bool) (added bool) {
	for _, address := range addresses {
		if l := c.seen.wanted[address]; l != nil {
			l.direct = l.direct && direct
			continue
		}
		if c.ctx.Err() != nil || len(c.seen.wanted) >= maxProducers {
			continue
		}
		added = true
		ctx, cancel := context.WithCancel(c.ctx)
		c.seen.wanted[address] = &link{cancel: cancel, direct: direct}
		c.links.Go(func() {
			defer cancel()
			c.keepUp(ctx, address)
		})
	}
	return added
}

// forgetLocked gives up what the lookupds don't list, and returns it: direct connections once a listed one stands, beside
// which they would be a second one to the same nsqd, and addresses that can't be reached, after some time, if every
// lookupd answers or has not for as long. A connection that stands is kept: a lookupd that was restarted lists nothing
// for a moment.
func (c *Consumer) forgetLocked(now time.Time) (gone []string) {
	listed := map[string]bool{}
	for _, l := range c.seen.lookupds {
		for _, address := range l.nsqds {
			listed[address] = true
		}
	}
	connected := c.account.connected()
	found := false
	for address := range connected {
		found = found || listed[address]
	}
	for address, l := range c.seen.wanted {
		switch {
		case listed[address]:
			l.unlisted = time.Time{}
			continue
		case l.direct && found:
		case l.direct || connected[address]:
			continue
		case l.unlisted.IsZero():
			l.unlisted = now
			continue
		case now.Sub(l.unlisted) < patience && len(c.seen.wanted) < maxProducers:
			continue
		}
		l.cancel()
		delete(c.seen.wanted, address)
		gone = append(gone, address)
	}
	return gone
}
