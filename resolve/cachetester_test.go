package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// directory is a resolver that says what the test tells it to, and remembers when it was asked.
type directory struct {
	start time.Time

	mu      sync.Mutex
	answers map[string]resolve.Answer // by host; none = ErrNotFound
	err     error                     // instead of every answer
	delay   time.Duration             // before every answer
	asked   []question
	flying  int
	most    int // lookups in flight at one time
}

type question struct {
	name string
	at   time.Duration
}

func (d *directory) Resolve(ctx context.Context, host, port string) (resolve.Answer, error) {
	d.mu.Lock()
	d.asked = append(d.asked, question{net.JoinHostPort(host, port), time.Since(d.start)})
	d.flying++
	d.most = max(d.most, d.flying)
	delay := d.delay
	d.mu.Unlock()
	var err error
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flying--
	if err = errors.Join(err, d.err); err != nil {
		return resolve.Answer{}, err
	}
	if answer, ok := d.answers[host]; ok {
		return answer, nil
	}
	return resolve.Answer{}, fmt.Errorf("%s: %w", host, resolve.ErrNotFound)
}

// say sets the answer for a host; no address takes the host away, and "-" makes its answer empty.
func (d *directory) say(host string, ttl time.Duration, addrs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(addrs) == 0 {
		delete(d.answers, host)
		return
	}
	answer := resolve.Answer{TTL: ttl, Source: "directory"}
	for _, addr := range addrs {
		if addr != "-" {
			answer.Endpoints = append(answer.Endpoints, resolve.Endpoint{Addr: addr, Weight: 1})
		}
	}
	d.answers[host] = answer
}

// behave sets how every lookup goes from now on.
func (d *directory) behave(delay time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay, d.err = delay, err
}

// cacheTester is a cache over a directory that knows db at 10.0.0.1, on the time of a bubble.
type cacheTester struct {
	*testing.T
	*directory
	cache *resolve.Cache
}

func onVirtualTime(t *testing.T, cfg resolve.CacheConfig, test func(*cacheTester)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{start: time.Now(), answers: map[string]resolve.Answer{}}
		d.say("db", time.Minute, "10.0.0.1:1")
		ct := &cacheTester{t, d, resolve.NewCache(d, cfg)}
		defer func() {
			if err := ct.cache.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}()
		test(ct)
	})
}

// db asks the cache for db:1 and writes what it says in a line.
func (ct *cacheTester) db() string {
	return describe(ct.cache.Resolve(context.Background(), "db", "1"))
}

func describe(answer resolve.Answer, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	for i, e := range answer.Endpoints {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.Addr)
	}
	if answer.Stale {
		b.WriteString(" stale")
	}
	return b.String()
}

// want compares what the cache says of db now.
func (ct *cacheTester) want(want string) {
	ct.Helper()
	if got := ct.db(); got != want {
		ct.Errorf("after %v db is %q, want %q", time.Since(ct.start), got, want)
	}
}

// wantError asks for db and looks for a part of the error.
func (ct *cacheTester) wantError(part string) {
	ct.Helper()
	if got := ct.db(); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, part) {
		ct.Errorf("after %v db is %q, want an error with %q", time.Since(ct.start), got, part)
	}
}

// lookups returns when the directory was asked since the last call.
func (ct *cacheTester) lookups() []time.Duration {
	synctest.Wait()
	ct.mu.Lock()
	defer ct.mu.Unlock()
	at := make([]time.Duration, len(ct.asked))
	for i, q := range ct.asked {
		at[i] = q.at
	}
	ct.asked = nil
	return at
}

func (ct *cacheTester) wantLookups(want int) {
	ct.Helper()
	if at := ct.lookups(); len(at) != want {
		ct.Errorf("after %v: %d lookups at %v, want %d", time.Since(ct.start), len(at), at, want)
	}
}

// pass lets time pass, and what is due at the end of it happen.
func (ct *cacheTester) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// took fails the test unless f takes exactly as long.
func (ct *cacheTester) took(want time.Duration, f func()) {
	ct.Helper()
	begin := time.Now()
	f()
	if got := time.Since(begin); got != want {
		ct.Errorf("it took %v, want %v", got, want)
	}
}

var errDown = errors.New("name server is down")

func isClosed(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}
