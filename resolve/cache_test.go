package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	miekg "github.com/miekg/dns"

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

func TestACachedNameIsNotAskedAgain(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		for _, host := range []string{"db", "DB", "db.", "Db."} {
			answer, err := t.cache.Resolve(t.Context(), host, "1")
			want := resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: "10.0.0.1:1", Weight: 1}}, TTL: time.Minute, Source: "directory"}
			if diff := cmp.Diff(want, answer); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", host, err, diff)
			}
		}
		t.wantLookups(1)
		if _, err := t.cache.Resolve(t.Context(), "db", "2"); err != nil {
			t.Error(err)
		}
		t.wantLookups(1) // another port may be another service
	})
}

func TestAHundredCallersShareOneLookup(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.behave(3*time.Second, nil)
		t.took(3*time.Second, func() {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { t.want("10.0.0.1:1") })
			}
			wg.Wait()
		})
		t.wantLookups(1)
	})
}

func TestALookupSurvivesAnImpatientCaller(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.behave(3*time.Second, nil)
		t.took(time.Second, func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := t.cache.Resolve(ctx, "db", "1")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the impatient caller got %v", err)
			}
		})
		t.took(2*time.Second, func() { t.want("10.0.0.1:1") })
		t.wantLookups(1)
	})
}

func TestACallerWhoseContextIsOverAsksNothing(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := t.cache.Resolve(ctx, "db", "1"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		t.wantLookups(0)
		t.want("10.0.0.1:1") // and its error was not kept
	})
}

func TestALookupEndsAfterFifteenSeconds(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.behave(time.Hour, nil)
		t.took(15*time.Second, func() {
			_, err := t.cache.Resolve(t.Context(), "db", "1")
			if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v; only a caller's own context may show as one", err)
			}
		})
	})
}

func TestRefreshAsksAtMostOncePerSecondAndName(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.cache.Refresh("db", "1")
		t.wantLookups(0) // nobody has asked for it
		t.want("10.0.0.1:1")
		t.say("db", time.Minute, "10.0.0.2:1")
		t.cache.Refresh("DB.", "1")
		t.wantLookups(2)
		t.want("10.0.0.2:1") // long before the floor of a TTL
		for range 100 {
			t.cache.Refresh("db", "1")
		}
		t.pass(time.Second - 1)
		t.cache.Refresh("db", "1")
		t.wantLookups(0)
		t.pass(1)
		t.cache.Refresh("db", "1")
		t.wantLookups(1)

		t.behave(5*time.Second, nil)
		for range 50 { // one in flight is enough
			t.pass(100 * time.Millisecond)
			t.cache.Refresh("db", "1")
			t.took(0, func() { t.want("10.0.0.2:1") })
		}
		t.wantLookups(1)
	})
}

func TestWatchTellsWhenTheEndpointsChange(t *testing.T) {
	endpoint := func(addr string, priority, weight uint16) resolve.Endpoint {
		return resolve.Endpoint{Addr: addr, Priority: priority, Weight: weight}
	}
	a, b, heavyA := endpoint("10.0.0.1:1", 0, 1), endpoint("10.0.0.2:1", 0, 1), endpoint("10.0.0.1:1", 0, 2)
	ab := []resolve.Endpoint{a, b}
	for _, test := range []struct {
		name    string
		before  []resolve.Endpoint
		then    resolve.Answer
		changed bool
	}{
		{"nothing", ab, resolve.Answer{Endpoints: ab}, false},
		{"order", ab, resolve.Answer{Endpoints: []resolve.Endpoint{b, a}}, false},
		{"one twice", ab, resolve.Answer{Endpoints: []resolve.Endpoint{b, a, b}}, false},
		{"order of weights", []resolve.Endpoint{a, heavyA}, resolve.Answer{Endpoints: []resolve.Endpoint{heavyA, a}}, false},
		{"source, TTL, whole", ab, resolve.Answer{Endpoints: ab, Source: "x", TTL: 1, Partial: true}, false},
		{"no endpoint", ab, resolve.Answer{}, false},
		{"one less", ab, resolve.Answer{Endpoints: []resolve.Endpoint{a}}, true},
		{"one more", ab, resolve.Answer{Endpoints: []resolve.Endpoint{a, b, endpoint("10.0.0.3:1", 0, 1)}}, true},
		{"address", ab, resolve.Answer{Endpoints: []resolve.Endpoint{a, endpoint("10.0.0.2:2", 0, 1)}}, true},
		{"priority", ab, resolve.Answer{Endpoints: []resolve.Endpoint{a, endpoint("10.0.0.2:1", 1, 1)}}, true},
		{"weight", ab, resolve.Answer{Endpoints: []resolve.Endpoint{heavyA, b}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
				t.answers["db"] = resolve.Answer{Endpoints: test.before}
				t.db()
				answer, changed := t.cache.Watch("db", "1")
				if diff := cmp.Diff(test.before, answer.Endpoints); diff != "" {
					t.Errorf("watch (-want +got):\n%s", diff)
				}
				t.mu.Lock()
				t.answers["db"] = test.then
				t.mu.Unlock()
				t.pass(9 * time.Minute)
				if isClosed(changed) != test.changed {
					t.Errorf("changed: %v, want %v", isClosed(changed), test.changed)
				}
				if test.changed {
					answer, changed := t.cache.Watch("db", "1")
					if diff := cmp.Diff(test.then, answer); diff != "" || isClosed(changed) {
						t.Errorf("the next watch (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

func TestFollowTellsOfEveryGoodAnswer(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.say("db", 10*time.Second, "10.0.0.1:1")
		if _, at, _ := t.cache.Follow("db", "1"); !at.IsZero() {
			t.Errorf("an answer of %v before any lookup", at)
		}
		synctest.Wait()
		var last time.Time
		for range 20 {
			answer, at, next := t.cache.Follow("db", "1")
			if !at.After(last) || describe(answer, nil) != "10.0.0.1:1" {
				t.Fatalf("%+v of %v after one of %v", answer, at, last)
			}
			last = at
			<-next
		}
		t.behave(0, errors.New("down"))
		_, at, next := t.cache.Follow("db", "1")
		t.pass(9 * time.Minute)
		if answer, still, _ := t.cache.Follow("db", "1"); isClosed(next) || !still.Equal(at) || answer.Stale {
			t.Errorf("while lookups fail: closed %v, %+v of %v, want the answer of %v", isClosed(next), answer, still, at)
		}
		t.cache.Close()
		if _, at, next := t.cache.Follow("db", "1"); !at.IsZero() || next != nil {
			t.Errorf("after Close: %v, %v", at, next)
		}
	})
}

func TestFollowingAnAnswerThatIsNotKeptDoesNotAskForIt(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{UnknownTTL: -1}, func(t *cacheTester) {
		t.say("db", 0, "10.0.0.1:1")
		t.behave(time.Millisecond, nil)
		t.db()
		for began := time.Now(); time.Since(began) < time.Minute; {
			_, _, next := t.cache.Follow("db", "1")
			select {
			case <-next:
			case <-time.After(time.Second):
			}
		}
		if n := len(t.lookups()); n > 14 {
			t.Errorf("%d lookups in a minute; a watched name is asked for each 5 s", n)
		}
	})
}

func TestAServiceThatIsSaidNotToExistIsNotServedStale(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.say("db", 5*time.Second, "10.0.0.1:1")
		t.want("10.0.0.1:1")
		t.behave(0, resolve.ErrAbsent)
		t.pass(10 * time.Second)
		if _, err := t.cache.Resolve(t.Context(), "db", "1"); !errors.Is(err, resolve.ErrAbsent) {
			t.Errorf("got %v", err)
		}
	})
}

func isClosed(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWatchOfAnUnknownNameBeginsItsLookup(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.behave(3*time.Second, nil)
		answer, changed := t.cache.Watch("db", "1")
		if answer.Endpoints != nil {
			t.Errorf("watch says %+v", answer)
		}
		t.took(3*time.Second, func() { <-changed })
		if answer, _ := t.cache.Watch("db", "1"); describe(answer, nil) != "10.0.0.1:1" {
			t.Errorf("watch says %+v", answer)
		}
		t.wantLookups(1)
	})
}

func TestAWatchedNameThatFailsIsAskedForAtThePaceOfErrors(t *testing.T) {
	for _, before := range []string{"asked for before", "only watched"} {
		t.Run(before, func(t *testing.T) {
			onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
				t.say("db", 0)
				if before == "asked for before" {
					t.wantError("name not found")
				}
				_, changed := t.cache.Watch("db", "1")
				t.pass(time.Minute)
				if isClosed(changed) {
					t.Error("a name that stays unknown has changed")
				}
				t.wantLookups(13)
				t.say("db", time.Minute, "10.0.0.1:1")
				t.took(5*time.Second, func() { <-changed })
				t.want("10.0.0.1:1")
			})
		})
	}
}

func TestAWatchEndsWhenTheNameIsDropped(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.cache.Watch("db", "1")
		t.pass(time.Minute)
		_, changed := t.cache.Watch("db", "1")
		t.took(10*time.Minute, func() { <-changed })
		t.lookups()
		_, changed = t.cache.Watch("db", "1") // the watcher goes on
		<-changed
		t.wantLookups(1)
		if answer, _ := t.cache.Watch("db", "1"); describe(answer, nil) != "10.0.0.1:1" {
			t.Errorf("watch says %+v", answer)
		}
	})
}

func TestCloseEndsLookupsAndWatches(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.say("cached", time.Minute, "10.0.0.1:1")
		t.cache.Resolve(t.Context(), "cached", "1")
		t.behave(10*time.Second, nil)
		_, changed := t.cache.Watch("db", "1")
		waiter := make(chan error)
		go func() {
			_, err := t.cache.Resolve(context.Background(), "db", "1")
			waiter <- err
		}()
		synctest.Wait()
		t.took(0, func() {
			if err := errors.Join(t.cache.Close(), t.cache.Close()); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		if t.flying != 0 {
			t.Error("close has not waited for the lookup")
		}
		if err := <-waiter; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the waiter got %v", err)
		}
		if !isClosed(changed) {
			t.Error("the watch goes on")
		}
		t.lookups()
		for _, host := range []string{"cached", "db", "other"} {
			if _, err := t.cache.Resolve(t.Context(), host, "1"); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after close: %v", host, err)
			}
			if answer, changed := t.cache.Watch(host, "1"); !isClosed(changed) || answer.Endpoints != nil {
				t.Errorf("watch of %s after close: %+v", host, answer)
			}
			t.cache.Refresh(host, "1")
		}
		t.pass(time.Hour)
		t.wantLookups(0)
	})
}

func TestCloseWaitsForAResolverThatDoesNotHeedItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		c := resolve.NewCache(resolverFunc(func() (resolve.Answer, error) {
			time.Sleep(3 * time.Second)
			ended.Store(true)
			return resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: "10.0.0.1:1"}}}, nil
		}), resolve.CacheConfig{})
		waiter := make(chan time.Time, 1)
		go func() {
			if _, err := c.Resolve(context.Background(), "db", "1"); !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
			waiter <- time.Now()
		}()
		synctest.Wait()
		begin := time.Now()
		c.Close()
		if !ended.Load() || time.Since(begin) != 3*time.Second {
			t.Error("close has not waited for the lookup")
		}
		if at := <-waiter; !at.Equal(begin) {
			t.Error("the caller has waited for the lookup")
		}
	})
}

type resolverFunc func() (resolve.Answer, error)

func (f resolverFunc) Resolve(context.Context, string, string) (resolve.Answer, error) { return f() }

func TestANameHasOneLookupInFlightWhateverHappens(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.behave(700*time.Millisecond, nil)
		t.say("db", time.Second, "10.0.0.1:1")
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 2000 {
					time.Sleep(time.Duration(1+i) * 7 * time.Millisecond)
					switch (i + j) % 4 {
					case 0:
						t.db()
					case 1:
						t.cache.Refresh("db", "1")
					case 2:
						t.cache.Watch("db", "1")
					case 3:
						t.say("db", time.Second, fmt.Sprintf("10.0.0.%d:1", j%250))
						t.behave(time.Duration(j%3)*time.Second, []error{nil, errDown}[j%2])
					}
				}
			})
		}
		wg.Wait()
		if t.most != 1 {
			t.Errorf("%d lookups of one name in flight", t.most)
		}
	})
}

// Not in a bubble: there, the scheduler would have less to choose from.
func TestACacheIsSafeForConcurrentUse(t *testing.T) {
	c := resolve.NewCache(resolverFunc(func() (resolve.Answer, error) {
		return resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: "10.0.0.1:1"}}}, nil
	}), resolve.CacheConfig{UnknownTTL: time.Nanosecond, File: t.TempDir() + "/answers"})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				host := fmt.Sprint("db", (i+j)%5)
				if i == 7 && j == 400 {
					c.Close()
				}
				if answer, err := c.Resolve(t.Context(), host, "1"); err != nil && !errors.Is(err, net.ErrClosed) || err == nil && len(answer.Endpoints) != 1 {
					t.Errorf("got %+v, %v", answer, err)
				}
				c.Watch(host, "1")
				c.Refresh(host, "1")
			}
		})
	}
	wg.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestNamedLooksThroughACache(t *testing.T) {
	static := must(t)(resolve.Static(map[string]string{"db": "10.0.0.1"}))
	c := resolve.NewCache(resolve.Chain(static, resolve.System(nil)), resolve.CacheConfig{})
	defer c.Close()
	check(t, resolve.Named(c), []lookup{{"db", "1", "static db: 10.0.0.1:1"}, {"standby.example.org", "80", "not found"}})
	unnamed := resolve.NewCache(resolve.System(nil), resolve.CacheConfig{})
	defer unnamed.Close()
	if n := resolve.Named(unnamed); n != nil {
		t.Errorf("a cache over System has nothing named, got %v", n)
	}
}

func TestAddressesSayWhatTheyDoNotKnow(t *testing.T) {
	inner := fixed{
		"whole":     {Endpoints: []resolve.Endpoint{{Addr: "standby.example.org:1"}}, TTL: 30 * time.Second},
		"long":      {Endpoints: []resolve.Endpoint{{Addr: "standby.example.org:1"}}, TTL: 31 * time.Second},
		"half":      {Endpoints: []resolve.Endpoint{{Addr: "standby.example.org:1"}, {Addr: "nowhere.example.org:1"}}},
		"addresses": {Endpoints: []resolve.Endpoint{{Addr: "10.0.0.1:1"}}, TTL: time.Hour},
	}
	type known struct {
		Partial bool
		TTL     time.Duration
	}
	got := map[string]known{}
	for host := range inner {
		answer, err := resolve.Addresses(inner, nil).Resolve(t.Context(), host, "1")
		if err != nil {
			t.Fatal(err)
		}
		got[host] = known{answer.Partial, answer.TTL}
	}
	want := map[string]known{
		"whole": {false, 30 * time.Second}, "long": {false, 0}, "half": {true, 0}, "addresses": {false, time.Hour},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAnswerWithoutTheAddressesOfOneKindIsPartialIfTheirLookupFailed(t *testing.T) {
	for name, test := range map[string]struct {
		aaaa    int // what the name server says of IPv6
		partial bool
		addrs   string
	}{
		"both kinds":                 {miekg.RcodeSuccess, false, "10.0.0.1:1 [2001:db8::1]:1"},
		"IPv6 failed":                {miekg.RcodeServerFailure, true, "10.0.0.1:1"},
		"the name is said not to be": {miekg.RcodeNameError, false, "10.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			server := listen(t, miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
				reply := new(miekg.Msg)
				reply.SetReply(q)
				reply.RecursionAvailable = true
				record := q.Question[0].Name + " 60 IN A 10.0.0.1"
				if q.Question[0].Qtype == miekg.TypeAAAA {
					record, reply.Rcode = q.Question[0].Name+" 60 IN AAAA 2001:db8::1", test.aaaa
				}
				if rr, err := miekg.NewRR(record); err == nil && reply.Rcode == miekg.RcodeSuccess {
					reply.Answer = append(reply.Answer, rr)
				}
				_ = w.WriteMsg(reply)
			}))
			dns := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, server.Addr)
			}}
			for _, r := range []resolve.Resolver{
				resolve.System(dns),
				resolve.Addresses(fixed{"db.example.org": {Endpoints: []resolve.Endpoint{{Addr: "db.example.org:1"}}}}, dns),
			} {
				answer, err := r.Resolve(t.Context(), "db.example.org", "1")
				if answer.Partial != test.partial || describe(answer, err) != test.addrs {
					t.Errorf("got %s, partial %v", describe(answer, err), answer.Partial)
				}
			}
		})
	}
}

type fixed map[string]resolve.Answer

func (f fixed) Resolve(_ context.Context, host, _ string) (resolve.Answer, error) {
	answer := f[host]
	answer.Endpoints = slices.Clone(answer.Endpoints)
	return answer, nil
}

func BenchmarkCachedName(b *testing.B) {
	c := resolve.NewCache(fixed{"mongodb-proxy": {Endpoints: []resolve.Endpoint{{Addr: "10.0.0.1:27017"}}}}, resolve.CacheConfig{})
	defer c.Close()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Resolve(ctx, "mongodb-proxy", "27017"); err != nil {
			b.Fatal(err)
		}
	}
}
