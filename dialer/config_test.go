package dialer_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/resolve"
)

// FuzzConfigFromEnv looks for environments that make ConfigFromEnv panic, for settings that it takes and New refuses, and
// for errors that don't say which variable is wrong.
func FuzzConfigFromEnv(f *testing.F) {
	for _, s := range settings {
		f.Add(strings.Join(s.environ, "\n"))
	}
	for _, text := range []string{
		"DIAL_DB=10.0.0.1\nDIALER_CONNECT_TIMEOUT=2s\nDIALER_BUDGET=-1s\nDIALER_KEEPALIVE_IDLE=1m\nDIALER_KEEPALIVE_COUNT=4",
		"DIALER_ATTEMPT_DELAY=300ms\nDIALER_USER_TIMEOUT=-1s\nDIALER_SPARES=db=2, nsqd=0\nDIALER_SPARE_IDLE=1m\nDIALER_DRAIN_AFTER=10s",
		"DIALER_TLS=db=ca:/ca.pem;cert:/c.pem;key:/k.pem;server_name:db.example,backend=ca:/b.pem\nDIALER_CACHE_FILE=/var/cache/names",
		"DIALER_TLS=a=ca:\nDIALER_SPARES==1\nDIALER_KEEPALIVE_COUNT=99999999999999999999\nDIALER_BUDGET=1e9h",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := dialer.ConfigFromEnv(strings.Split(text, "\n"))
		if err != nil {
			for message := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(message, "DIAL") && !strings.Contains(message, "MAIN_SERVER_IP") {
					t.Errorf("%q names no variable", message)
				}
			}
			return
		}
		cfg.TLS, cfg.Cache.File = nil, "" // names of files, which New reads
		d, err := dialer.New(cfg)
		if err != nil {
			t.Fatalf("New refuses what ConfigFromEnv took: %v", err)
		}
		d.Close()
	})
}

func TestConfigFromEnvReadsEverySetting(t *testing.T) {
	cfg, err := dialer.ConfigFromEnv([]string{
		"DIAL_DB=10.0.0.1", "DIALER_CONNECT_TIMEOUT=2s", "DIALER_BUDGET=9s",
		"DIALER_KEEPALIVE_IDLE=1m", "DIALER_KEEPALIVE_INTERVAL=7s", "DIALER_KEEPALIVE_COUNT=4",
		"DIALER_ATTEMPT_DELAY=300ms", "DIALER_USER_TIMEOUT=40s", "DIALER_CACHE_FILE=/var/cache/names",
	})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := cfg.Resolver.Resolve(t.Context(), "db", "1"); err != nil || answer.Endpoints[0].Addr != "10.0.0.1:1" {
		t.Errorf("resolver: %v, %v", answer, err)
	}
	cfg.Resolver = nil
	want := dialer.Config{
		ConnectTimeout: 2 * time.Second, Budget: 9 * time.Second,
		KeepAlive:    net.KeepAliveConfig{Idle: time.Minute, Interval: 7 * time.Second, Count: 4},
		AttemptDelay: 300 * time.Millisecond, UserTimeout: 40 * time.Second,
		Cache: resolve.CacheConfig{File: "/var/cache/names"},
	}
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestConfigFromEnvReportsEveryBadVariableAtOnce(t *testing.T) {
	_, err := dialer.ConfigFromEnv([]string{
		"DIAL_DB=10.0.0.1:x", "DIALER_BUDGET=15", "DIALER_KEEPALIVE_COUNT=many", "DIALER_BUGDET=15s", "DIALER_CONNECT_TIMEOUT=",
	})
	for _, want := range []string{
		"DIAL_DB: ", "DIALER_BUDGET: not a duration like", "DIALER_KEEPALIVE_COUNT: not a whole number", "DIALER_BUGDET: unknown setting",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "DIALER_CONNECT_TIMEOUT: ") {
		t.Errorf("an empty variable counts as not set:\n%v", err)
	}
}

func TestNewRefusesImpossibleSettings(t *testing.T) {
	if _, err := dialer.New(dialer.Config{KeepAlive: net.KeepAliveConfig{Interval: -1}}); err == nil {
		t.Error("a negative keepalive interval was taken")
	}
}
