package resolve_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gvpocr/worker/resolve"
)

func TestAnswersInUseAreRefreshedAhead(t *testing.T) {
	for _, test := range []struct {
		name string
		ttl  time.Duration
		cfg  resolve.CacheConfig
		want time.Duration // the TTL that counts
	}{
		{"a TTL", time.Minute, resolve.CacheConfig{}, time.Minute},
		{"below the floor", time.Second, resolve.CacheConfig{}, 5 * time.Second},
		{"above the ceiling", time.Hour, resolve.CacheConfig{}, 5 * time.Minute},
		{"unknown", 0, resolve.CacheConfig{}, 30 * time.Second},
		{"own floor", 10 * time.Second, resolve.CacheConfig{MinTTL: 20 * time.Second}, 20 * time.Second},
		{"own ceiling", 10 * time.Second, resolve.CacheConfig{MaxTTL: 8 * time.Second}, 8 * time.Second},
		{"own unknown", 0, resolve.CacheConfig{UnknownTTL: time.Second * 3 / 2}, time.Second * 3 / 2},
		{"no floor", 2 * time.Second, resolve.CacheConfig{MinTTL: -1}, 2 * time.Second},
		{"no ceiling", 9 * time.Minute, resolve.CacheConfig{MaxTTL: -1}, 9 * time.Minute},
		{"the longest TTL there is", 1<<63 - 1, resolve.CacheConfig{MaxTTL: 9 * time.Minute}, 9 * time.Minute},
		{"the ceiling goes before the floor", time.Minute, resolve.CacheConfig{MinTTL: time.Minute, MaxTTL: 10 * time.Second}, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			onVirtualTime(t, test.cfg, func(t *cacheTester) {
				t.say("db", test.ttl, "10.0.0.1:1")
				t.want("10.0.0.1:1")
				delay := min(test.want/20, 5*time.Second)
				t.behave(delay, nil)
				gaps := map[time.Duration]bool{}
				last := t.lookups()[0]
				for range 400 {
					t.pass(test.want / 10)
					t.took(0, func() { t.want("10.0.0.1:1") }) // nobody waits again
					for _, next := range t.lookups() {
						// Between two lookups lie the answer's delay and 80 % of its time, which has ± 10 %.
						gap := next - last
						if low, high := test.want*72/100, test.want*88/100+delay; gap < low || gap > high {
							t.Fatalf("a lookup after %v, want %v to %v", gap, low, high)
						}
						last = next
						gaps[gap] = true
					}
				}
				if len(gaps) < 30 {
					t.Errorf("only %d different times between lookups: they are to be random", len(gaps))
				}
			})
		})
	}
}

func TestEachNameIsRefreshedInItsOwnTime(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		ttl := map[string]time.Duration{}
		for i := range 50 {
			host := fmt.Sprint("db", i)
			ttl[net.JoinHostPort(host, "1")] = time.Duration(10+i*7%50) * time.Second
			t.say(host, ttl[net.JoinHostPort(host, "1")], "10.0.0.1:1")
			t.cache.Watch(host, "1")
		}
		t.pass(9 * time.Minute)
		lookups := map[string]int{}
		for _, q := range t.asked {
			lookups[q.name]++
		}
		for name, ttl := range ttl {
			if n := lookups[name]; n < int(9*time.Minute*100/88/ttl) || n > int(9*time.Minute*100/72/ttl)+1 {
				t.Errorf("%s, good for %v, was asked for %d times in nine minutes", name, ttl, n)
			}
		}
	})
}

func TestAWatchedNameIsRefreshedThoughNobodyAsks(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.say("db", 10*time.Second, "10.0.0.1:1")
		t.cache.Watch("db", "1")
		t.pass(8 * time.Minute)
		if n := len(t.lookups()); n < 8*60*10/88 || n > 8*60*10/72+1 {
			t.Errorf("%d lookups in eight minutes, want one in 7.2 to 8.8 s", n)
		}
	})
}

func TestANameIsDroppedTenMinutesAfterItWasLastUsed(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.want("10.0.0.1:1")
		t.pass(5 * time.Minute)
		t.want("10.0.0.1:1")
		t.lookups()
		t.pass(10 * time.Minute)
		if n := len(t.lookups()); n < 11 || n > 13 {
			t.Errorf("%d lookups in ten minutes, want one in 43.2 to 52.8 s", n)
		}
		t.pass(time.Hour)
		t.wantLookups(0)
		t.cache.Refresh("db", "1")
		t.wantLookups(0)
		t.behave(0, errDown)
		t.wantError("is down") // the old answer is gone
	})
}

func TestErrorsAreKeptForFiveSeconds(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
	}{{"not found", nil}, {"failure", errDown}} {
		t.Run(test.name, func(t *testing.T) {
			onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
				t.say("db", 0)
				t.behave(0, test.err)
				for range 3 {
					_, err := t.cache.Resolve(t.Context(), "db", "1")
					if test.err == nil && !errors.Is(err, resolve.ErrNotFound) || test.err != nil && !errors.Is(err, test.err) {
						t.Errorf("got %v", err)
					}
				}
				t.wantLookups(1)
				t.pass(5*time.Second - 1)
				t.wantError("")
				t.wantLookups(0)
				t.pass(1)
				t.wantError("")
				t.wantLookups(1)
				t.pass(time.Hour)
				t.wantLookups(0) // nobody watches the name
			})
		})
	}
}

func TestNegativeSettingsSwitchOff(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{NegativeTTL: -1}, func(t *cacheTester) {
		t.behave(0, errDown)
		t.wantError("is down")
		t.wantError("is down")
		t.wantLookups(2)
		t.behave(0, nil)
		t.want("10.0.0.1:1")
		t.behave(0, errDown)
		t.pass(time.Minute)
		t.lookups()
		t.pass(time.Minute)
		t.want("10.0.0.1:1 stale")
		t.wantLookups(12) // a stale answer has its pace all the same
	})
	onVirtualTime(t, resolve.CacheConfig{UnknownTTL: -1}, func(t *cacheTester) {
		t.say("db", 0, "10.0.0.1:1")
		t.want("10.0.0.1:1")
		t.want("10.0.0.1:1")
		t.pass(time.Hour)
		t.wantLookups(2)
	})
	onVirtualTime(t, resolve.CacheConfig{MaxStale: -1}, func(t *cacheTester) {
		t.want("10.0.0.1:1")
		t.behave(0, errDown)
		t.pass(54*time.Second - 1) // the least that a minute can be
		t.want("10.0.0.1:1 stale") // the refresh has failed, but the TTL is not over
		t.pass(12*time.Second + 1)
		t.wantError("is down")
	})
}

func TestAFailedRefreshNeverReplacesAGoodAnswer(t *testing.T) {
	fail := map[string]func(*cacheTester){
		"failure":   func(t *cacheTester) { t.behave(0, errDown) },
		"not found": func(t *cacheTester) { t.say("db", 0) },
		"empty":     func(t *cacheTester) { t.say("db", time.Minute, "-") },
		"no answer": func(t *cacheTester) { t.behave(time.Hour, nil) },
	}
	for name, fail := range fail {
		t.Run(name, func(t *testing.T) {
			onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
				t.want("10.0.0.1:1")
				fail(t)
				t.pass(50 * time.Second) // into or past the first refresh
				t.lookups()
				for range (24*60 - 2) * 60 / 59 {
					t.pass(59 * time.Second) // each time at another moment of the pace
					t.took(0, func() { t.want("10.0.0.1:1 stale") })
				}
				n := len(t.lookups())
				if name == "no answer" && n < 24*180-30 || name != "no answer" && n < 24*720-30 || n > 24*720 {
					t.Errorf("%d lookups in a day, want one in 5 s (20 s where each takes 15)", n)
				}
				answer, err := t.cache.Resolve(t.Context(), "db", "1")
				if err != nil || answer.Source != "directory" || answer.TTL != time.Minute {
					t.Errorf("the stale answer is %+v, %v; source and TTL stay", answer, err)
				}
				t.pass(2 * time.Minute)
				t.wantError("")
				t.behave(0, nil)
				t.say("db", time.Minute, "10.0.0.2:1")
				t.pass(5 * time.Second)
				t.want("10.0.0.2:1")
			})
		})
	}
}

func TestTheFirstLookupThatWorksEndsStaleness(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.want("10.0.0.1:1")
		t.behave(0, errDown)
		t.pass(9 * time.Minute)
		t.want("10.0.0.1:1 stale")
		t.behave(0, nil)
		t.say("db", time.Minute, "10.0.0.2:1")
		t.pass(5 * time.Second)
		t.want("10.0.0.2:1")
	})
}

func TestASlowRefreshDelaysNobodyForMoreThanTwoSeconds(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.say("db", 10*time.Second, "10.0.0.1:1")
		t.want("10.0.0.1:1")
		t.behave(14*time.Second, nil)
		for range 200 { // 20 s: a refresh begins after 7.2 to 8.8 s, and the answer runs out after 9 to 11 s
			t.pass(100 * time.Millisecond)
			begin := time.Now()
			if got := t.db(); got != "10.0.0.1:1" && got != "10.0.0.1:1 stale" || time.Since(begin) > 2*time.Second {
				t.Fatalf("got %s after %v", got, time.Since(begin))
			}
		}
	})
}

func TestAnAnswerThatIsPartialReplacesAWholeOne(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.say("db", time.Minute, "10.0.0.1:1", "10.0.0.2:1")
		t.want("10.0.0.1:1 10.0.0.2:1")
		t.mu.Lock()
		t.answers["db"] = resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: "10.0.0.2:1"}}, Partial: true}
		t.mu.Unlock()
		t.pass(time.Minute)
		if answer, err := t.cache.Resolve(t.Context(), "db", "1"); err != nil || !answer.Partial || answer.Stale || len(answer.Endpoints) != 1 {
			t.Errorf("got %+v, %v", answer, err)
		}
	})
}

func TestRefreshThatFailsMakesTheAnswerStale(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		t.want("10.0.0.1:1")
		t.behave(0, errDown)
		t.cache.Refresh("db", "1")
		t.lookups()
		t.want("10.0.0.1:1 stale")
	})
}

func TestTheLongestUnusedOfTooManyNamesGoes(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{MinTTL: time.Hour, MaxTTL: time.Hour}, func(t *cacheTester) {
		port := func(i int) string { return fmt.Sprint(i) }
		for i := range 10_000 {
			if _, err := t.cache.Resolve(t.Context(), "db", port(i)); err != nil {
				t.Fatal(err)
			}
			t.pass(1)
		}
		t.cache.Resolve(t.Context(), "db", port(0)) // in use again
		t.wantLookups(10_000)
		_, gone := t.cache.Watch("db", port(1)) // and this
		for i := range 100 {
			t.pass(1)
			t.cache.Resolve(t.Context(), "db", port(10_000+i))
		}
		t.wantLookups(100)
		for _, i := range []int{0, 1, 102, 9_999, 10_099} {
			t.cache.Resolve(t.Context(), "db", port(i))
		}
		t.wantLookups(0)
		for _, i := range []int{2, 50, 101} {
			t.cache.Resolve(t.Context(), "db", port(i))
		}
		t.wantLookups(3)
		if isClosed(gone) {
			t.Error("a name in use was dropped")
		}
	})
}

func TestANameThatNoHostCanHaveIsNotKept(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{}, func(t *cacheTester) {
		if _, err := t.cache.Resolve(t.Context(), strings.Repeat("a", 1000), "1"); !errors.Is(err, resolve.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		t.wantLookups(0)
	})
}
