package dialer_test

import (
	"strings"
	"testing"

	"github.com/gvpocr/worker/dialer"
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
