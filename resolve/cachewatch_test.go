package resolve_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/resolve"
)

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
