package nsqdial

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
)

// place is an nsqd on virtual time: what a dial finds there, and what the dialer says of its health. It knows the
// handshake and no messages.
type place struct {
	mu       sync.Mutex
	err      error    // of a dial; nil = it accepts
	alive    []string // the addresses that can be reached; nil = all
	refuse   string
	identity string // what nsqd answers to IDENTIFY; empty = {}
	ready    bool
	changed  chan struct{}
	dials    []time.Time
	conns    []net.Conn
	serving  sync.WaitGroup
}

func newPlace(t *testing.T) *place {
	p := &place{ready: true, changed: make(chan struct{})}
	t.Cleanup(func() { // after the consumers'
		p.drop()
		p.serving.Wait()
	})
	return p
}

func (p *place) set(err error, ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.ready = err, ready
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *place) health(string) (dialer.Health, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return dialer.Health{Ready: p.ready}, p.changed
}

// only closes all connections, after which nothing else than addresses can be reached.
func (p *place) only(addresses ...string) {
	p.mu.Lock()
	p.alive = addresses
	p.mu.Unlock()
	p.drop()
}

func (p *place) dial(_ context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials = append(p.dials, time.Now())
	if p.err != nil {
		return nil, p.err
	}
	if len(p.alive) > 0 && !slices.Contains(p.alive, address) {
		return nil, errDown
	}
	near, far := net.Pipe()
	p.conns = append(p.conns, far)
	refuse, identity := p.refuse, cmp.Or(p.identity, "{}")
	p.serving.Go(func() {
		defer far.Close()
		go io.Copy(io.Discard, far)
		answers := [][]byte{frame(uint32(4+len(identity)), 0, identity), frame(4+2, 0, "OK")}
		if refuse != "" {
			answers[1] = frame(uint32(4+len(refuse)), 1, refuse)
		}
		for _, answer := range answers {
			if _, err := far.Write(answer); err != nil {
				return
			}
		}
		if refuse == "" {
			<-closedBy(far)
		}
	})
	return near, nil
}

// closedBy is closed when either side has closed the connection.
func closedBy(conn net.Conn) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for conn.SetDeadline(time.Time{}) == nil {
			if _, err := conn.Write(frame(4+11, 0, heartbeat)); err != nil {
				return
			}
			<-time.After(time.Second)
		}
	}()
	return done
}

func (p *place) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *place) dialed() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.dials...)
}

// consume starts a consumer of p that handles nothing.
func (p *place) consume(t *testing.T) *Consumer {
	t.Helper()
	cfg := ConsumerConfig{Topic: "tasks", Channel: "workers", NSQDs: []string{"nsqd:4150"}}
	c := newConsumer(cfg, NewConfig(), &lookup{}, nsq.HandlerFunc(func(*nsq.Message) error { return nil }), nsqDialer{p.dial, p.health})
	c.start()
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

var errDown = errors.New("connection refused")

func TestAnNSQDIsConsumedAsSoonAsTheDialerHasFoundItBack(t *testing.T) {
	for _, down := range []time.Duration{time.Second, time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t)
			c := p.consume(t)
			synctest.Wait()
			if c.Stats().Connections != 1 {
				t.Fatal("not connected")
			}
			p.set(errDown, false)
			p.drop()
			time.Sleep(down)
			tried := len(p.dialed())
			if most := 2 + int(down/time.Second); tried > most {
				t.Errorf("%d dials in %v, at most one a second is of use while the dialer says that there is no way", tried, down)
			}
			p.set(nil, true)
			begin := time.Now()
			for c.Stats().Connections == 0 && time.Since(begin) < time.Minute {
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(begin); took > 800*time.Millisecond {
				t.Errorf("after %v it took %v", down, took)
			}
		})
	}
}

func TestAFleetDoesNotComeBackInOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 200
		p := newPlace(t)
		for range workers {
			p.consume(t)
		}
		synctest.Wait()
		before := len(p.dialed())
		lost := time.Now()
		p.drop() // and it accepts again at once
		time.Sleep(2 * time.Second)
		after := p.dialed()[before:]
		if len(after) != workers {
			t.Fatalf("%d dials, want %d", len(after), workers)
		}
		busiest := 0
		for i, from := range after {
			n := 0
			for _, at := range after[i:] {
				if at.Sub(from) < 100*time.Millisecond {
					n++
				}
			}
			busiest = max(busiest, n)
		}
		if busiest > workers/4 {
			t.Errorf("%d of %d in the busiest 100 ms", busiest, workers)
		}
		if last := after[workers-1].Sub(lost); last > time.Second {
			t.Errorf("the last one came after %v", last)
		}
	})
}

func TestWhatOnlyAPersonCanMendIsTriedEverMoreSeldom(t *testing.T) {
	for name, mistake := range map[string]func(*place){
		"a refused secret": func(p *place) { p.refuse = "E_UNAUTHORIZED AUTH failed" },
		"a missing secret": func(p *place) { p.identity = `{"auth_required":true}` },
		"an old nsqd":      func(p *place) { p.identity = "OK" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				mistake(p)
				p.consume(t)
				time.Sleep(10 * time.Minute)
				if n := len(p.dialed()); n < 100 || n > 400 {
					t.Errorf("%d dials in 10 min, want one in a few seconds", n)
				}
			})
		})
	}
}
