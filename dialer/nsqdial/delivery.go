package nsqdial

import (
	"context"
	"errors"
	"time"

	"github.com/nsqio/go-nsq"
)

// delivery is a message that a connection brought, until it is answered and its handler has returned: the message's
// delegate.
type delivery struct {
	account *account
	message *nsq.Message
	key     messageKey

	// The fields below are guarded by account.mu.
	session  *session // which the answer goes to
	held     bool     // counts among the session's
	handled  bool     // a handler runs
	parked   bool     // until a handler has returned
	answered bool
	next     *delivery // the same message, which came again after it was answered, for when the handler has returned
}

// holdLocked makes s the session that the answer goes to.
func (d *delivery) holdLocked(s *session) {
	d.releaseLocked()
	d.session, d.held = s, true
	s.held++
}

func (d *delivery) releaseLocked() {
	if !d.held {
		return
	}
	d.held = false
	s := d.session
	if s.held--; s.held > 0 {
		return
	}
	s.excess = 0
	if s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// forgetLocked ends the delivery if nothing is left to do.
func (d *delivery) forgetLocked() {
	if d.answered && !d.handled && d.account.open[d.key] == d {
		delete(d.account.open, d.key)
	}
}

// current returns the session that the message belongs to now.
func (d *delivery) current() *session {
	d.account.mu.Lock()
	defer d.account.mu.Unlock()
	return d.session
}

func (d *delivery) OnFinish(m *nsq.Message) {
	s := d.account.answering(d, true)
	s.send(nsq.Finish(m.ID))
	d.account.answered(d)
	s.onAnswered(true)
}

// OnRequeue follows go-nsq: a delay of -1 grows with the message's attempts.
func (d *delivery) OnRequeue(m *nsq.Message, delay time.Duration, _ bool) {
	s := d.account.answering(d, false)
	if delay == -1 {
		delay = s.cfg.DefaultRequeueDelay * time.Duration(m.Attempts)
	}
	s.send(nsq.Requeue(m.ID, min(delay, s.cfg.MaxRequeueDelay)))
	d.account.answered(d)
	s.onAnswered(false)
}

func (d *delivery) OnTouch(m *nsq.Message) {
	d.current().send(nsq.Touch(m.ID))
}

// Attached returns what ConsumerConfig.Connected has returned for the connection that m belongs to, or nil.
func Attached(m *nsq.Message) any {
	d, ok := m.Delegate.(*delivery)
	if !ok {
		return nil
	}
	return d.current().attached
}

// Publish publishes body on the connection that m came on, to the nsqd that holds m, and waits for its answer. With a
// delay (nsqd allows up to an hour, by default) it is delivered that much later. A handler that finishes m only after
// Publish returned nil loses nothing: if the connection breaks in between, nsqd delivers m again, and the copy may
// exist beside it.
func Publish(ctx context.Context, m *nsq.Message, topic string, delay time.Duration, body []byte) error {
	d, ok := m.Delegate.(*delivery)
	if !ok {
		return errors.New("nsqdial: the message is not from an nsqdial.Consumer")
	}
	return d.current().ask(ctx, publishCommand(topic, delay, body))
}

func publishCommand(topic string, delay time.Duration, body []byte) *nsq.Command {
	if delay > 0 {
		return nsq.DeferredPublish(topic, delay, body)
	}
	return nsq.Publish(topic, body)
}
