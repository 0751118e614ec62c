package resolve_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/gvpocr/worker/internal/settings"
	"github.com/gvpocr/worker/resolve"
)

// environments are what operators write, rightly and wrongly.
var environments = []string{
	"DIAL_MONGODB_PROXY=10.0.0.1:27018",
	"DIAL_DB=10.0.0.1,10.0.0.2*3|standby.example.org:27018\nDIAL_NSQD=",
	"DIAL_db=10.0.0.1\nDIAL_=x\nDIAL_A=user:s3cret@host\nDIAL_B=http://u:p@h/",
	"DIAL_DB=srv:_mongodb._tcp.example.org,10.0.0.1\nDIALER_SRV_SERVER=192.0.2.53,[2001:db8::1]:5353\nDIALER_SRV_DOMAIN=example.org",
	"MAIN_SERVER_IP=172.12.0.132\nDIALER_UNKNOWN=main-server",
	"MAIN_SERVER_IP=172.12.0.132:80\nDIALER_UNKNOWN=deny\nDIALER_BUGDET=5s\nDIALER_UNKNOWN",
	"DIAL_X=[::1]:0\nDIAL_Y=10.0.0.256\nDIAL_Z=a..b\nDIAL_W=*\nDIAL_V=|,|",
	"DIALER_SRV_SERVER=192.0.2.53:dns,,a b",
	"=\n==\n\x00=\xff\nDIAL_A\xff=1",
}

// FuzzEnv looks for variables that make Env panic, that it takes without an endpoint to show for it, and for errors that
// don't say which variable is wrong.
func FuzzEnv(f *testing.F) {
	for _, text := range environments {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		r, err := resolve.Env(lines)
		if err != nil {
			for message := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(message, "DIAL_") {
					t.Errorf("%q names no variable", message)
				}
			}
			return
		}
		for _, line := range lines {
			name, value, _ := strings.Cut(line, "=")
			host, ours := strings.CutPrefix(name, "DIAL_")
			if !ours || value == "" || strings.Contains(value, "srv:") { // those ask DNS
				continue
			}
			answer, err := r.Resolve(t.Context(), strings.ToLower(host), "7")
			if err != nil || len(answer.Endpoints) == 0 {
				t.Errorf("%s: %v, %v", line, answer, err)
			}
			for _, e := range answer.Endpoints {
				if _, port, err := net.SplitHostPort(e.Addr); err != nil || port == "" || e.Weight == 0 {
					t.Errorf("%s: endpoint %+v", line, e)
				}
			}
		}
	})
}

// FuzzFromEnv looks for environments that make FromEnv panic, for settings that it takes though nothing reads them, and
// for names that "deny" lets through.
func FuzzFromEnv(f *testing.F) {
	for _, text := range environments {
		f.Add(text, "db.example.org")
	}
	f.Fuzz(func(t *testing.T, text, host string) {
		lines := strings.Split(text, "\n")
		if strings.Contains(text, "srv:") || strings.Contains(text, "DIALER_SRV_DOMAIN") {
			lines = append(lines, "DIALER_SRV_SERVER=127.0.0.1:1") // no test asks the machine's DNS
		}
		r, err := resolve.FromEnv(lines)
		if err != nil {
			for message := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(message, "DIAL") && !strings.Contains(message, "MAIN_SERVER_IP") {
					t.Errorf("%q names no variable", message)
				}
			}
			return
		}
		unknown := ""
		for _, line := range lines {
			name, value, _ := strings.Cut(line, "=")
			if strings.HasPrefix(name, "DIALER_") && value != "" && !slices.Contains(settings.Names, name) {
				t.Errorf("%s was taken", name)
			}
			if name == "DIALER_UNKNOWN" {
				unknown = value
			}
		}
		if unknown == "deny" && !strings.Contains(text, "MAIN_SERVER_IP") && !strings.Contains(text, "DIAL_") && !strings.Contains(text, "DIALER_SRV_DOMAIN") {
			if answer, err := r.Resolve(t.Context(), host, "7"); !errors.Is(err, resolve.ErrNotFound) {
				t.Errorf("%q was let through: %v, %v", host, answer, err)
			}
		}
	})
}
