package nsqdial_test

import (
	"context"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/test/mainserver"
)

func TestStopTellsOfHandlersWhoseConnectionIsLost(t *testing.T) {
	b := start(t, mainserver.Config{})
	began, end := make(chan struct{}), make(chan struct{})
	handled := make(chan struct{})
	c, err := nsqdial.NewConsumer(nsqdial.ConsumerConfig{
		Dialer: b.dialer, Topic: topic, Channel: channel, NSQDs: []string{"nsqd-proxy:4150"},
	}, nsq.HandlerFunc(func(*nsq.Message) error {
		close(began)
		<-end
		close(handled)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	b.publish("long")
	<-began
	if err := b.server.Stop("nsqd"); err != nil {
		t.Fatal(err)
	}
	b.eventually("the connection is lost", func() bool { return c.Stats().Connections == 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Stop(ctx); err == nil {
		t.Error("Stop says nothing of a handler that still runs")
	}
	close(end)
	<-handled
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("once it has ended: %v", err)
	}
}
