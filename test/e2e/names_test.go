package e2e_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// The names in a worker's environment are resolved in its process, from DIAL_ lines alone.
func TestNamesAreResolvedByDIALLinesAndSecretsStayOutOfTheLog(t *testing.T) {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mongodb-proxy", "nsqd-proxy", "nsqlookupd-proxy", "gvpocr-nsqd"} {
		if slices.Contains(strings.Fields(string(hosts)), name) {
			t.Fatalf("%s is in /etc/hosts, so this test would show nothing", name)
		}
	}
	for name, env := range map[string][]string{
		"as the compose file has it":      nil,
		"on level debug":                  {"LOG_LEVEL=debug"},
		"as JSON, with user and password": {"LOG_LEVEL=debug", "LOG_FORMAT=json", "MONGO_URI=mongodb://mongodb-proxy:27017/gvpocr", "MONGO_USERNAME=gvpocr_admin", "MONGO_PASSWORD=gvp@123"},
		"with http:// before nsqlookupd":  {"NSQLOOKUPD_ADDRESSES=http://nsqlookupd-proxy:4161"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mainserver.Config{})
			wantNoAddress(t, s, s.environ("worker1", env...))
			path := s.put("notice.gif", "scans/notice.gif")
			w := s.worker("worker1", env...)
			s.wantResults(s.finish(s.submit(backend.Task{FilePath: "Bhushanji/notice.gif"})), path)

			// What nsqlookupd hands out is a name of the main server's own world.
			var lookup struct {
				Producers []struct {
					Address string `json:"broadcast_address"`
				} `json:"producers"`
			}
			getJSON(t, fmt.Sprintf("http://%s/lookup?topic=%s", s.server.LookupdHTTPAddr, backend.Topic), &lookup)
			if len(lookup.Producers) != 1 || lookup.Producers[0].Address != "gvpocr-nsqd" {
				t.Errorf("nsqlookupd advertises %v, want gvpocr-nsqd", lookup.Producers)
			}
			_, nsqdPort, _ := net.SplitHostPort(s.server.NSQDAddr)
			form := func(key, value string) string { return fmt.Sprintf("%s=%s", key, value) }
			if slices.Contains(env, "LOG_FORMAT=json") {
				form = func(key, value string) string { return fmt.Sprintf("%q:%q", key, strings.Trim(value, `"`)) }
			}
			for service, address := range map[string]string{
				"mongodb": "mongodb-proxy:27017", "nsqd": "nsqd-proxy:4150", "nsqlookupd": "nsqlookupd-proxy:4161",
			} {
				w.waitLog(form("msg", `"connection successful"`), form("service", service), address)
			}
			for name, by := range map[string]string{
				"mongodb-proxy:27017":     "DIAL_MONGODB_PROXY",
				"nsqd-proxy:4150":         "DIAL_NSQD_PROXY",
				"nsqlookupd-proxy:4161":   "DIAL_NSQLOOKUPD_PROXY",
				"gvpocr-nsqd:" + nsqdPort: "DIAL_NSQD_PROXY",
			} {
				w.waitLog(form("msg", `"name resolved"`), form("name", name), form("by", `"env `+by+`"`))
			}
			wantNoPassword(t, w)
		})
	}
}

// wantNoAddress checks that no line but the DIAL_ lines says where the main server is.
func wantNoAddress(t *testing.T, s *scene, env []string) {
	t.Helper()
	var dials int
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, "DIAL_") {
			dials++
			continue
		}
		for _, addr := range []string{s.server.NSQDAddr, s.server.LookupdHTTPAddr} {
			host, port, _ := net.SplitHostPort(addr)
			if strings.Contains(value, host) || strings.Contains(value, ":"+port) {
				t.Errorf("%s holds an address of the main server", name)
			}
		}
	}
	if dials < 3 {
		t.Errorf("%d DIAL_ lines", dials)
	}
}

func wantNoPassword(t *testing.T, w *worker) {
	t.Helper()
	for _, password := range []string{"gvp@123", "gvp%40123"} {
		if strings.Contains(w.text(), password) {
			t.Errorf("the log holds the password %s", password)
		}
	}
}

func TestARefusedPasswordIsAFailedConnectionAndIsNotLogged(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"in the URI":  {"MONGO_URI=mongodb://gvpocr_admin:gvp%40123wrong@mongodb-proxy:27017/gvpocr"},
		"beside it":   {"MONGO_URI=mongodb://mongodb-proxy:27017/gvpocr", "MONGO_USERNAME=gvpocr_admin", "MONGO_PASSWORD=gvp@123wrong"},
		"in the file": {"MONGO_URI=mongodb://mongodb-proxy:27017/gvpocr", "MONGO_USERNAME=gvpocr_admin", "MONGO_PASSWORD_FILE="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mainserver.Config{})
			if last := len(env) - 1; strings.HasSuffix(env[last], "_FILE=") {
				env[last] += s.write("secret", []byte("gvp@123wrong\n"))
			}
			w := s.worker("worker1", append(env, "LOG_LEVEL=debug")...)
			w.waitLog("connection failed", "service=mongodb", "Authentication failed")
			wantNoPassword(t, w)
		})
	}
}
