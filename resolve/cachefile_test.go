package resolve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/resolve"
)

// restart closes the cache and makes another one over the same directory and file.
func (ct *cacheTester) restart(cfg resolve.CacheConfig) {
	ct.Helper()
	if err := ct.cache.Close(); err != nil {
		ct.Fatalf("close: %v", err)
	}
	ct.cache = resolve.NewCache(ct.directory, cfg)
}

// withFile runs a test with a cache file of the given content; empty = the file is missing.
func withFile(t *testing.T, content string, test func(t *cacheTester, file string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "answers.json")
	if content != "" {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	onVirtualTime(t, resolve.CacheConfig{File: file}, func(t *cacheTester) { test(t, file) })
}

// A bubble begins at midnight UTC 2000-01-01.
const hourAgo, dayAgo, inAnHour = "1999-12-31T23:00:00Z", "1999-12-31T00:00:00Z", "2000-01-01T01:00:00Z"

// answerFile is a cache file that says where db:1 was.
func answerFile(at, addr string) string {
	return fmt.Sprintf(`{"version":1,"answers":[{"host":"db","port":"1","time":%q,"ttl":60000000000,"source":"directory",
		"endpoints":[{"addr":%q,"priority":0,"weight":1}]}]}`, at, addr)
}

func TestAnswersSurviveARestart(t *testing.T) {
	withFile(t, "", func(t *cacheTester, file string) {
		whole := resolve.Answer{
			Endpoints: []resolve.Endpoint{
				{Addr: "10.0.0.1:1", Priority: 7, Weight: 0}, {Addr: "[2001:db8::1]:1", Priority: 9, Weight: 65535}, {Addr: "db.example.org:2"},
			},
			TTL: 90 * time.Second, Source: "directory", Partial: true,
		}
		t.answers["db"] = whole
		t.db()
		t.restart(resolve.CacheConfig{File: file})
		t.behave(0, errDown)
		whole.Stale, whole.Source = true, "directory (from file)"
		for range 3 { // the words about the source do not pile up
			answer, err := t.cache.Resolve(t.Context(), "DB.", "1")
			if diff := cmp.Diff(whole, answer); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			t.pass(5 * time.Hour)
			t.restart(resolve.CacheConfig{File: file})
		}
		t.pass(9*time.Hour - 1)
		if got := t.db(); !strings.HasSuffix(got, " stale") {
			t.Errorf("a nanosecond before the answer is a day old: %q", got)
		}
		t.pass(time.Minute)
		t.wantError("is down")
	})
}

func TestAnAnswerFromTheFileIsServedOnlyWhereTheResolverFails(t *testing.T) {
	withFile(t, answerFile(hourAgo, "10.0.0.9:1"), func(t *cacheTester, _ string) {
		t.want("10.0.0.1:1")
	})
	withFile(t, answerFile(hourAgo, "10.0.0.9:1"), func(t *cacheTester, _ string) {
		t.behave(time.Second, nil)
		t.took(time.Second, func() { t.want("10.0.0.1:1") })
	})
	withFile(t, answerFile(hourAgo, "10.0.0.9:1"), func(t *cacheTester, _ string) {
		t.behave(0, errDown)
		t.want("10.0.0.9:1 stale")
		t.wantLookups(1)
		t.pass(time.Minute)
		t.wantLookups(12)
		t.behave(0, nil)
		t.pass(5 * time.Second)
		t.want("10.0.0.1:1")
	})
}

func TestASilentNameServerDelaysTheFirstDialByTwoSeconds(t *testing.T) {
	withFile(t, answerFile(hourAgo, "10.0.0.9:1"), func(t *cacheTester, _ string) {
		t.behave(10*time.Second, nil)
		t.took(2*time.Second, func() { t.want("10.0.0.9:1 stale") })
		t.took(0, func() { t.want("10.0.0.9:1 stale") })
		t.pass(8 * time.Second)
		t.want("10.0.0.1:1") // the lookup has gone on
		t.wantLookups(1)
	})
}

func TestWatchShowsAnAnswerFromTheFile(t *testing.T) {
	for addr, want := range map[string]bool{"10.0.0.9:1": true, "10.0.0.1:1": false} {
		withFile(t, answerFile(hourAgo, addr), func(t *cacheTester, _ string) {
			answer, changed := t.cache.Watch("db", "1")
			if got := describe(answer, nil); got != addr+" stale" || answer.Source != "directory (from file)" {
				t.Errorf("watch says %q from %q", got, answer.Source)
			}
			if isClosed(changed) != want {
				t.Errorf("%s in the file, 10.0.0.1 now: changed is %v", addr, !want)
			}
		})
	}
}

func TestNamesThatNobodyAsksForStayInTheFile(t *testing.T) {
	withFile(t, answerFile(hourAgo, "10.0.0.9:1"), func(t *cacheTester, file string) {
		t.say("other", time.Minute, "10.0.0.2:1")
		t.cache.Resolve(t.Context(), "other", "1")
		t.restart(resolve.CacheConfig{File: file})
		t.say("used", time.Minute, "10.0.0.3:1")
		t.cache.Resolve(t.Context(), "used", "1")
		t.pass(20 * time.Minute) // "used" has left the cache, and another name makes it write the file
		t.say("late", time.Minute, "10.0.0.4:1")
		t.cache.Resolve(t.Context(), "late", "1")
		t.restart(resolve.CacheConfig{File: file})
		t.behave(0, errDown)
		if got := describe(t.cache.Resolve(t.Context(), "used", "1")); got != "10.0.0.3:1 stale" {
			t.Errorf("used is %q", got)
		}
		t.want("10.0.0.9:1 stale")
		if got := describe(t.cache.Resolve(t.Context(), "other", "1")); got != "10.0.0.2:1 stale" {
			t.Errorf("other is %q", got)
		}
	})
}

func TestAFileThatCanNotBeUsedIsNamedWhereALookupFails(t *testing.T) {
	entry := func(n int) string { return strings.TrimSuffix(strings.Repeat("{},", n), ",") }
	for _, test := range []struct{ name, content, want string }{
		{"corrupt", "{{{", "not a cache file: invalid character"},
		{"cut off", answerFile(hourAgo, "10.0.0.9:1")[:100], "not a cache file: unexpected end"},
		{"something else", `["x"]`, "not a cache file"},
		{"without a version", `{"answers":[]}`, "its version is 0, and this program reads 1"},
		{"too new", `{"version":2,"answers":{"db":1}}`, "its version is 2, and this program reads 1"},
		{"without answers", `{"version":1}`, "not a cache file: it has no list of answers"},
		{"no list", `{"version":1,"answers":null}`, "not a cache file: it has no list of answers"},
		{"wrong type", `{"version":1,"answers":[{"host":"a"},{"host":1}]}`, "not a cache file: answer 2"},
		{"too old", answerFile(dayAgo, "10.0.0.9:1"), "its answer is 24h0m0s old, the limit is 24h0m0s"},
		{"from the future", answerFile(inAnHour, "10.0.0.9:1"), "its answer is of a time to come"},
		{"no endpoint", `{"version":1,"answers":[{"host":"db","port":"1","time":"1999-12-31T23:00:00Z"}]}`, "its answer has no endpoint"},
		{"no port", answerFile(hourAgo, "10.0.0.9"), "its endpoint 1: not host:port"},
		{"bad port", answerFile(hourAgo, "10.0.0.9:0"), "its endpoint 1: the port must be a number"},
		{"bad host", answerFile(hourAgo, "a b:1"), "its endpoint 1: a host name has letters"},
		{"no host", answerFile(hourAgo, ":1"), "its endpoint 1: a host name has 1 to 253"},
		{"too many", `{"version":1,"answers":[` + entry(10_001) + `]}`, "more than 10000 answers"},
		{"one too large", `{"version":1,"answers":[{"endpoints":[` + entry(30_000) + `]}]}`, "answer 1 is larger than 64 KiB"},
		{"too large", answerFile(hourAgo, "10.0.0.9:1") + strings.Repeat(" ", 4<<20), "larger than 4 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			withFile(t, test.content, func(t *cacheTester, file string) {
				t.behave(0, errDown)
				t.wantError("name server is down; cache file " + file + " is not used: " + test.want)
				if _, err := t.cache.Resolve(t.Context(), "db", "1"); !errors.Is(err, errDown) {
					t.Errorf("the resolver's error is lost: %v", err)
				}
				t.behave(0, nil)
				t.pass(5 * time.Second)
				t.want("10.0.0.1:1")
				t.restart(resolve.CacheConfig{File: file}) // and now the file is good
				t.behave(0, errDown)
				t.want("10.0.0.1:1 stale")
			})
		})
	}
}

func TestWhatIsWrongWithOneAnswerOfTheFileLeavesTheOthers(t *testing.T) {
	withFile(t, `{"version":1,"answers":[
		{"host":"other","port":"1","time":"1999-12-31T23:00:00Z","endpoints":[{"addr":"nowhere"}]},
		{"host":"DB.","port":"1","time":"1999-12-31T23:00:00Z","ttl":-5,"endpoints":[{"addr":"10.0.0.9:1"}]},
		{"host":"db","port":"1","time":"1999-12-31T23:00:00Z","endpoints":[{"addr":"10.0.0.8:1"}]},
		{"host":"ahead","port":"1","time":"2000-01-01T00:00:59Z","endpoints":[{"addr":"10.0.0.7:1"}]}]}`,
		func(t *cacheTester, _ string) {
			t.behave(0, errDown)
			t.want("10.0.0.9:1 stale")
			for host, want := range map[string]string{"ahead": "10.0.0.7:1 stale", "missing": "error: name server is down"} {
				if got := describe(t.cache.Resolve(t.Context(), host, "1")); got != want {
					t.Errorf("%s is %q, want %q", host, got, want)
				}
			}
			if got := describe(t.cache.Resolve(t.Context(), "other", "1")); !strings.Contains(got, "is not used: its endpoint 1") {
				t.Errorf("other is %q", got)
			}
		})
}

func TestAPathThatIsNoFileDoesNotHoldTheStartUp(t *testing.T) {
	onVirtualTime(t, resolve.CacheConfig{File: os.DevNull}, func(t *cacheTester) {
		t.behave(0, errDown)
		t.wantError("cache file " + os.DevNull + " is not used: not a regular file")
	})
}

func TestAMissingFileIsNoError(t *testing.T) {
	withFile(t, "", func(t *cacheTester, _ string) {
		t.behave(0, errDown)
		t.want("error: name server is down")
	})
}

func TestTheFileIsWrittenOncePerSecondAndOnlyWhenSomethingChanged(t *testing.T) {
	withFile(t, "", func(t *cacheTester, file string) {
		written := func() bool {
			synctest.Wait()
			err := os.Remove(file)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
			return err == nil
		}
		t.say("db", 10*time.Second, "10.0.0.1:1")
		t.say("other", 10*time.Second, "10.0.0.2:1")
		t.cache.Watch("db", "1")
		t.cache.Watch("other", "1")
		t.pass(time.Second - 1)
		if written() {
			t.Error("written before a second is over")
		}
		t.pass(1)
		synctest.Wait()
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 {
			t.Fatalf("the file: %v, %v; want mode 0600", info, err)
		}
		if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
			t.Errorf("beside the file lies %v (%v)", left, err)
		}
		written()
		t.pass(9 * time.Minute)
		t.cache.Watch("db", "1")
		if written() {
			t.Error("written though nothing has changed")
		}
		t.pass(90 * time.Second)
		if !written() {
			t.Error("not written though the answer's time has moved by more than ten minutes")
		}
		t.pass(time.Minute)
		t.say("db", 10*time.Second, "10.0.0.3:1")
		t.cache.Refresh("db", "1")
		t.pass(time.Second)
		if !written() {
			t.Error("not written though the endpoints have changed")
		}
		answer := t.answers["db"]
		answer.Source = "somebody else"
		t.answers["db"] = answer
		t.cache.Refresh("db", "1")
		t.pass(time.Second)
		if !written() {
			t.Error("not written though the source has changed")
		}
		if err := t.cache.Close(); err != nil || written() {
			t.Errorf("close: %v, or written though nothing has changed", err)
		}
	})
}

func TestAFileThatCanNotBeWrittenIsCloseSError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	file := filepath.Join(dir, "answers.json")
	synctest.Test(t, func(t *testing.T) {
		d := &directory{answers: map[string]resolve.Answer{}}
		d.say("db", time.Minute, "10.0.0.1:1")
		c := resolve.NewCache(d, resolve.CacheConfig{File: file})
		ct := &cacheTester{t, d, c}
		ct.want("10.0.0.1:1")
		ct.pass(time.Minute)
		ct.want("10.0.0.1:1") // it does no other harm
		for range 2 {
			if err := c.Close(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "write cache file "+file) {
				t.Errorf("close: %v", err)
			}
		}
	})
}

func TestAFailedWriteIsMadeUpForByClose(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	file := filepath.Join(dir, "answers.json")
	synctest.Test(t, func(t *testing.T) {
		d := &directory{answers: map[string]resolve.Answer{}}
		d.say("db", time.Minute, "10.0.0.1:1")
		ct := &cacheTester{t, d, resolve.NewCache(d, resolve.CacheConfig{File: file})}
		ct.want("10.0.0.1:1")
		ct.pass(time.Minute)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := ct.cache.Close(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("close: %v, want the first error", err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("close has not written: %v", err)
		}
	})
}

func TestAHugeCacheWritesAFileThatCanBeRead(t *testing.T) {
	withFile(t, "", func(t *cacheTester, file string) {
		many := make([]string, 20)
		for i := range many {
			many[i] = fmt.Sprintf("10.0.0.%d:1", i)
		}
		t.say("db", time.Hour, many...)
		t.say("giant", time.Hour, strings.Split(strings.Repeat("10.0.0.1:1 ", 5000)+"10.0.0.2:1", " ")...)
		t.say("named", time.Hour, "10.0.0.1:http")
		for i := range 9000 {
			t.cache.Resolve(t.Context(), "db", strconv.Itoa(i))
			t.pass(time.Microsecond)
		}
		t.cache.Resolve(t.Context(), "giant", "1")
		t.cache.Resolve(t.Context(), "named", "1")
		t.restart(resolve.CacheConfig{File: file})
		data, err := os.ReadFile(file)
		if err != nil || len(data) > 4<<20 || len(data) < 4<<20-10_000 || !json.Valid(data) {
			t.Fatalf("the file: %v, %d bytes, valid: %v", err, len(data), json.Valid(data))
		}
		t.behave(0, errDown)
		if answer, err := t.cache.Resolve(t.Context(), "db", "8999"); err != nil || len(answer.Endpoints) != 20 {
			t.Errorf("the newest name: %v, %v", answer, err)
		}
		for _, lost := range []string{"db 0", "giant 1", "named 1"} {
			host, port, _ := strings.Cut(lost, " ")
			if got := describe(t.cache.Resolve(t.Context(), host, port)); got != "error: name server is down" {
				t.Errorf("%s is %q", lost, got)
			}
		}
	})
}

func FuzzCacheFile(f *testing.F) {
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(-time.Hour), now.Add(-25 * time.Hour), now.Add(time.Hour)} {
		for _, addr := range []string{"10.0.0.9:1", "[2001:db8::1]:27017", "db.example.org:1", "nowhere", "a b:1", ":1", "10.0.0.9:0"} {
			f.Add([]byte(answerFile(at.UTC().Format(time.RFC3339), addr)))
		}
	}
	for _, content := range []string{"", "{{{", `{"version":1}`, `{"version":1,"answers":[null]}`, `{"version":2,"answers":[]}`} {
		f.Add([]byte(content))
	}
	file := filepath.Join(f.TempDir(), "answers.json")
	broken := resolverFunc(func() (resolve.Answer, error) { return resolve.Answer{}, errDown })
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		c := resolve.NewCache(broken, resolve.CacheConfig{File: file})
		defer c.Close()
		// The names that an intact file would hold, and that of the seeds.
		var intact struct{ Answers []struct{ Host, Port string } }
		_ = json.Unmarshal(content, &intact)
		names := append(intact.Answers, struct{ Host, Port string }{"db", "1"})
		for _, n := range names[:min(len(names), 20)] {
			answer, err := c.Resolve(context.Background(), n.Host, n.Port)
			if err != nil {
				continue
			}
			if !answer.Stale || len(answer.Endpoints) == 0 {
				t.Errorf("%s: %+v", n.Host, answer)
			}
			for _, e := range answer.Endpoints {
				host, port, err := net.SplitHostPort(e.Addr)
				number, portErr := strconv.ParseUint(port, 10, 16)
				_, ipErr := netip.ParseAddr(host)
				_, nameErr := resolve.ParseTarget(host)
				if err != nil || portErr != nil || number == 0 || host == "" || ipErr != nil && nameErr != nil {
					t.Errorf("%s: endpoint %q", n.Host, e.Addr)
				}
			}
		}
	})
}

func TestAFileThatCanNotBeWrittenIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	cfg := resolve.CacheConfig{File: "/nowhere/at/all/answers.json", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	synctest.Test(t, func(t *testing.T) {
		dir := &directory{start: time.Now(), answers: map[string]resolve.Answer{}}
		cache := resolve.NewCache(dir, cfg)
		for host := range 3 {
			dir.say("db", 5*time.Second, fmt.Sprintf("10.0.0.%d:1", host))
			if _, err := cache.Resolve(t.Context(), "db", "1"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if n := strings.Count(log.String(), "not kept over a restart"); n != 1 || !strings.Contains(log.String(), cfg.File) {
			t.Errorf("logged %d times: %s", n, &log)
		}
		if err := cache.Close(); err == nil {
			t.Error("Close says nothing")
		}
	})
}
