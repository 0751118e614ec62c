package nsqdial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsqio/go-nsq"
)

// lister is the nsqlookupds of a test on virtual time.
type lister struct {
	mu      sync.Mutex
	answers map[string]func() ([]string, error) // by host
	asked   int
}

func (l *lister) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.asked++
	answer := l.answers[r.URL.Hostname()]
	l.mu.Unlock()
	hosts, err := answer()
	if err != nil {
		return nil, err
	}
	var producers []string
	for _, h := range hosts {
		producers = append(producers, fmt.Sprintf(`{"broadcast_address":%q,"tcp_port":4150}`, h))
	}
	body := `{"producers":[` + strings.Join(producers, ",") + `]}`
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (l *lister) say(lookupd string, answer func() ([]string, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answers == nil {
		l.answers = map[string]func() ([]string, error){}
	}
	l.answers[lookupd] = answer
}

func lists(hosts ...string) func() ([]string, error) {
	return func() ([]string, error) { return hosts, nil }
}

func fails() ([]string, error) { return nil, errDown }

// questions are those asked within d.
func (l *lister) questions(d time.Duration) int {
	l.mu.Lock()
	before := l.asked
	l.mu.Unlock()
	time.Sleep(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked - before
}

// consumeListed starts a consumer of what the lookupds list.
func (p *place) consumeListed(t *testing.T, l *lister, lookupds, nsqds []string) *Consumer {
	t.Helper()
	look := &lookup{client: &http.Client{Transport: l}}
	for _, host := range lookupds {
		look.urls = append(look.urls, &url.URL{Scheme: "http", Host: host + ":4161", Path: "/lookup"})
	}
	cfg := ConsumerConfig{Topic: "tasks", Channel: "workers", NSQDs: nsqds}
	c := newConsumer(cfg, NewConfig(), look, nsq.HandlerFunc(func(*nsq.Message) error { return nil }), nsqDialer{p.dial, p.health})
	c.start()
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *Consumer) wants() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen.wanted)
}

func TestLookupdsAreAskedSeldomWhileNothingIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlace(t), &lister{}
		l.say("a", lists("nsqd-1"))
		c := p.consumeListed(t, l, []string{"a"}, nil)
		time.Sleep(2 * time.Second)
		if c.Stats().Connections != 1 {
			t.Fatal("not connected")
		}
		if n := l.questions(10 * time.Minute); n < 6 || n > 20 {
			t.Errorf("asked %d times in 10 min, want about one a minute", n)
		}
		p.set(errDown, true)
		p.drop()
		if n := l.questions(10 * time.Second); n < 10 || n > 60 {
			t.Errorf("asked %d times in 10 s without a connection, want about two a second", n)
		}
	})
}

func TestAnNSQDThatAdvertisesWhatCannotBeDialedIsToldOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlace(t), &lister{}
		l.say("a", lists("nsqd-1", "no host"))
		var log strings.Builder
		look := &lookup{client: &http.Client{Transport: l}, urls: []*url.URL{{Scheme: "http", Host: "a:4161", Path: "/lookup"}}}
		cfg := ConsumerConfig{Topic: "tasks", Channel: "workers", Logger: slog.New(slog.NewTextHandler(&log, nil))}
		c := newConsumer(cfg, NewConfig(), look, nsq.HandlerFunc(func(*nsq.Message) error { return nil }), nsqDialer{p.dial, p.health})
		c.start()
		time.Sleep(10 * time.Minute)
		if c.Stats().Connections != 1 {
			t.Error("the other one is not connected")
		}
		l.say("a", lists("nsqd-1", "no host", "no host either"))
		time.Sleep(10 * time.Minute)
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 2 || strings.Count(log.String(), "advertised") != 2 {
			t.Errorf("%d warnings, want one for each that is new:\n%s", n, &log)
		}
		if want := `nsqlookupd=a:4161 advertised="[no host either:4150 no host:4150]"`; !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %s:\n%s", want, &log)
		}
	})
}

func TestAnNSQDThatIsGoneIsLookedForFor5MinutesAndThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlace(t), &lister{}
		l.say("a", lists("nsqd-1", "nsqd-2"))
		c := p.consumeListed(t, l, []string{"a"}, nil)
		time.Sleep(2 * time.Second)
		if c.Stats().Connections != 2 {
			t.Fatal("not connected")
		}
		// Both go; one comes back, the other one's lookupd knows it no more.
		p.only("nsqd-1:4150")
		l.say("a", lists("nsqd-1"))
		time.Sleep(4 * time.Minute)
		if c.Stats().Connections != 1 || c.wants() != 2 {
			t.Errorf("%d connections, %d are wanted", c.Stats().Connections, c.wants())
		}
		if n := l.questions(10 * time.Second); n < 10 {
			t.Errorf("asked %d times in 10 s while one is missing", n)
		}
		time.Sleep(4 * time.Minute)
		if c.wants() != 1 {
			t.Error("it is wanted for ever")
		}
		if n := l.questions(10 * time.Minute); n > 20 {
			t.Errorf("asked %d times in 10 min after it was given up", n)
		}
		// It comes back all the same.
		p.only()
		l.say("a", lists("nsqd-1", "nsqd-2"))
		time.Sleep(2 * time.Minute)
		if c.Stats().Connections != 2 {
			t.Error("an nsqd that was given up is not found again")
		}
	})
}

func TestAConnectionThatStandsIsKeptThoughNoLookupdListsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlace(t), &lister{}
		l.say("a", lists("nsqd-1"))
		c := p.consumeListed(t, l, []string{"a"}, nil)
		time.Sleep(2 * time.Second)
		l.say("a", lists())
		time.Sleep(time.Hour)
		if c.Stats().Connections != 1 || len(p.dialed()) != 1 {
			t.Errorf("%d connections after %d dials", c.Stats().Connections, len(p.dialed()))
		}
	})
}

func TestWhatALookupdSaidIsKeptWhileItIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlace(t), &lister{}
		l.say("a", lists("nsqd-1"))
		l.say("b", lists())
		c := p.consumeListed(t, l, []string{"a", "b"}, nil)
		time.Sleep(2 * time.Second)
		l.say("a", fails)
		p.set(errDown, true)
		p.drop()
		time.Sleep(time.Hour)
		if c.wants() != 1 {
			t.Error("the nsqd was given up although its lookupd could not be asked")
		}
		p.set(nil, true)
		time.Sleep(2 * time.Second)
		if c.Stats().Connections != 1 {
			t.Error("not connected again")
		}
	})
}

func TestNSQDsAreConsumedDirectlyWhenLookupdsDieBeforeAnythingIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlace(t), &lister{}
		l.say("a", lists()) // nobody has published yet
		c := p.consumeListed(t, l, []string{"a"}, []string{"nsqd-proxy:4150"})
		time.Sleep(time.Minute)
		if len(p.dialed()) != 0 {
			t.Error("consumed directly although the lookupd answers")
		}
		l.say("a", fails)
		time.Sleep(8 * time.Second)
		if c.Stats().Connections != 1 {
			t.Error("not consumed directly")
		}
		// A lookupd that answers has the last word.
		l.say("a", lists("nsqd-1"))
		time.Sleep(2 * time.Minute)
		if c.Stats().Connections != 1 || c.wants() != 1 {
			t.Errorf("%d connections, %d are wanted: the direct one beside the listed one", c.Stats().Connections, c.wants())
		}
		if n := l.questions(10 * time.Minute); n > 20 {
			t.Errorf("asked %d times in 10 min after the change", n)
		}
	})
}

func TestALookupdThatNamesEverNewOnesFillsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newPlace(t), &lister{}
		p.set(errors.New("no such host"), true)
		n := 0
		l.say("a", func() ([]string, error) {
			var hosts []string
			for range 2 * maxProducers {
				n++
				hosts = append(hosts, fmt.Sprintf("host-%d", n))
			}
			return hosts, nil
		})
		c := p.consumeListed(t, l, []string{"a"}, nil)
		time.Sleep(time.Minute)
		if w := c.wants(); w > maxProducers {
			t.Errorf("%d nsqds are wanted, want %d at most", w, maxProducers)
		}
		// And it has not shut out a good one for ever.
		l.say("a", lists("nsqd-1"))
		p.set(nil, true)
		p.only("nsqd-1:4150")
		time.Sleep(7 * time.Minute)
		if c.Stats().Connections != 1 || c.wants() != 1 {
			t.Errorf("%d connections, %d are wanted", c.Stats().Connections, c.wants())
		}
	})
}

// endless is a body that never ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func (*endless) Close() error { return nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNoMoreOfAnAnswerIsReadThanALookupdCanHaveToSay(t *testing.T) {
	body := &endless{}
	l := &lookup{client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: body, Request: r}, nil
	})}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // where nothing else ends it
	defer cancel()
	stop := context.AfterFunc(ctx, func() { panic("an endless answer is read for ever") })
	defer stop()
	if _, err := l.ask(ctx, &url.URL{Scheme: "http", Host: "a:4161"}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
	if body.read > 2*maxLookupBytes {
		t.Errorf("%d bytes were read", body.read)
	}
}
