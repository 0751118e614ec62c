package nsqdial

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
)

// script is a server that sends what it is given, whatever it hears. What comes after a good greeting is sent when the
// first messages are asked for.
type script struct {
	sent  []byte
	grace time.Duration // how long what was sent may take to be read
}

// run lets a consumer of max messages take what the server sends, until the connection ends.
func (s script) run(t testing.TB, limit int, cfg *nsq.Config, handler nsq.HandlerFunc) {
	t.Helper()
	near, far := net.Pipe()
	var server sync.WaitGroup
	asked, read := make(chan struct{}), make(chan struct{})
	server.Go(func() {
		defer close(read)
		askedOnce := sync.OnceFunc(func() { close(asked) })
		defer askedOnce()
		for lines := bufio.NewScanner(far); lines.Scan() && lines.Text() != "NOP"; {
			if strings.HasPrefix(lines.Text(), "RDY ") {
				askedOnce()
			}
		}
	})
	server.Go(func() {
		defer far.Close()
		far.SetWriteDeadline(time.Now().Add(5 * time.Second))
		rest, good := bytes.CutPrefix(s.sent, greeting)
		if good {
			if _, err := far.Write(greeting); err != nil {
				return
			}
			<-asked
		}
		// It answers a heartbeat when it has read all that came before, unless that ends within a frame.
		far.Write(append(bytes.Clone(rest), frame(4+11, 0, heartbeat)...))
		select {
		case <-read:
		case <-time.After(s.grace):
		}
	})
	server.Go(func() {
		<-read
		io.Copy(io.Discard, far)
	})
	c := newConsumer(ConsumerConfig{Topic: "tasks", Channel: "workers", MaxInFlight: limit}, cfg, &lookup{}, handler, nsqDialer{
		func(context.Context, string, string) (net.Conn, error) { return near, nil },
		func(string) (dialer.Health, <-chan struct{}) { return dialer.Health{Ready: true}, nil },
	})
	defer c.cancel()
	session, err := c.session.open(t.Context(), c.dialer.dial, "nsqd:4150")
	if err == nil {
		c.serve(t.Context(), session)
		c.handlers.Wait()
		if session.lost() == nil {
			t.Error("the session ended for no reason")
		}
	}
	near.Close()
	server.Wait()
	if _, n := c.account.count(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// greeting is what a server has to send before a session begins.
var greeting = append(frame(4+2, 0, "{}"), frame(4+2, 0, "OK")...)

func messageFrame(n uint64, body string) []byte {
	data := binary.BigEndian.AppendUint64(nil, n) // time
	data = binary.BigEndian.AppendUint16(data, 1)
	data = append(data, bytes.Repeat([]byte{byte('0' + n%10)}, 16)...)
	data = append(data, body...)
	return frame(uint32(4+len(data)), nsq.FrameTypeMessage, string(data))
}

func FuzzASessionSurvivesWhateverComes(f *testing.F) {
	for _, answer := range answers {
		f.Add(answer, uint8(2), false)
		f.Add(append(bytes.Clone(greeting), answer...), uint8(0), false)
	}
	many := bytes.Clone(greeting)
	for n := range uint64(300) {
		many = append(many, messageFrame(n, "body")...)
	}
	f.Add(many, uint8(1), false)
	twice := append(bytes.Clone(greeting), messageFrame(1, "a")...)
	f.Add(append(append(twice, messageFrame(1, "a")...), messageFrame(1, "a")...), uint8(3), false)
	f.Add(append(bytes.Clone(greeting), bytes.Repeat(frame(4+11, 0, heartbeat), 1000)...), uint8(1), false)
	f.Add(frame(4+15, 0, `{"snappy":true}`), uint8(1), true)
	f.Fuzz(func(t *testing.T, sent []byte, limit uint8, compressed bool) {
		cfg := NewConfig()
		cfg.Snappy = compressed
		var mu sync.Mutex
		working := map[messageKey]bool{}
		var running atomic.Int32
		script{sent, 5 * time.Millisecond}.run(t, int(limit), cfg, func(m *nsq.Message) error {
			if running.Add(1) > max(int32(limit), 1) {
				t.Error("more handlers than MaxInFlight")
			}
			defer running.Add(-1)
			key := messageKey{m.ID, m.Timestamp}
			mu.Lock()
			if working[key] {
				t.Error("two handlers work on one message")
			}
			working[key] = true
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				delete(working, key)
			}()
			return nil
		})
	})
}

func TestAFloodEndsTheSession(t *testing.T) {
	for name, flood := range map[string][]byte{
		"messages":   bytes.Repeat(messageFrame(1, "a"), 1),
		"heartbeats": frame(4+11, 0, heartbeat),
	} {
		t.Run(name, func(t *testing.T) {
			sent := bytes.Clone(greeting)
			for n := range uint64(5000) {
				if name == "messages" {
					flood = messageFrame(n, "body")
				}
				sent = append(sent, flood...)
			}
			held := make(chan struct{})
			time.AfterFunc(100*time.Millisecond, func() { close(held) })
			var handled atomic.Int32
			script{sent, 5 * time.Second}.run(t, 1, NewConfig(), func(*nsq.Message) error {
				handled.Add(1)
				<-held
				return nil
			})
			if n := handled.Load(); n > 1 {
				t.Errorf("%d messages were handled beside the one that was asked for", n-1)
			}
		})
	}
}

func TestAnErrorAboutAMessageEndsNothingAndAnyOtherDoes(t *testing.T) {
	for code, goesOn := range map[string]bool{
		"E_FIN_FAILED": true, "E_REQ_FAILED": true, "E_TOUCH_FAILED": true, "E_INVALID": false, "E_BAD_MESSAGE": false, "E": false,
	} {
		sent := append(bytes.Clone(greeting), frame(uint32(4+len(code)+5), 1, code+" text")...)
		sent = append(sent, messageFrame(1, "after")...)
		handled := false
		script{sent, 5 * time.Second}.run(t, 1, NewConfig(), func(*nsq.Message) error {
			handled = true
			return nil
		})
		if handled != goesOn {
			t.Errorf("%s: what came after it was handled: %t", code, handled)
		}
	}
}

func TestALargeFrameIsReadAndALieAboutItsSizeCostsNothing(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 3<<20)
	_, data, err := readFrame(bytes.NewReader(frame(uint32(4+len(body)), 2, string(body))))
	if err != nil || !bytes.Equal(data, body) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	lie := frame(maxFrame, 2, "short")
	if cost := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, _, err := readFrame(bytes.NewReader(lie)); err == nil {
				b.Fatal("taken")
			}
		}
	}).AllocedBytesPerOp(); cost > 100<<10 {
		t.Errorf("%d bytes were allocated for a frame of 5", cost)
	}
}
