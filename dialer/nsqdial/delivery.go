package nsqdial

import (
	"context"
	"errors"
	"time"

	"github.com/nsqio/go-nsq"
)

// delivery answers the messages of one session: the delegate of each of them.
type delivery struct {
	session *session
}

// sessionOf returns the session that a consumer's message came from.
func sessionOf(m *nsq.Message) *session { return m.Delegate.(*delivery).session }

func (d *delivery) OnFinish(m *nsq.Message) {
	d.session.send(nsq.Finish(m.ID))
	d.answered(m, true)
}

// OnRequeue follows go-nsq: a delay of -1 grows with the message's attempts.
func (d *delivery) OnRequeue(m *nsq.Message, delay time.Duration, _ bool) {
	cfg := d.session.cfg
	if delay == -1 {
		delay = cfg.DefaultRequeueDelay * time.Duration(m.Attempts)
	}
	d.session.send(nsq.Requeue(m.ID, min(delay, cfg.MaxRequeueDelay)))
	d.answered(m, false)
}

func (d *delivery) OnTouch(m *nsq.Message) {
	d.session.send(nsq.Touch(m.ID))
}

func (d *delivery) answered(m *nsq.Message, finished bool) {
	s := d.session
	s.mu.Lock()
	delete(s.held, m)
	if len(s.held) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	s.mu.Unlock()
	s.onAnswered(finished)
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
	return d.session.ask(ctx, publishCommand(topic, delay, body))
}

func publishCommand(topic string, delay time.Duration, body []byte) *nsq.Command {
	if delay > 0 {
		return nsq.DeferredPublish(topic, delay, body)
	}
	return nsq.Publish(topic, body)
}
