package nsqdial

import (
	"time"

	"github.com/nsqio/go-nsq"
)

// SetMaxInFlight changes how many messages are handled at a time. 0 pauses: what is being handled goes on, nothing new
// is taken, and the connections stay. It returns at once; a message that was under way meanwhile goes back to the
// queue.
func (c *Consumer) SetMaxInFlight(n int) {
	c.work(c.account.setMax(max(n, 0))...)
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
			c.account.nextTurn()
		case <-c.ctx.Done():
			return
		}
	}
}

// onMessage runs in the reader of s.
func (c *Consumer) onMessage(s *session, m *nsq.Message) error {
	c.received.Add(1)
	d, todo, err := c.account.arrive(s, m)
	switch todo {
	case handle:
		c.work(task{d, handle})
	case finishAgain:
		c.handlers.Go(m.Finish)
	case giveBack:
		c.handlers.Go(func() { m.RequeueWithoutBackoff(0) })
	case nothing:
	}
	return err
}

// work does each task, and what becomes due when it has ended, in a goroutine of its own.
func (c *Consumer) work(tasks ...task) {
	for _, t := range tasks {
		c.handlers.Go(func() {
			for d, todo := t.d, t.todo; d != nil; d, todo = c.account.returned(d) {
				if todo == giveBack {
					d.message.RequeueWithoutBackoff(0)
				} else {
					c.handle(d)
				}
			}
		})
	}
}

func (c *Consumer) handle(d *delivery) {
	m := d.message
	stop := keepTouched(d)
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

// keepTouched touches a message three times per message time-out until stop is called, which waits.
func keepTouched(d *delivery) (stop func()) {
	interval := d.current().msgTimeout / 3
	if interval <= 0 {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(max(interval, time.Millisecond))
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				d.message.Touch() // on a lost connection it does nothing; the message may come again on another
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

// onAnswered counts an answer.
func (c *Consumer) onAnswered(finished bool) {
	if finished {
		c.finished.Add(1)
	} else {
		c.requeued.Add(1)
	}
}
