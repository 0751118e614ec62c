package nsqdial_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/test/mainserver"
)

func TestMessagesComeFromAnNSQDWhoseAdvertisedNameNothingCanResolve(t *testing.T) {
	for _, name := range []string{"gvpocr-nsqd", "3f2a91c0de4b"} {
		t.Run(name, func(t *testing.T) {
			b := start(t, mainserver.Config{BroadcastAddress: name})
			b.publish("a", "b", "c")
			c := b.consume(nil, nil)
			b.await("a", "b", "c")
			b.eventually("everything is finished", func() bool { return b.stats().InFlight == 0 && c.Stats().Finished == 3 })
		})
	}
}

func TestATopicThatAppearsLaterIsFoundSoon(t *testing.T) {
	b := start(t, mainserver.Config{})
	b.consume(nil, nil)
	b.publish("late")
	b.await("late")
}

func TestNSQDsAreConsumedDirectlyWithoutALookupd(t *testing.T) {
	b := start(t, mainserver.Config{})
	b.publish("a")
	b.consume(func(c *nsqdial.ConsumerConfig) { c.Lookupds, c.NSQDs = nil, []string{"nsqd-proxy:4150"} }, nil)
	b.await("a")
}

func TestNSQDsAreConsumedDirectlyUntilALookupdAnswers(t *testing.T) {
	b := start(t, mainserver.Config{})
	if err := b.server.Stop(mainserver.NSQLookupd); err != nil {
		t.Fatal(err)
	}
	b.publish("a")
	c := b.consume(func(c *nsqdial.ConsumerConfig) { c.NSQDs = []string{"nsqd-proxy:4150"} }, nil)
	b.await("a")
	if err := b.server.Start(mainserver.NSQLookupd); err != nil {
		t.Fatal(err)
	}
	b.publish("b")
	b.await("a", "b")
	b.eventually("one connection is left", func() bool { return b.stats().Clients == 1 && c.Stats().Connections == 1 })
}

// A handler that answers by itself has not returned yet when nsqd sends the next message.
func TestFastHandlersGetEachMessageOnce(t *testing.T) {
	for name, answer := range map[string]nsq.HandlerFunc{
		"answered by the consumer": func(*nsq.Message) error { return nil },
		"answered by the handler":  func(m *nsq.Message) error { m.Finish(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			const messages = 2000
			b := start(t, mainserver.Config{})
			producer, err := nsqdial.NewProducer(nsqdial.ProducerConfig{Dialer: b.dialer, NSQD: "nsqd-proxy:4150"})
			if err != nil {
				t.Fatal(err)
			}
			defer producer.Close()
			for range messages {
				if err := producer.Publish(t.Context(), topic, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			c := b.consume(func(c *nsqdial.ConsumerConfig) { c.MaxInFlight = 4 }, answer)
			b.eventually("everything is finished", func() bool { return c.Stats().Finished == messages })
			if s := c.Stats(); s.Received != messages || s.Requeued != 0 {
				t.Errorf("%d messages came %d times, and went back %d times", messages, s.Received, s.Requeued)
			}
		})
	}
}

func TestALongTaskIsTouchedAndNotDeliveredTwice(t *testing.T) {
	b := start(t, mainserver.Config{MsgTimeout: 300 * time.Millisecond})
	b.publish("long")
	b.consume(nil, func(m *nsq.Message) error {
		<-time.After(4 * 300 * time.Millisecond)
		return b.record(m)
	})
	b.await("long")
	b.eventually("it is finished", func() bool { return b.stats().InFlight == 0 })
	if s := b.stats(); s.TimedOut != 0 || s.Requeued != 0 {
		t.Errorf("nsqd says %+v", s)
	}
}

func TestAnErrorRequeuesAndAutoResponseCanBeTurnedOff(t *testing.T) {
	b := start(t, mainserver.Config{})
	b.publish("again")
	c := b.consume(func(c *nsqdial.ConsumerConfig) {
		c.NSQ = nsqdial.NewConfig()
		c.NSQ.DefaultRequeueDelay = 0
	}, func(m *nsq.Message) error {
		switch m.Attempts {
		case 1:
			return errors.New("not yet")
		case 2:
			m.DisableAutoResponse()
			m.RequeueWithoutBackoff(0)
			return nil
		}
		return b.record(m)
	})
	b.await("again")
	b.eventually("all three are counted", func() bool {
		s := c.Stats()
		return s.Received == 3 && s.Requeued == 2 && s.Finished == 1 && s.InFlight == 0
	})
}

func TestAMessageIsNeverGivenUpAfterSomeAttempts(t *testing.T) {
	b := start(t, mainserver.Config{})
	b.publish("stubborn")
	b.consume(nil, func(m *nsq.Message) error {
		if m.Attempts < 9 { // go-nsq's consumer would have finished it after 5
			m.RequeueWithoutBackoff(0)
			return nil
		}
		return b.record(m)
	})
	b.await("stubborn")
}

func TestAConnectionIsBackWhileTheHandlerOfTheLostOneStillRuns(t *testing.T) {
	b := start(t, mainserver.Config{MemQueueSize: -1})
	b.publish("held")
	held, release := make(chan struct{}, 1), make(chan struct{})
	var running, most atomic.Int32
	b.consume(func(c *nsqdial.ConsumerConfig) { c.MaxInFlight = 2 }, func(m *nsq.Message) error {
		n := running.Add(1)
		defer running.Add(-1)
		for {
			old := most.Load()
			if n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		if string(m.Body) == "held" {
			held <- struct{}{}
			<-release
			if err := nsqdial.Publish(context.Background(), m, "copies", 0, m.Body); err != nil {
				t.Errorf("a copy can't be published: %v", err)
			}
		}
		return b.record(m)
	})
	<-held
	for range 3 {
		if err := b.server.Stop(mainserver.NSQD); err != nil {
			t.Fatal(err)
		}
		if err := b.server.Start(mainserver.NSQD); err != nil {
			t.Fatal(err)
		}
	}
	b.publish("a", "b", "c")
	b.await("a", "b", "c")
	// What the lost connection held is delivered again, and belongs to the handler that still runs.
	b.eventually("nsqd has delivered the held message again", func() bool { return b.stats().InFlight == 1 })
	close(release)
	b.await("a", "b", "c", "held")
	b.eventually("the answer reaches the new connection", func() bool { return b.stats().idle() })
	b.await("a", "b", "c", "held") // each once
	if n := most.Load(); n > 2 {
		t.Errorf("%d handlers at a time, MaxInFlight is 2", n)
	}
}

func TestNoMoreThanMaxInFlightIsHandledAcrossASwapOfConnections(t *testing.T) {
	b := start(t, mainserver.Config{MemQueueSize: -1})
	b.publish("held")
	held, release := make(chan struct{}, 1), make(chan struct{})
	c := b.consume(nil, func(m *nsq.Message) error { // MaxInFlight is 1
		if string(m.Body) == "held" {
			held <- struct{}{}
			<-release
		}
		return b.record(m)
	})
	<-held
	if err := b.server.Stop(mainserver.NSQD); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Start(mainserver.NSQD); err != nil {
		t.Fatal(err)
	}
	b.publish("next")
	b.eventually("the connection is back", func() bool { return c.Stats().Connections == 1 && b.stats().Clients == 1 })
	if s := b.stats(); s.InFlight != 0 || c.Stats().InFlight != 1 {
		t.Errorf("nsqd has delivered although the only handler is busy: %+v", s)
	}
	close(release)
	b.await("held", "next")
	// Its answer was lost with the connection. It comes again, and is finished without a handler.
	b.eventually("nothing is left", func() bool { return b.stats().idle() && c.Stats().Finished == 3 })
	b.await("held", "next")
}

func TestZeroInFlightPausesAndTheConnectionStays(t *testing.T) {
	b := start(t, mainserver.Config{})
	c := b.consume(func(c *nsqdial.ConsumerConfig) { c.Lookupds, c.NSQDs = nil, []string{"nsqd-proxy:4150"} }, nil)
	b.eventually("it is connected", func() bool { return b.stats().Clients == 1 })
	c.SetMaxInFlight(0)
	b.publish("first") // may still be delivered: nsqd learns of the pause in its own time
	b.publish("second")
	b.eventually("a message waits", func() bool { return b.stats().Depth >= 1 })
	if s := b.stats(); s.Clients != 1 {
		t.Errorf("the connection is gone: %+v", s)
	}
	c.SetMaxInFlight(3)
	b.await("first", "second")
}

func TestEveryNSQDGetsItsTurnWhenThereAreMoreThanMaxInFlight(t *testing.T) {
	b := start(t, mainserver.Config{})
	other := start(t, mainserver.Config{Services: []string{mainserver.NSQD}})
	b.publish("a1", "a2", "a3")
	other.publish("b1", "b2", "b3")
	b.dialer = b.newDialer("DIAL_NSQD_A="+b.server.NSQDAddr, "DIAL_NSQD_B="+other.server.NSQDAddr)
	var running atomic.Int32
	b.consume(func(c *nsqdial.ConsumerConfig) { c.Lookupds, c.NSQDs = nil, []string{"nsqd-a:4150", "nsqd-b:4150"} },
		func(m *nsq.Message) error {
			if running.Add(1) > 1 {
				t.Error("two messages at a time, MaxInFlight is 1")
			}
			defer running.Add(-1)
			return b.record(m)
		})
	b.await("a1", "a2", "a3", "b1", "b2", "b3")
}

func TestACopyIsPublishedWhereTheMessageCameFrom(t *testing.T) {
	b := start(t, mainserver.Config{})
	b.publish("original")
	b.consume(nil, func(m *nsq.Message) error {
		if string(m.Body) == "original" {
			m.DisableAutoResponse()
			if err := nsqdial.Publish(context.Background(), m, topic, time.Millisecond, []byte("copy")); err != nil {
				t.Error(err)
			}
			m.Finish()
			return nil
		}
		return b.record(m)
	})
	b.await("copy")
}

func TestStopWaitsForHandlers(t *testing.T) {
	b := start(t, mainserver.Config{})
	b.publish("a")
	begun, release := make(chan struct{}), make(chan struct{})
	c := b.consume(nil, func(m *nsq.Message) error {
		close(begun)
		<-release
		return b.record(m)
	})
	<-begun
	stopped := make(chan error)
	go func() { stopped <- c.Stop(context.Background()) }()
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned while a handler ran: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	b.eventually("nsqd has the answer and lost the client", func() bool {
		s := b.stats()
		return s.InFlight == 0 && s.Clients == 0 && s.Depth == 0 && s.Requeued == 0
	})
}

func TestStopRequeuesWhatDoesNotEndInTime(t *testing.T) {
	b := start(t, mainserver.Config{})
	b.publish("a")
	begun, release := make(chan struct{}), make(chan struct{})
	c := b.consume(nil, func(*nsq.Message) error {
		close(begun)
		<-release
		return nil
	})
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.Stop(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 messages") {
		t.Errorf("got %v", err)
	}
	b.eventually("the message is back", func() bool { return b.stats().Depth == 1 && b.stats().Requeued == 1 })
	close(release) // its answer comes too late and does no harm
	b.consume(nil, nil)
	b.await("a")
}

func TestNewConsumerRefusesWhatCannotWork(t *testing.T) {
	b := start(t, mainserver.Config{})
	good := nsqdial.ConsumerConfig{Dialer: b.dialer, Topic: topic, Channel: channel, NSQDs: []string{"nsqd-proxy:4150"}}
	for want, change := range map[string]func(*nsqdial.ConsumerConfig){
		"Dialer is nil":         func(c *nsqdial.ConsumerConfig) { c.Dialer = nil },
		"Topic":                 func(c *nsqdial.ConsumerConfig) { c.Topic = "no blanks" },
		"Channel":               func(c *nsqdial.ConsumerConfig) { c.Channel = "" },
		"neither Lookupds nor":  func(c *nsqdial.ConsumerConfig) { c.NSQDs = nil },
		"MaxInFlight":           func(c *nsqdial.ConsumerConfig) { c.MaxInFlight = -1 },
		"missing port":          func(c *nsqdial.ConsumerConfig) { c.NSQDs = []string{"nsqd-proxy"} },
		"Lookupds: ":            func(c *nsqdial.ConsumerConfig) { c.Lookupds = []string{"https://lookupd:4161"} },
		"Lookupds: an address ": func(c *nsqdial.ConsumerConfig) { c.Lookupds = []string{"http://u:secret@%zz:4161"} },
	} {
		cfg := good
		change(&cfg)
		_, err := nsqdial.NewConsumer(cfg, nsq.HandlerFunc(b.record))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
