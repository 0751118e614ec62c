package nsqdial

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

// directAfter is how long a lookupd is waited for before NSQDs are consumed directly.
const directAfter = 5 * time.Second

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

// discover decides which nsqds are wanted, until Stop.
func (c *Consumer) discover(lookups *lookup) {
	if len(lookups.urls) == 0 {
		c.want(c.cfg.NSQDs, true)
		<-c.ctx.Done()
		return
	}
	direct := time.AfterFunc(directAfter, func() {
		c.logger.Warn("no nsqlookupd has answered: consuming directly", "nsqds", c.cfg.NSQDs)
		c.want(c.cfg.NSQDs, true)
	})
	if len(c.cfg.NSQDs) == 0 {
		direct.Stop()
	}
	defer direct.Stop()
	failing := false
	for {
		f := lookups.ask(c.ctx, func(nsqds []string) {
			direct.Stop()
			c.want(nsqds, false)
		})
		if c.ctx.Err() != nil {
			return
		}
		if f.err != nil && !failing {
			c.logger.Warn("nsqlookupd does not answer; it is asked again", "error", f.err)
		} else if f.err == nil && failing {
			c.logger.Info("nsqlookupd answers again")
		}
		failing = f.err != nil
		c.forget(f)
		timer := time.NewTimer(c.untilNextLookup())
		select {
		case <-timer.C:
		case <-c.nudge:
			timer.Stop()
		case <-c.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// untilNextLookup is about a second while a connection is missing, else go-nsq's poll interval; at random, so that a
// fleet does not ask in step.
func (c *Consumer) untilNextLookup() time.Duration {
	c.mu.Lock()
	complete := len(c.sessions) > 0 && len(c.sessions) >= len(c.wanted)
	c.mu.Unlock()
	interval := time.Second
	if complete {
		interval = c.session.cfg.LookupdPollInterval
	}
	return interval/2 + rand.N(interval)
}

// want makes connections to addresses that have none.
func (c *Consumer) want(addresses []string, direct bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, address := range addresses {
		if c.ctx.Err() != nil || c.wanted[address] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(c.ctx)
		c.wanted[address] = &link{cancel, direct}
		c.links.Go(func() {
			defer cancel()
			c.keepUp(ctx, address)
		})
	}
}

// forget gives up what the lookupds don't list: direct connections once a listed one stands, beside which they
// would be a second one to the same nsqd, and addresses that can't be reached, when every lookupd has answered.
func (c *Consumer) forget(f findings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	listed := map[string]bool{}
	for _, address := range f.nsqds {
		listed[address] = true
	}
	connected := map[string]bool{}
	for _, s := range c.sessions {
		connected[s.name] = true
	}
	found := slices.ContainsFunc(c.sessions, func(s *session) bool { return listed[s.name] })
	for address, l := range c.wanted {
		if listed[address] {
			continue
		}
		if l.direct && found || !l.direct && f.whole && !connected[address] {
			l.cancel()
			delete(c.wanted, address)
		}
	}
}
