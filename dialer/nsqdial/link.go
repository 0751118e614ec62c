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
		for s := c.connect(ctx, address, nil); s != nil; {
			s = c.serve(ctx, s)
		}
		// An nsqd that ends loses all of its clients in one moment: they must not come back in one.
		sleep(ctx, rand.N(reconnectSpread))
	}
}

// reconnectSpread is how far a fleet's first reconnects lie apart. Later ones are spread by the dialer's probes.
const reconnectSpread = 700 * time.Millisecond

// connect tries until it has a session, or returns nil when ctx has ended. beside is the session to the old place, if any; if that
// turns out to be the place, the result is nil, too.
func (c *Consumer) connect(ctx context.Context, address string, beside *session) *session {
	for failures := 1; ; failures++ {
		s, err := c.session.open(ctx, c.dialer.dial, address)
		if err == nil {
			if !c.announce(ctx, s, beside) {
				s.close()
				s.ended()
				return nil
			}
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

// announce tells whoever wants to know of a connection. It reports false if the connection is not to be used: it leads where
// the one does beside which it was made, or that has turned out to lead to the right place, or it has been lost meanwhile.
func (c *Consumer) announce(ctx context.Context, s, beside *session) bool {
	if beside != nil && s.remote == beside.remote && !closed(beside.leaving()) {
		return false // the answer is what it was again, or the dial took a spare
	}
	if c.cfg.Connected == nil {
		return true
	}
	if beside == nil {
		s.attached, s.over = c.cfg.Connected(ctx, s.name, nil)
		return true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.links.Go(func() {
		defer cancel()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for s.use(beside) {
			select {
			case <-ticker.C:
			case <-beside.leaving():
				return
			case <-s.done:
			case <-s.leaving():
			case <-ctx.Done():
				return
			}
		}
	})
	s.attached, s.over = c.cfg.Connected(ctx, s.name, beside.attached)
	return s.use(beside) || closed(beside.leaving())
}

// use reports whether s, which was made beside another session, is still where the service may be.
func (s *session) use(beside *session) bool {
	return closed(beside.missing()) && !closed(s.done) && !closed(s.leaving())
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

// serve takes messages from s until it is lost or, once ctx has ended, until those that it has are answered. When an answer says
// that the service is elsewhere, it is consumed there as well; when that is sure, or s is lost, only there: next is that session.
func (c *Consumer) serve(ctx context.Context, s *session) (next *session) {
	connecting, cancel := context.WithCancel(ctx)
	defer cancel()
	arrived := make(chan *session, 1)
	var other *session // at the other place
	begun, moved := false, false
	connect := func() {
		if !begun {
			begun = true
			c.links.Go(func() { arrived <- c.connect(connecting, s.name, s) })
		}
	}
	// hand over what there is, or will be in a moment, at the other place.
	handOver := func() *session {
		if begun && other == nil {
			other = <-arrived
		}
		return other
	}
	take := func(s *session) {
		c.account.join(s)
		c.review()
	}
	take(s)
	missing, leaving := s.missing(), s.leaving()
	var again <-chan time.Time
	for {
		select {
		case <-s.done:
			c.lose(ctx, s)
			cancel()
			return handOver()
		case <-ctx.Done():
			if other := handOver(); other != nil {
				c.links.Go(func() { c.retire(ctx, other) })
			}
			c.retire(ctx, s)
			return nil
		case <-missing:
			missing = nil
			c.logger.Info("nsqd is elsewhere by the last answer; it is consumed there, too", "nsqd", s.name, "from", s.remote)
			connect()
		case <-leaving:
			leaving, missing = nil, nil
			c.logger.Info("nsqd has moved", "nsqd", s.name, "from", s.remote)
			c.nudge() // where there is another nsqd there may be another nsqlookupd
			if other != nil {
				c.links.Go(func() { c.retire(ctx, s) })
				return other
			}
			moved = true
			connect()
		case other = <-arrived:
			switch {
			case other == nil: // or ctx has ended
				begun, again = false, time.After(time.Second)
			case moved:
				c.links.Go(func() { c.retire(ctx, s) })
				return other
			default:
				take(other)
			}
		case <-again:
			if moved {
				connect()
			} else {
				missing = s.missing()
			}
		case <-other.gone():
			c.lose(ctx, other)
			other, begun, again = nil, false, time.After(time.Second)
		case <-other.leaving(): // it was the answer for a while
			was := other
			c.links.Go(func() { c.retire(ctx, was) })
			other, begun, again = nil, false, time.After(time.Second)
		}
	}
}

// lose ends a session whose connection is lost.
func (c *Consumer) lose(ctx context.Context, s *session) {
	c.account.leave(s)
	s.close()
	c.account.close(s)
	s.ended()
	if ctx.Err() == nil {
		c.logger.Warn("connection lost", "nsqd", s.name, "error", s.lost())
		c.nudge()
	}
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
	s.ended()
}

// leaver is a connection of the dialer's that tells that the name that it was dialed by may lead elsewhere now, and, some time
// before it is closed, that it does.
type leaver interface {
	Missing() <-chan struct{}
	Leaving() <-chan struct{}
}

// leaving is closed when the session should move; nil if that is never told, and of no session.
func (s *session) leaving() <-chan struct{} {
	if s == nil {
		return nil
	}
	if l, ok := s.conn.(leaver); ok {
		return l.Leaving()
	}
	return nil
}

// missing is closed when the session may have to move; nil if that is never told.
func (s *session) missing() <-chan struct{} {
	if l, ok := s.conn.(leaver); ok {
		return l.Missing()
	}
	return nil
}

// gone is closed when the session is of no more use; nil of no session.
func (s *session) gone() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.done
}

// ended tells who attached something to the session that nothing more comes from it.
func (s *session) ended() {
	if s.over != nil {
		s.over()
	}
}

// notSecured refuses a name whose connections the Dialer secures: nsqd speaks first without TLS, and negotiates it.
func notSecured(d *dialer.Dialer, field, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err == nil && d.Secures(host) {
		return errSecured(field, host)
	}
	return nil
}
