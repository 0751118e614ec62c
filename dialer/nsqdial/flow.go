package nsqdial

import (
	"slices"
	"time"

	"github.com/nsqio/go-nsq"
)

// SetMaxInFlight changes how many messages are handled at a time. 0 pauses: what is being handled goes on, nothing new
// is taken, and the connections stay.
func (c *Consumer) SetMaxInFlight(n int) {
	c.mu.Lock()
	c.max = max(n, 0)
	c.mu.Unlock()
	c.share()
}

// join gives a fresh connection its share of the messages.
func (c *Consumer) join(s *session) {
	c.mu.Lock()
	c.sessions = append(c.sessions, s)
	c.mu.Unlock()
	c.share()
}

// leave takes the share back, less what the connection's handlers still hold.
func (c *Consumer) leave(s *session) {
	c.mu.Lock()
	c.sessions = slices.DeleteFunc(c.sessions, func(o *session) bool { return o == s })
	c.mu.Unlock()
	c.share()
}

// turnTime is how long a connection goes first where there are more connections than messages to share: go-nsq's
// RDYRedistributeInterval.
const turnTime = 5 * time.Second

func (c *Consumer) takeTurns() {
	ticker := time.NewTicker(turnTime)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.mu.Lock()
			c.turn++
			c.mu.Unlock()
			c.share()
		case <-c.ctx.Done():
			return
		}
	}
}

// share divides max among the connections, so that never more than max messages are in flight: those that handlers of
// lost connections hold count, and a connection gets more only when another one's are answered.
func (c *Consumer) share() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.sessions)
	if n == 0 {
		return
	}
	free := c.max
	for _, s := range c.handling {
		if !slices.Contains(c.sessions, s) {
			free--
		}
	}
	free = max(free, 0)
	spare := free
	held := make([]int, n)
	for i, s := range c.sessions {
		held[i] = s.inFlight()
		spare -= held[i]
	}
	for i := range n {
		at := (c.turn + i) % n
		part := free / n
		if i < free%n {
			part++
		}
		more := min(max(part-held[at], 0), max(spare, 0))
		spare -= more
		c.sessions[at].setReady(min(part, held[at]+more)) // only notes it: the session's writer sends it
	}
}

// inFlight returns how many messages of the session are not answered.
func (s *session) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// onMessage runs in the reader of s.
func (c *Consumer) onMessage(s *session, m *nsq.Message) {
	c.received.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closing {
		c.handlers.Go(func() { m.RequeueWithoutBackoff(0) })
		return
	}
	if c.ctx.Err() != nil || len(c.handling) >= max(c.max, 1) {
		c.waiting = append(c.waiting, m)
		return
	}
	c.handling[m] = s
	c.handlers.Go(func() {
		for m := m; m != nil; m = c.next(m) {
			c.handle(m)
		}
	})
}

// next ends the handling of m and returns the next message that waits, if there is room for it.
func (c *Consumer) next(m *nsq.Message) (next *nsq.Message) {
	c.mu.Lock()
	delete(c.handling, m)
	if c.ctx.Err() == nil && len(c.waiting) > 0 && len(c.handling) < max(c.max, 1) {
		next, c.waiting = c.waiting[0], c.waiting[1:]
		c.handling[next] = sessionOf(next)
	}
	c.mu.Unlock()
	c.share()
	return next
}

func (c *Consumer) handle(m *nsq.Message) {
	stop := keepTouched(m)
	err := c.handler.HandleMessage(m)
	stop()
	switch {
	case m.IsAutoResponseDisabled():
	case err != nil:
		m.Requeue(-1)
	default:
		m.Finish()
	}
}

// keepTouched touches m three times per message time-out until stop is called, which waits.
func keepTouched(m *nsq.Message) (stop func()) {
	s := sessionOf(m)
	if s.msgTimeout <= 0 {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(max(s.msgTimeout/3, time.Millisecond))
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				m.Touch()
			case <-s.done:
				return
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// onAnswered counts an answer and passes on the room that it made.
func (c *Consumer) onAnswered(finished bool) {
	if finished {
		c.finished.Add(1)
	} else {
		c.requeued.Add(1)
	}
	c.share()
}
