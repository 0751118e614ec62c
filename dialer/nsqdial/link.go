package nsqdial

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
)

// keepUp holds a connection to one nsqd, and makes it again when it is lost, until ctx ends.
func (c *Consumer) keepUp(ctx context.Context, address string) {
	for ctx.Err() == nil {
		for s := c.connect(ctx, address); s != nil; {
			s = c.serve(ctx, s)
		}
		// An nsqd that ends loses all of its clients in one moment: they must not come back in one.
		sleep(ctx, rand.N(reconnectSpread))
	}
}

// reconnectSpread is how far a fleet's first reconnects lie apart. Later ones are spread by the dialer's probes.
const reconnectSpread = 700 * time.Millisecond

// connect tries until it has a session, or returns nil when ctx has ended.
func (c *Consumer) connect(ctx context.Context, address string) *session {
	for failures := 1; ; failures++ {
		s, err := c.session.open(ctx, c.dialer.dial, address)
		if err == nil {
			c.logger.Info("consuming", "nsqd", address, "endpoint", s.remote)
			return s
		}
		if ctx.Err() != nil {
			return nil
		}
		if failures == 1 {
			c.logger.Warn("nsqd can't be consumed; it is tried again", "nsqd", address, "error", err)
		}
		c.awaitRetry(ctx, address, failures, err)
	}
}

// awaitRetry waits until another try is of use. What only a person can mend is tried ever more seldom; an nsqd that can't
// be reached is tried again as soon as the dialer has found it.
func (c *Consumer) awaitRetry(ctx context.Context, address string, failures int, err error) {
	if lasting(err) {
		sleep(ctx, (100*time.Millisecond+rand.N(900*time.Millisecond))*time.Duration(min(failures, 5)))
		return
	}
	sleep(ctx, 100*time.Millisecond+rand.N(300*time.Millisecond))
	for ctx.Err() == nil {
		health, changed := c.dialer.health(address)
		if health.Ready {
			return
		}
		timer := time.NewTimer(time.Second) // the name may have moved meanwhile, which only a dial finds out
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
			return
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serve takes messages from s until it is lost or, once ctx has ended, until those that it has are answered. When the
// service has moved, it connects to the new place first, and returns that session, while the old one drains.
func (c *Consumer) serve(ctx context.Context, s *session) (next *session) {
	c.account.join(s)
	c.review()
	for leaving := s.leaving(); ; leaving = nil {
		select {
		case <-s.done:
			c.account.leave(s)
			s.close()
			c.account.close(s)
			if ctx.Err() == nil {
				c.logger.Warn("connection lost", "nsqd", s.name, "error", s.lost())
				c.nudge()
			}
			return nil
		case <-ctx.Done():
			c.retire(ctx, s)
			return nil
		case <-leaving:
			c.logger.Info("nsqd has moved; connecting anew", "nsqd", s.name, "from", s.remote)
			c.nudge() // where there is another nsqd there may be another nsqlookupd
			if next := c.replace(ctx, s); next != nil {
				c.links.Go(func() { c.retire(ctx, s) })
				return next
			}
		}
	}
}

// replace connects to where s's nsqd is now. It gives up when s is lost, after which nothing has to be kept.
func (c *Consumer) replace(ctx context.Context, s *session) *session {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.links.Go(func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	})
	return c.connect(ctx, s.name)
}

// retire ends a session in an orderly way: nothing new comes, and what is being handled is answered.
func (c *Consumer) retire(ctx context.Context, s *session) {
	c.account.leave(s)
	// After CLS nsqd sends nothing new, and takes the answers to what it has sent.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	_ = s.ask(closing, nsq.StartClose()) // without an answer the connection ends all the same
	cancel()
	select {
	case <-c.account.drained(s):
	case <-s.done:
	case <-c.giveUp:
		for _, m := range c.account.unanswered(s) {
			if !m.HasResponded() {
				m.RequeueWithoutBackoff(0)
				c.givenUp.Add(1)
			}
		}
	}
	s.finish()
	c.account.close(s)
}

// leaver is a connection of the dialer's that tells, some time before it is closed, that the name that it was dialed by
// leads elsewhere now.
type leaver interface{ Leaving() <-chan struct{} }

// leaving is closed when the session should move; nil if that is never told.
func (s *session) leaving() <-chan struct{} {
	if l, ok := s.conn.(leaver); ok {
		return l.Leaving()
	}
	return nil
}

// notSecured refuses a name whose connections the Dialer secures: nsqd speaks first without TLS, and negotiates it.
func notSecured(d *dialer.Dialer, field, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err == nil && d.Secures(host) {
		return errSecured(field, host)
	}
	return nil
}
