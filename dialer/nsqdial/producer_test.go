package nsqdial

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counter is an nsqd on virtual time that takes what is published: answer says what it says to the n-th, counted over
// all connections from 1; nil closes the connection.
type counter struct {
	answer func(n int) []byte

	mu      sync.Mutex
	n       int
	serving sync.WaitGroup
}

func (c *counter) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	c.serving.Go(func() {
		defer far.Close()
		r := bufio.NewReader(far)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			say := frame(4+2, 0, "{}")
			switch {
			case strings.HasPrefix(line, "NOP"):
				continue
			case strings.HasPrefix(line, "PUB"):
				c.mu.Lock()
				c.n++
				say = c.answer(c.n)
				c.mu.Unlock()
			}
			var size uint32
			if binary.Read(r, binary.BigEndian, &size) != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, r, int64(size)); err != nil || say == nil {
				return
			}
			if _, err := far.Write(say); err != nil {
				return
			}
		}
	})
	return near, nil
}

func (c *counter) producer(t *testing.T) *Producer {
	p := &Producer{
		address: "nsqd:4150", session: sessionConfig{cfg: NewConfig(), logger: orSilent(nil)}, dial: c.dial, logger: orSilent(nil),
		turn: make(chan struct{}, 1),
	}
	t.Cleanup(func() {
		p.Close()
		c.serving.Wait()
	})
	return p
}

var ok = frame(4+2, 0, "OK")

func TestAPublishThatIsNotAnsweredEndsWithItsContextAndTheNextGetsItsOwnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{answer: func(n int) []byte {
			if n == 1 {
				return []byte{} // later
			}
			return append(frame(4+11, 1, "E_BAD_TOPIC"), ok...) // the first one's answer comes first
		}}
		p := c.producer(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := p.Publish(ctx, "tasks", []byte("a")); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if err := p.Publish(t.Context(), "tasks", []byte("b")); err != nil {
			t.Errorf("the second got the first one's answer: %v", err)
		}
	})
}

func TestALostConnectionIsAnErrorUnlessItWasOldAndIsThenMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{answer: func(n int) []byte {
			if n == 1 || n == 3 {
				return nil
			}
			return ok
		}}
		p := c.producer(t)
		if err := p.Publish(t.Context(), "tasks", []byte("a")); !errors.Is(err, ErrLost) {
			t.Errorf("on a fresh connection: got %v", err)
		}
		for _, body := range []string{"b", "c"} {
			if err := p.Publish(t.Context(), "tasks", []byte(body)); err != nil {
				t.Errorf("%s: %v", body, err)
			}
		}
		if c.n != 4 {
			t.Errorf("%d were published, want a, b, and c twice", c.n)
		}
	})
}

func TestPublishersShareAConnectionAndEachGetsItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{answer: func(int) []byte { return ok }}
		p := c.producer(t)
		var publishing sync.WaitGroup
		for range 100 {
			publishing.Go(func() {
				if err := p.Publish(t.Context(), "tasks", []byte("x")); err != nil {
					t.Error(err)
				}
			})
		}
		publishing.Wait()
		if c.n != 100 {
			t.Errorf("%d were published", c.n)
		}
	})
}
