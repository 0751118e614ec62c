package nsqdial

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsqio/go-nsq"
)

// nomad is an nsqd that moves. Its connections tell what the dialer's do.
type nomad struct {
	*testing.T
	*place
	consumer *Consumer

	mu    sync.Mutex // guards the fields below
	at    string
	conns []*movable
}

// movable is a connection that the test makes tell that its place is missing from the answer, and that it has left.
type movable struct {
	net.Conn
	at               string
	missing, leaving chan struct{}
	nomad            *nomad
}

type where string

func (w where) Network() string { return "tcp" }
func (w where) String() string  { return string(w) }

func (c *movable) RemoteAddr() net.Addr { return where(c.at) }
func (c *movable) Missing() <-chan struct{} {
	c.nomad.mu.Lock()
	defer c.nomad.mu.Unlock()
	return c.missing
}
func (c *movable) Leaving() <-chan struct{} { return c.leaving }

func (n *nomad) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.place.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &movable{conn, n.at, make(chan struct{}), make(chan struct{}), n}
	n.conns = append(n.conns, c)
	return c, nil
}

// conn returns the i-th connection that was made.
func (n *nomad) conn(i int) *movable {
	n.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if i >= len(n.conns) {
		n.Fatalf("%d connections were made, want %d", len(n.conns), i+1)
	}
	return n.conns[i]
}

// answers makes the name lead to a place, by an answer that lacks the connection's.
func (n *nomad) answers(at string, lacks *movable) {
	n.mu.Lock()
	n.at = at
	n.mu.Unlock()
	close(lacks.missing)
}

// has makes the answer have the connection's place again.
func (n *nomad) has(c *movable) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at, c.missing = c.at, make(chan struct{})
}

// wander runs a test with a consumer, which is at "old" first.
func wander(t *testing.T, test func(n *nomad), change ...func(*ConsumerConfig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &nomad{T: t, place: newPlace(t), at: "old"}
		cfg := ConsumerConfig{Topic: "tasks", Channel: "workers", NSQDs: []string{"nsqd:4150"}}
		for _, c := range change {
			c(&cfg)
		}
		n.consumer = newConsumer(cfg, NewConfig(), &lookup{}, nsq.HandlerFunc(func(*nsq.Message) error { return nil }), nsqDialer{n.dial, n.health})
		n.consumer.start()
		n.wantAt("at first", "old")
		test(n)
		if err := n.consumer.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// wantAt checks where messages are taken.
func (n *nomad) wantAt(when string, places ...string) {
	n.Helper()
	synctest.Wait()
	n.consumer.account.mu.Lock()
	defer n.consumer.account.mu.Unlock()
	var at []string
	for _, s := range n.consumer.account.sessions {
		at = append(at, s.remote)
	}
	if !slices.Equal(at, places) {
		n.Errorf("%s it takes messages at %v, want %v", when, at, places)
	}
}

func TestAnNSQDThatMayHaveMovedIsConsumedAtBothPlacesUntilThatIsSure(t *testing.T) {
	wander(t, func(n *nomad) {
		n.answers("new", n.conn(0))
		n.wantAt("after one answer", "old", "new")
		close(n.conn(0).leaving)
		n.wantAt("after two answers", "new")
		time.Sleep(time.Minute)
		if dials := len(n.dialed()); dials != 2 {
			n.Errorf("%d dials, want 2", dials)
		}
	})
}

func TestAnNSQDThatHasLeftWithoutAWarningIsFollowed(t *testing.T) {
	wander(t, func(n *nomad) {
		n.mu.Lock()
		n.at = "new"
		n.mu.Unlock()
		close(n.conn(0).leaving)
		n.wantAt("after it", "new")
	})
}

func TestAnAnswerThatWasOneForAWhileIsUndone(t *testing.T) {
	wander(t, func(n *nomad) {
		n.answers("new", n.conn(0))
		n.wantAt("after one answer", "old", "new")
		n.has(n.conn(0))
		close(n.conn(1).leaving)
		n.wantAt("when the old place is the answer again", "old")
		time.Sleep(2 * time.Second)
		n.answers("newer", n.conn(0))
		n.wantAt("after another answer", "old", "newer")
		close(n.conn(0).leaving)
		n.wantAt("when that is sure", "newer")
	})
}

func TestADialThatLeadsToTheSamePlaceIsNotRepeatedWithoutAPause(t *testing.T) {
	wander(t, func(n *nomad) {
		n.answers("old", n.conn(0)) // it took a spare, perhaps
		time.Sleep(10 * time.Second)
		n.wantAt("after it", "old")
		if dials := len(n.dialed()); dials < 5 || dials > 12 {
			n.Errorf("%d dials in 10 s, want one a second", dials)
		}
		n.mu.Lock()
		n.at = "new"
		n.mu.Unlock()
		time.Sleep(2 * time.Second)
		n.wantAt("when it leads elsewhere", "old", "new")
	})
}

func TestWhenOneOfTwoPlacesIsLostTheOtherStays(t *testing.T) {
	wander(t, func(n *nomad) {
		n.answers("new", n.conn(0))
		n.wantAt("after one answer", "old", "new")
		n.conn(0).Close()
		n.wantAt("when the old place is lost", "new")
		time.Sleep(time.Minute)
		if dials := len(n.dialed()); dials != 2 {
			n.Errorf("%d dials, want 2", dials)
		}
	})
	wander(t, func(n *nomad) {
		n.answers("new", n.conn(0))
		n.conn(1).Close()
		n.wantAt("when the new place is lost", "old")
		time.Sleep(2 * time.Second)
		n.wantAt("a moment later", "old", "new")
		n.conn(2).Close()
		n.wantAt("when it is lost again", "old")
		close(n.conn(0).leaving)
		n.wantAt("when it is sure all the same", "new")
	})
}

func TestConnectedDoesNotWaitForAPlaceThatIsNotTheAnswerAnyMore(t *testing.T) {
	for name, change := range map[string]func(n *nomad){
		"the answer is what it was": func(n *nomad) { n.has(n.conn(0)) },
		"the new place has left":    func(n *nomad) { close(n.conn(1).leaving); n.has(n.conn(0)) },
		"the new place is lost":     func(n *nomad) { n.conn(1).Close(); n.has(n.conn(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			waits := 0
			wander(t, func(n *nomad) {
				n.answers("new", n.conn(0))
				n.wantAt("while Connected waits", "old")
				change(n)
				time.Sleep(5 * time.Second)
				n.wantAt("after that", "old")
				if waits != 0 {
					n.Errorf("%d calls of Connected wait", waits)
				}
			}, func(c *ConsumerConfig) {
				c.Connected = func(ctx context.Context, _ string, beside any) (any, func()) {
					if beside != nil {
						waits++
						<-ctx.Done()
						waits--
					}
					return "nsqd", nil
				}
			})
		})
	}
}

func TestAStopEndsAConnectionThatIsBeingMade(t *testing.T) {
	wander(t, func(n *nomad) {
		conn := n.conn(0)
		n.place.set(errDown, true)
		n.answers("new", conn)
		time.Sleep(10 * time.Second)
		n.wantAt("while the new place does not answer", "old")
	})
}

func TestConnectedIsToldOfAConnectionBeforeMessagesAndOfItsEnd(t *testing.T) {
	var mu sync.Mutex
	ended := map[any]int{}
	next := 0
	wait := make(chan struct{})
	connected := func(ctx context.Context, nsqd string, beside any) (any, func()) {
		if nsqd != "nsqd:4150" {
			t.Errorf("connected to %s", nsqd)
		}
		mu.Lock()
		next++
		this := next
		mu.Unlock()
		if beside != nil {
			if beside != this-1 {
				t.Errorf("beside %v, want %d", beside, this-1)
			}
			select {
			case <-wait:
			case <-ctx.Done():
			}
		}
		return this, func() {
			mu.Lock()
			defer mu.Unlock()
			ended[this]++
		}
	}
	wantEnded := func(n *nomad, when string, want ...any) {
		n.Helper()
		time.Sleep(2 * time.Second) // of nsqd's answer to CLS
		mu.Lock()
		defer mu.Unlock()
		if len(ended) != len(want) {
			n.Errorf("%s: ended are %v, want %v", when, ended, want)
		}
		for _, w := range want {
			if ended[w] != 1 {
				n.Errorf("%s: the end of %v is told %d times", when, w, ended[w])
			}
		}
	}
	wander(t, func(n *nomad) {
		wait = make(chan struct{})
		n.answers("new", n.conn(0))
		n.wantAt("while Connected waits", "old")
		close(wait)
		n.wantAt("when it has returned", "old", "new")
		close(n.conn(0).leaving)
		wantEnded(n, "the old place is left", 1)
		n.conn(1).Close()
		time.Sleep(2 * time.Second)
		wantEnded(n, "the new place is lost", 1, 2)

		wait = make(chan struct{})
		n.answers("newer", n.conn(2))
		n.wantAt("while Connected waits", "new")
		close(n.conn(2).leaving)
		n.wantAt("when it is sure, Connected waits no longer", "newer")
		wantEnded(n, "that is left, too", 1, 2, 3)
	}, func(c *ConsumerConfig) { c.Connected = connected })
	if next != 4 || ended[4] != 1 {
		t.Errorf("%d connections; the end of the last one is told %d times", next, ended[4])
	}
}
