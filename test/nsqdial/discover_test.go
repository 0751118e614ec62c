package nsqdial_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nsqio/go-nsq"
	"github.com/nsqio/nsq/nsqd"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/test/mainserver"
)

// lookupds are nsqlookupds as they should not be, or are when they are ill.
var lookupds = map[string]http.HandlerFunc{
	"garbage":  func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>It works!</html>")) },
	"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	"huge": func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"producers":[{"broadcast_address":"`))
		for block := bytes.Repeat([]byte("a"), 64<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	},
	"huge headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("a", 1<<20)) },
	"silent":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"slow": func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("{"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	},
	"redirecting": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	},
	"naming what is no nsqd": func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"producers":[{"broadcast_address":"127.0.0.1","tcp_port":1},{"broadcast_address":"nowhere.example","tcp_port":4150},
			{"broadcast_address":"","tcp_port":4150},{"broadcast_address":"x","tcp_port":-1}]}`))
	},
}

func TestAnIllLookupdDoesNotHoldUpAGoodOne(t *testing.T) {
	for name, handler := range lookupds {
		t.Run(name, func(t *testing.T) {
			ill := httptest.NewServer(handler)
			defer ill.Close()
			b := start(t, mainserver.Config{})
			b.dialer = b.newDialer(append(b.server.Environ(), "DIAL_ILL="+ill.Listener.Addr().String())...)
			c := b.consume(func(c *nsqdial.ConsumerConfig) { c.Lookupds = []string{"http://ill:4161", "nsqlookupd-proxy:4161"} }, nil)
			b.publish("a") // the good one lists the topic only now: it is asked again while the ill one has not answered
			b.await("a")
			b.stop(c) // which does not wait for the ill one
		})
	}
}

func TestALookupdThatIsIllAloneLeavesNSQDAddressToBeConsumed(t *testing.T) {
	for _, name := range []string{"garbage", "silent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ill := httptest.NewServer(lookupds[name])
			defer ill.Close()
			b := startNSQD(t, nil)
			b.dialer = b.newDialer("DIAL_NSQD_PROXY="+b.nsqd.tcp, "DIAL_ILL="+ill.Listener.Addr().String())
			b.publish("a")
			c := b.consume(func(c *nsqdial.ConsumerConfig) {
				c.Lookupds, c.NSQDs = []string{"ill:4161"}, []string{"nsqd-proxy:4150"}
			}, nil)
			b.await("a")
			b.stop(c)
		})
	}
}

func TestAllNSQDsOfAllLookupdsAreConsumedThoughOneIsDead(t *testing.T) {
	lookups := []*daemon{runLookupd(t), runLookupd(t)}
	b := &bench{t: t, changed: make(chan struct{})}
	environ := []string{"DIAL_LOOKUPD_A=" + lookups[0].http, "DIAL_LOOKUPD_B=" + lookups[1].http}
	nsqds := map[string]*daemon{}
	for i, name := range []string{"both", "only-a", "only-b", "dead"} {
		registers := map[int][]string{0: {lookups[0].tcp, lookups[1].tcp}, 1: {lookups[0].tcp}, 2: {lookups[1].tcp}, 3: {lookups[0].tcp}}[i]
		d := runNSQD(t, func(o *nsqd.Options) {
			o.BroadcastAddress, o.NSQLookupdTCPAddresses, o.ID = name, registers, int64(i)
		})
		post(t, d.http, name)
		nsqds[name] = d
		environ = append(environ, fmt.Sprintf("DIAL_%s=%s", strings.ToUpper(strings.ReplaceAll(name, "-", "_")), d.tcp))
	}
	b.eventually("the dead one is listed", func() bool { return listed(t, lookups[0].http, nsqds["dead"].tcp) })
	// A host that accepts and says nothing: its lookupd still lists it.
	silent, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	environ[len(environ)-1] = "DIAL_DEAD=" + silent.Addr().String()
	b.dialer = b.newDialer(environ...)
	c := b.consume(func(c *nsqdial.ConsumerConfig) {
		c.Lookupds, c.MaxInFlight = []string{"lookupd-a:4161", "lookupd-b:4161"}, 3
	}, nil)
	b.await("both", "only-a", "only-b")
	if n := c.Stats().Connections; n != 3 {
		t.Errorf("%d connections, want one to each that is alive", n)
	}
}

func TestAnNSQDThatComesBackOnAnotherPortIsFoundThoughAnotherOneIsConnected(t *testing.T) {
	lookupd := runLookupd(t)
	b := &bench{t: t, changed: make(chan struct{})}
	dir := t.TempDir()
	configure := func(o *nsqd.Options) {
		o.BroadcastAddress, o.DataPath, o.MemQueueSize, o.NSQLookupdTCPAddresses = "127.0.0.1", dir, 0, []string{lookupd.tcp}
	}
	other := runNSQD(t, func(o *nsqd.Options) {
		configure(o)
		o.DataPath, o.ID = t.TempDir(), 7
	})
	first := runNSQD(t, configure)
	post(t, other.http, "other")
	post(t, first.http, "held")
	b.dialer = b.newDialer("DIAL_LOOKUPD=" + lookupd.http)
	held, release := make(chan struct{}, 1), make(chan struct{})
	var times atomic.Int32
	c := b.consume(func(c *nsqdial.ConsumerConfig) { c.Lookupds, c.MaxInFlight = []string{"lookupd:4161"}, 4 }, func(m *nsq.Message) error {
		if string(m.Body) == "held" {
			times.Add(1)
			held <- struct{}{}
			<-release
		}
		return b.record(m)
	})
	<-held
	b.await("other")
	first.stop()
	b.eventually("the loss is noticed", func() bool { return c.Stats().Connections == 1 })
	second := runNSQD(t, configure)
	post(t, second.http, "next")
	b.await("next", "other") // the handler still runs
	b.nsqdHTTP = second.http
	b.eventually("the held message is delivered again", func() bool { return b.stats().InFlight == 1 })
	close(release)
	b.await("held", "next", "other")
	b.eventually("it is answered where it is now", func() bool { return b.stats().idle() })
	if n := times.Load(); n != 1 {
		t.Errorf("%d handlers worked on one message", n)
	}
	b.stop(c)
}

// TestTheSecretIsInNoLog also holds for what nsqd says.
func TestTheSecretIsInNoLog(t *testing.T) {
	const secret = "s3cret"
	var mu sync.Mutex
	var text bytes.Buffer
	logger := slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for i, said := range []string{"E_AUTH_FAILED AUTH failed for ", "E_"} {
		listener := sayAfterIdentify(t, `{"max_rdy_count":1,"auth_required":true}`, said+secret)
		b := &bench{t: t}
		cfg := nsqdial.NewConfig()
		cfg.AuthSecret = secret
		c, err := nsqdial.NewConsumer(nsqdial.ConsumerConfig{
			Dialer: b.newDialer("DIAL_NSQD_PROXY=" + listener), Topic: topic, Channel: channel, NSQDs: []string{"nsqd-proxy:4150"}, NSQ: cfg, Logger: logger,
		}, nsq.HandlerFunc(func(*nsq.Message) error { return nil }))
		if err != nil {
			t.Fatal(err)
		}
		b.eventually("the refusal is logged", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Count(text.String(), "AUTH: nsqd says E_") == i+1
		})
		b.stop(c)
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(text.String(), secret) {
		t.Errorf("the secret is in the log:\n%s", text.String())
	}
}

type lockedWriter struct {
	mu  *sync.Mutex
	buf *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}
