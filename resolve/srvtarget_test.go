package resolve_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	miekg "github.com/miekg/dns"

	"github.com/gvpocr/worker/internal/testdns"
	"github.com/gvpocr/worker/resolve"
)

// db resolves a target whose srv: parts server knows.
func db(t *testing.T, server *testdns.Loopback, target string) (resolve.Answer, error) {
	t.Helper()
	r := must(t)(resolve.Static(map[string]string{"db": target}))
	return resolve.WithServers(r, resolve.SRVConfig{Servers: []string{server.Addr}, Timeout: silence}).Resolve(t.Context(), "db", "27017")
}

func TestSRVPartsOfATargetKeepTheirPlace(t *testing.T) {
	server := listen(t, testdns.NewZone(
		"_a._tcp.example.org. 60 IN SRV 65535 0 1 a.example.org.",
		"_a._tcp.example.org. 60 IN SRV 10 7 2 a.example.org.",
		"_a._tcp.example.org. 60 IN SRV 10 8 3 a.example.org.",
		"_b._tcp.example.org. 40 IN SRV 0 5 4 b.example.org.",
		"a.example.org. 50 IN A 192.0.2.1",
		"b.example.org. 50 IN A 192.0.2.2",
	))
	for _, test := range []struct {
		target string
		want   []resolve.Endpoint
		ttl    time.Duration
	}{
		{"srv:_a._tcp.example.org.", []resolve.Endpoint{
			{"192.0.2.1:2", 0, 7}, {"192.0.2.1:3", 0, 8}, {"192.0.2.1:1", 1, 0},
		}, 50 * time.Second},
		{"10.0.0.1|srv:_a._tcp.example.org|10.0.0.2*3", []resolve.Endpoint{
			{"10.0.0.1:27017", 0, 1}, {"192.0.2.1:2", 1, 7}, {"192.0.2.1:3", 1, 8}, {"192.0.2.1:1", 2, 0}, {"10.0.0.2:27017", 3, 3},
		}, 50 * time.Second},
		{"srv:_a._tcp.example.org,srv:_b._tcp.example.org,name.example.org:1|10.0.0.2", []resolve.Endpoint{
			{"192.0.2.1:2", 0, 7}, {"192.0.2.1:3", 0, 8}, {"192.0.2.2:4", 0, 5}, {"name.example.org:1", 0, 1},
			{"192.0.2.1:1", 1, 0}, {"10.0.0.2:27017", 2, 1},
		}, 40 * time.Second},
	} {
		answer, err := db(t, server, test.target)
		wantAnswer(t, resolve.Answer{Endpoints: test.want, TTL: test.ttl, Source: "static db"}, answer, err)
	}
}

func TestASRVPartThatFailsIsLeftOutWhileAnEndpointRemains(t *testing.T) {
	server := listen(t, miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
		h := miekg.Handler(append(testdns.NewZone("_off._tcp.example.org. 60 IN SRV 0 0 0 ."), good...))
		if strings.HasPrefix(q.Question[0].Name, "_ill.") {
			h = code(miekg.RcodeServerFailure)
		}
		h.ServeDNS(w, q)
	}))
	for _, test := range []struct {
		target  string
		partial bool
		absent  bool // without other parts
		reason  string
	}{
		{"srv:_ill._tcp.example.org", true, false, "SERVFAIL"},
		{"srv:_unknown._tcp.example.org", true, false, "SRV _unknown._tcp.example.org: no such record"},
		{"srv:_off._tcp.example.org", false, true, "said not to exist"},
	} {
		answer, err := db(t, server, test.target+"|10.0.0.1|srv:_mongodb._tcp.example.org")
		wantAnswer(t, resolve.Answer{
			Endpoints: []resolve.Endpoint{{"10.0.0.1:27017", 0, 1}, {"192.0.2.1:27018", 1, 1}},
			TTL:       time.Minute, Source: "static db", Partial: test.partial,
		}, answer, err)

		_, err = db(t, server, test.target)
		if err == nil || errors.Is(err, resolve.ErrNotFound) || errors.Is(err, resolve.ErrAbsent) != test.absent ||
			!strings.Contains(err.Error(), "db is static db: ") || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s alone: got %v", test.target, err)
		}
	}
}

func TestATargetOfManySRVPartsIsBounded(t *testing.T) {
	server := listen(t, places(200))
	part := "srv:_mongodb._tcp.example.org"
	answer, err := db(t, server, part+"|"+part+"|10.0.0.1")
	if err != nil || len(answer.Endpoints) != 256 || !answer.Partial {
		t.Fatalf("got %d endpoints, partial %v, %v", len(answer.Endpoints), answer.Partial, err)
	}
	if last := answer.Endpoints[255]; last != (resolve.Endpoint{Addr: "192.0.2.1:145", Priority: 255, Weight: 1}) {
		t.Errorf("the last is %v, want the second part's 56th", last)
	}
}

func TestFromEnvAsksSRVRecordsAfterVariablesAndBeforeTheMainServer(t *testing.T) {
	server := listen(t, append(testdns.NewZone("_nsqd._tcp.example.org. 60 IN SRV 0 0 0 ."), good...))
	environ := []string{
		"DIALER_SRV_DOMAIN=example.org", "DIALER_SRV_SERVER=" + server.Addr,
		"DIAL_REDIS=srv:_mongodb._tcp.example.org|10.0.0.8", "DIAL_BACKEND_PROXY=10.0.0.7", "MAIN_SERVER_IP=10.0.0.1",
	}
	r := must(t)(resolve.FromEnv(environ))
	check(t, r, []lookup{
		{"mongodb-proxy", "27017", "SRV _mongodb._tcp.example.org: 192.0.2.1:27018"},
		{"redis", "6379", "env DIAL_REDIS: 192.0.2.1:27018 10.0.0.8:6379"},
		{"backend-proxy", "5000", "env DIAL_BACKEND_PROXY: 10.0.0.7:5000"},
		{"samba-proxy", "13445", "main server 10.0.0.1: 10.0.0.1:13445"},
		{"standby.example.org", "80", "DNS: 192.0.2.9:80"},
		{"10.5.5.5", "80", "address: 10.5.5.5:80"},
	})
	if _, err := r.Resolve(t.Context(), "nsqd-proxy", "4150"); !errors.Is(err, resolve.ErrAbsent) {
		t.Errorf("a service that is said not to exist: got %v", err)
	}
	check(t, resolve.Named(r), []lookup{
		{"mongodb-proxy", "27017", "SRV _mongodb._tcp.example.org: 192.0.2.1:27018"},
		{"standby.example.org", "80", "not found"},
	})

	r = must(t)(resolve.FromEnv(environ[1:])) // the server is for targets too
	check(t, r, []lookup{
		{"mongodb-proxy", "27017", "main server 10.0.0.1: 10.0.0.1:27017"},
		{"redis", "6379", "env DIAL_REDIS: 192.0.2.1:27018 10.0.0.8:6379"},
	})
}

func TestFromEnvNamesTheSRVSettingsThatAreWrong(t *testing.T) {
	_, err := resolve.FromEnv([]string{"DIALER_SRV_DOMAIN=example..org", "DIALER_SRV_SERVER=10.0.0.1,ns:0,", "DIAL_DB=srv:db"})
	for _, want := range []string{
		`DIALER_SRV_DOMAIN: "example..org": each label`, `DIALER_SRV_SERVER: name server "ns:0": the port`, `name server ""`,
		"DIAL_DB: bad target", "after srv:",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %s:\n%v", want, err)
		}
	}
	for _, ok := range [][]string{{"DIALER_SRV_DOMAIN=", "DIALER_SRV_SERVER="}, {"DIALER_SRV_SERVER=10.0.0.1, [::1]:5353"}} {
		must(t)(resolve.FromEnv(ok))
	}
}

func TestSRVTargetsAreGivenBack(t *testing.T) {
	const text = "srv:_mongodb._tcp.example.org,10.0.0.1*2|srv:_standby._tcp.example.org"
	target, err := resolve.ParseTarget(" srv:_mongodb._tcp.example.org , 10.0.0.1*2 |srv:_standby._tcp.example.org")
	if err != nil || target.String() != text {
		t.Errorf("got %q, %v", target, err)
	}
	if diff := cmp.Diff([]resolve.Endpoint{{"10.0.0.1:27017", 0, 2}}, target.Endpoints("27017")); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}
