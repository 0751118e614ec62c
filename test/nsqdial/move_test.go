package nsqdial_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/resolve"
)

// directory is a name server that knows one name.
type directory struct {
	mu   sync.Mutex
	addr string
}

func (d *directory) move(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addr = addr
}

func (d *directory) Resolve(context.Context, string, string) (resolve.Answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: d.addr}}, TTL: time.Second, Source: "test"}, nil
}

// movedBench is a bench whose nsqd-proxy is where the directory says.
func movedBench(t *testing.T, drainAfter time.Duration) (b *bench, where *directory, from, to *daemon) {
	from, to = runNSQD(t, nil), runNSQD(t, nil)
	where = &directory{addr: from.tcp}
	cache := resolve.NewCache(where, resolve.CacheConfig{MinTTL: -1})
	d, err := dialer.New(dialer.Config{Resolver: cache, DrainAfter: drainAfter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Close()
		cache.Close()
	})
	return &bench{t: t, dialer: d, changed: make(chan struct{})}, where, from, to
}

func TestAConsumerFollowsAnNSQDThatMovesAndLosesNothing(t *testing.T) {
	t.Parallel()
	b, where, from, to := movedBench(t, time.Minute)
	post(t, from.http, "held")
	held, release := make(chan struct{}, 1), make(chan struct{})
	var running, most atomic.Int32
	c := b.consume(func(c *nsqdial.ConsumerConfig) {
		c.Lookupds, c.NSQDs, c.MaxInFlight = nil, []string{"nsqd-proxy:4150"}, 2
	}, func(m *nsq.Message) error {
		n := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			continue
		}
		if string(m.Body) == "held" {
			held <- struct{}{}
			<-release
		}
		return b.record(m)
	})
	<-held
	where.move(to.tcp)
	for _, body := range []string{"a", "b", "c", "d"} {
		post(t, to.http, body)
	}
	b.await("a", "b", "c", "d")
	if s := statsOf(t, from.http); s.InFlight != 1 || s.Clients != 1 {
		t.Errorf("the old connection did not wait for the handler: %+v", s)
	}
	close(release)
	b.await("a", "b", "c", "d", "held")
	b.eventually("the old connection is gone, and the message on it is answered", func() bool {
		s := statsOf(t, from.http)
		return s.Clients == 0 && s.InFlight == 0 && s.Depth == 0 && s.Requeued <= 1
	})
	post(t, from.http, "late") // nobody takes it off an nsqd that has moved away
	if n := c.Stats().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
	if n := most.Load(); n > 2 {
		t.Errorf("%d handlers at a time, MaxInFlight is 2", n)
	}
}

func TestAProducerFollowsAnNSQDThatMoves(t *testing.T) {
	t.Parallel()
	b, where, from, to := movedBench(t, time.Minute)
	p := b.producer(b.dialer)
	publish := func() {
		if err := p.Publish(t.Context(), topic, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	where.move(to.tcp)
	b.eventually("a message reaches the new nsqd", func() bool {
		publish()
		return depthOf(t, to.http) > 0
	})
	before := depthOf(t, from.http)
	publish()
	if after := depthOf(t, from.http); after != before {
		t.Error("the old nsqd still gets messages")
	}
}

func TestAConnectionThatTheDialerClosesIsNotMissed(t *testing.T) {
	t.Parallel()
	// The new place does not answer for now: the old connection serves until the dialer closes it.
	b, where, from, to := movedBench(t, 2*time.Second)
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	nowhere := listener.Addr().String()
	listener.Close()
	c := b.consume(func(c *nsqdial.ConsumerConfig) { c.Lookupds, c.NSQDs = nil, []string{"nsqd-proxy:4150"} }, nil)
	b.eventually("it is connected", func() bool { return c.Stats().Connections == 1 })
	where.move(nowhere)
	b.eventually("the old connection is closed", func() bool { return c.Stats().Connections == 0 })
	where.move(to.tcp)
	post(t, to.http, "a")
	b.await("a")
	b.eventually("the old nsqd has no client", func() bool { return statsOf(t, from.http).Clients == 0 })
}
