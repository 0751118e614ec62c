package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/resolve"
)

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
