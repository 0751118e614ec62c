// Package nsqdial_test tests dialer/nsqdial against real nsqd and nsqlookupd.
package nsqdial_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
	"go.uber.org/goleak"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/resolve"
	"github.com/gvpocr/worker/test/mainserver"
)

const (
	topic   = "tasks"
	channel = "workers"
)

func TestMain(m *testing.M) {
	// A resolver that fails at once: no test may ask the machine's DNS for a name of the main server.
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no DNS in this test")
	}}
	goleak.VerifyTestMain(m,
		// nsqlookupd keeps HTTP connections of Go's default transport in no test, but go-diskqueue's loop ends a moment
		// after Exit has returned.
		goleak.IgnoreTopFunction("github.com/nsqio/go-diskqueue.(*diskQueue).ioLoop"))
}

// bench is a queue, a dialer that finds it, and a consumer's handler that records.
type bench struct {
	t        testing.TB
	server   *mainserver.Server
	dialer   *dialer.Dialer
	nsqdHTTP string
	nsqd     *daemon // of a bench without a main server

	mu      sync.Mutex
	handled []string
	changed chan struct{} // closed and replaced when handled changes
}

func start(t testing.TB, cfg mainserver.Config) *bench {
	t.Helper()
	if cfg.Services == nil {
		cfg.Services = []string{mainserver.NSQLookupd, mainserver.NSQD}
	}
	server, err := mainserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, server: server, nsqdHTTP: server.NSQDHTTPAddr, changed: make(chan struct{})}
	b.dialer = b.newDialer(server.Environ()...)
	return b
}

func (b *bench) newDialer(environ ...string) *dialer.Dialer {
	b.t.Helper()
	resolver, err := resolve.FromEnv(environ)
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: resolver})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { d.Close() })
	return d
}

// consume starts a consumer; change may alter its configuration. A nil handler records and finishes.
func (b *bench) consume(change func(*nsqdial.ConsumerConfig), handler nsq.HandlerFunc) *nsqdial.Consumer {
	b.t.Helper()
	cfg := nsqdial.ConsumerConfig{
		Dialer: b.dialer, Topic: topic, Channel: channel, Lookupds: []string{"nsqlookupd-proxy:4161"},
	}
	if change != nil {
		change(&cfg)
	}
	if handler == nil {
		handler = b.record
	}
	c, err := nsqdial.NewConsumer(cfg, handler)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.stop(c) })
	return c
}

func (b *bench) stop(c *nsqdial.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) record(m *nsq.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handled = append(b.handled, string(m.Body))
	close(b.changed)
	b.changed = make(chan struct{})
	return nil
}

// await waits until the handled messages are want, in any order.
func (b *bench) await(want ...string) {
	b.t.Helper()
	slices.Sort(want)
	timeout := time.After(30 * time.Second)
	for {
		b.mu.Lock()
		got, changed := slices.Clone(b.handled), b.changed
		b.mu.Unlock()
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			b.t.Fatalf("handled %q, want %q", got, want)
		}
	}
}

func (b *bench) producer(d *dialer.Dialer) *nsqdial.Producer {
	b.t.Helper()
	p, err := nsqdial.NewProducer(nsqdial.ProducerConfig{Dialer: d, NSQD: "nsqd-proxy:4150"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { p.Close() })
	return p
}

func (b *bench) publish(bodies ...string) {
	b.t.Helper()
	p := b.producer(b.dialer)
	defer p.Close()
	for _, body := range bodies {
		if err := p.Publish(b.t.Context(), topic, []byte(body)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// channelStats is what nsqd says of the channel.
type channelStats struct {
	Depth     int `json:"depth"`
	InFlight  int `json:"in_flight_count"`
	Deferred  int `json:"deferred_count"`
	Requeued  int `json:"requeue_count"`
	TimedOut  int `json:"timeout_count"`
	Delivered int `json:"message_count"`
	Clients   int `json:"client_count"`
}

func (s channelStats) idle() bool { return s.Depth == 0 && s.InFlight == 0 && s.Deferred == 0 }

func (b *bench) stats() channelStats {
	b.t.Helper()
	return statsOf(b.t, b.nsqdHTTP)
}

func statsOf(t testing.TB, nsqdHTTP string) channelStats {
	t.Helper()
	if topics := topicsOf(t, nsqdHTTP); len(topics) > 0 && len(topics[0].Channels) > 0 {
		return topics[0].Channels[0]
	}
	return channelStats{}
}

// depthOf is what waits in the topic for its first channel.
func depthOf(t testing.TB, nsqdHTTP string) int {
	t.Helper()
	if topics := topicsOf(t, nsqdHTTP); len(topics) > 0 {
		return topics[0].Depth
	}
	return 0
}

type topicStats struct {
	Depth    int            `json:"depth"`
	Channels []channelStats `json:"channels"`
}

func topicsOf(t testing.TB, nsqdHTTP string) []topicStats {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(fmt.Sprintf("http://%s/stats?format=json&topic=%s", nsqdHTTP, topic))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Topics []topicStats `json:"topics"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Topics
}

// eventually polls until ok, for things that nsqd does in its own time.
func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-ticker.C:
		case <-timeout:
			b.t.Fatalf("it never came that %s", what)
		}
	}
}
