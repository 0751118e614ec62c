package resolve_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gvpocr/worker/internal/testdns"
	"github.com/gvpocr/worker/resolve"
)

// dns is what net.DefaultResolver asks in this package's tests.
var dns = testdns.New()

func TestMain(m *testing.M) {
	dns.Pin()
	dns.Set("db.example.org", "192.0.2.1", "2001:db8::1")
	dns.Set("standby.example.org", "192.0.2.9")
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	code := m.Run()
	if err := goleak.Find(); err != nil {
		println(err.Error())
		return 1
	}
	return code
}

// addrs asks r for host and port and returns the addresses in order, with "source: " before them.
func addrs(t *testing.T, r resolve.Resolver, host, port string) string {
	t.Helper()
	answer, err := r.Resolve(context.Background(), host, port)
	if errors.Is(err, resolve.ErrNotFound) {
		return "not found"
	}
	if err != nil {
		t.Fatalf("resolve %s:%s: %v", host, port, err)
	}
	list := make([]string, len(answer.Endpoints))
	for i, e := range answer.Endpoints {
		list[i] = e.Addr
	}
	return answer.Source + ": " + strings.Join(list, " ")
}

// must fails the test if a constructor refuses its arguments.
func must(t *testing.T) func(resolve.Resolver, error) resolve.Resolver {
	return func(r resolve.Resolver, err error) resolve.Resolver {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

type lookup struct{ host, port, want string }

func check(t *testing.T, r resolve.Resolver, lookups []lookup) {
	t.Helper()
	for _, l := range lookups {
		if diff := cmp.Diff(l.want, addrs(t, r, l.host, l.port)); diff != "" {
			t.Errorf("%s:%s (-want +got):\n%s", l.host, l.port, diff)
		}
	}
}

func TestStaticAnswersFromItsTable(t *testing.T) {
	r := must(t)(resolve.Static(map[string]string{
		"mongodb-proxy":   "10.0.0.1",
		"nsqd-proxy":      "10.0.0.2:14150",
		"nsqd-proxy:4151": "10.0.0.2",
		"gvpocr-mongodb":  "10.0.0.7",
		"Upper.Example.":  "10.0.0.3",
	}))
	check(t, r, []lookup{
		{"mongodb-proxy", "27017", "static mongodb-proxy: 10.0.0.1:27017"},
		{"MongoDB-Proxy.", "27018", "static mongodb-proxy: 10.0.0.1:27018"},
		{"nsqd-proxy", "4150", "static nsqd-proxy: 10.0.0.2:14150"},
		{"nsqd-proxy", "4151", "static nsqd-proxy:4151: 10.0.0.2:4151"},
		{"upper.example", "1", "static Upper.Example.: 10.0.0.3:1"},
		{"mongodb", "27017", "static mongodb-proxy: 10.0.0.1:27017"},         // an alias shares the entry,
		{"gvpocr-mongodb", "27017", "static gvpocr-mongodb: 10.0.0.7:27017"}, // unless it has its own
		{"gvpocr-nsqd", "4150", "static nsqd-proxy: 10.0.0.2:14150"},
		{"elsewhere", "80", "not found"},
		{"10.0.0.1", "80", "not found"},
	})
}

func TestStaticReportsEveryBadEntryAtOnce(t *testing.T) {
	_, err := resolve.Static(map[string]string{"a": "host:none", "b c": "10.0.0.1", "ok": "10.0.0.1", "d": ""})
	for _, want := range []string{`static "a"`, `static "b c"`, `static "d"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestEnvAnswersFromItsVariables(t *testing.T) {
	r := must(t)(resolve.Env([]string{
		"DIAL_MONGODB_PROXY=10.0.0.1,10.0.0.2|standby.example.org:27018",
		"DIAL_NSQD_PROXY=10.0.0.3:14150",
		"DIAL_GVPOCR_NSQD=10.0.0.4",
		"DIAL_DB_EXAMPLE_ORG=10.0.0.5",
		"DIAL_10_0_0_9=10.0.0.6",
		"DIAL_BACKEND_PROXY=",
		"DIALER_UNKNOWN=deny",
		"PATH=/bin",
	}))
	check(t, r, []lookup{
		{"mongodb-proxy", "27017", "env DIAL_MONGODB_PROXY: 10.0.0.1:27017 10.0.0.2:27017 standby.example.org:27018"},
		{"mongodb", "27017", "env DIAL_MONGODB_PROXY: 10.0.0.1:27017 10.0.0.2:27017 standby.example.org:27018"},
		{"nsqd-proxy", "4150", "env DIAL_NSQD_PROXY: 10.0.0.3:14150"},
		{"nsqd", "4150", "env DIAL_NSQD_PROXY: 10.0.0.3:14150"},
		{"gvpocr-nsqd", "4150", "env DIAL_GVPOCR_NSQD: 10.0.0.4:4150"},
		{"db.example.org", "1", "env DIAL_DB_EXAMPLE_ORG: 10.0.0.5:1"},
		{"10.0.0.9", "1", "env DIAL_10_0_0_9: 10.0.0.6:1"},
		{"backend-proxy", "5000", "not found"},
		{"er-unknown", "1", "not found"},
	})
}

func TestEnvReportsEveryBadVariableAtOnce(t *testing.T) {
	_, err := resolve.Env([]string{
		"DIAL_A=10.0.0.1:70000", "DIAL_B=mongodb://admin:s3cret@db", "DIAL_c=10.0.0.1", "DIAL_=10.0.0.1", "DIAL_OK=10.0.0.1",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"DIAL_A", "DIAL_B", `"DIAL_c"`, `"DIAL_"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "DIAL_OK") {
		t.Errorf("error says too much:\n%v", err)
	}
}

func TestMainServerKnowsEveryNameAndAliasOfItsServices(t *testing.T) {
	r := must(t)(resolve.MainServer("172.12.0.132"))
	for name, port := range map[string]string{
		"mongodb-proxy": "27017", "mongodb": "27017", "gvpocr-mongodb": "27017",
		"nsqd-proxy": "4150", "nsqd": "4151", "gvpocr-nsqd": "4150",
		"nsqlookupd-proxy": "4161", "nsqlookupd": "4161", "gvpocr-nsqlookupd": "4161",
		"backend-proxy": "5000", "backend": "5000", "gvpocr-backend": "5000",
		"samba-proxy": "13445", "samba": "13445", "gvpocr-samba": "13445",
		"gvpocr-frontend": "443",
	} {
		check(t, r, []lookup{{name, port, "main server 172.12.0.132: 172.12.0.132:" + port}})
	}
	check(t, r, []lookup{{"3f2a91c0de4b", "4150", "not found"}, {"frontend", "80", "not found"}})
}

func TestMainServerTakesAHostAndNothingElse(t *testing.T) {
	for _, good := range []string{"main.example.org", "::1", "[::1]", "main"} {
		must(t)(resolve.MainServer(good))
	}
	for _, bad := range []string{"", "10.0.0.1:27017", "10.0.0.1,10.0.0.2", "http://main", "10.0.0.256"} {
		if r, err := resolve.MainServer(bad); err == nil {
			t.Errorf("%q was taken: %v", bad, r)
		}
	}
}

func TestSystemAnswersAddressesAndNames(t *testing.T) {
	check(t, resolve.System(nil), []lookup{
		{"10.1.2.3", "80", "address: 10.1.2.3:80"},
		{"::1", "80", "address: [::1]:80"},
		{"standby.example.org", "80", "DNS: 192.0.2.9:80"},
		{"nowhere.example.org", "80", "not found"},
	})
	both := addrs(t, resolve.System(nil), "db.example.org", "27017")
	if !strings.Contains(both, "192.0.2.1:27017") || !strings.Contains(both, "[2001:db8::1]:27017") {
		t.Errorf("A and AAAA: got %s", both)
	}
}

func TestSystemTellsADeadDNSFromAnUnknownName(t *testing.T) {
	server := testdns.New()
	server.SetDown(true)
	_, err := resolve.System(server.Resolver()).Resolve(t.Context(), "db.example.org", "1")
	if err == nil || errors.Is(err, resolve.ErrNotFound) {
		t.Errorf("got %v, want an error that is not ErrNotFound", err)
	}
}

func TestChainAsksTheNextOneOnlyForUnknownNames(t *testing.T) {
	first := must(t)(resolve.Static(map[string]string{"a": "10.0.0.1"}))
	second := must(t)(resolve.Static(map[string]string{"a": "10.0.0.2", "b": "10.0.0.2"}))
	broken := failing{errors.New("broken")}
	check(t, resolve.Chain(first, second), []lookup{
		{"a", "1", "static a: 10.0.0.1:1"}, {"b", "1", "static b: 10.0.0.2:1"}, {"c", "1", "not found"},
	})
	if _, err := resolve.Chain(broken, first).Resolve(t.Context(), "a", "1"); !errors.Is(err, broken.err) {
		t.Errorf("an error that is not ErrNotFound must end the chain: got %v", err)
	}
	check(t, resolve.Chain(), []lookup{{"a", "1", "not found"}})
}

type failing struct{ err error }

func (f failing) Resolve(context.Context, string, string) (resolve.Answer, error) {
	return resolve.Answer{}, f.err
}

func TestAddressesReplacesHostNamesAndKeepsTheirPlace(t *testing.T) {
	inner := must(t)(resolve.Static(map[string]string{
		"db":   "10.0.0.1|standby.example.org:27018*3",
		"half": "nowhere.example.org,10.0.0.1",
		"none": "nowhere.example.org",
	}))
	r := resolve.Addresses(inner, nil)
	answer, err := r.Resolve(t.Context(), "db", "27017")
	if err != nil {
		t.Fatal(err)
	}
	want := []resolve.Endpoint{{Addr: "10.0.0.1:27017", Weight: 1}, {Addr: "192.0.2.9:27018", Priority: 1, Weight: 3}}
	if diff := cmp.Diff(want, answer.Endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	check(t, r, []lookup{{"half", "1", "static half: 10.0.0.1:1"}})
	if _, err := r.Resolve(t.Context(), "none", "1"); err == nil || errors.Is(err, resolve.ErrNotFound) {
		t.Errorf("a known name whose host DNS does not know: got %v, want an error that ends a chain", err)
	}
}

func TestFromEnvAsksVariablesThenTheMainServerThenDNS(t *testing.T) {
	r := must(t)(resolve.FromEnv([]string{"DIAL_NSQD_PROXY=10.0.0.9:14150", "MAIN_SERVER_IP=10.0.0.1"}))
	check(t, r, []lookup{
		{"nsqd-proxy", "4150", "env DIAL_NSQD_PROXY: 10.0.0.9:14150"},
		{"gvpocr-nsqd", "4150", "env DIAL_NSQD_PROXY: 10.0.0.9:14150"},
		{"mongodb-proxy", "27017", "main server 10.0.0.1: 10.0.0.1:27017"},
		{"standby.example.org", "80", "DNS: 192.0.2.9:80"},
		{"10.5.5.5", "80", "address: 10.5.5.5:80"},
		{"3f2a91c0de4b", "4150", "not found"},
	})
}

func TestDenyReachesNothingThatWasNotNamed(t *testing.T) {
	r := must(t)(resolve.FromEnv([]string{"DIALER_UNKNOWN=deny", "DIAL_NSQD_PROXY=10.0.0.9", "DIAL_10_0_0_5=10.0.0.5"}))
	check(t, r, []lookup{
		{"nsqd-proxy", "4150", "env DIAL_NSQD_PROXY: 10.0.0.9:4150"},
		{"10.0.0.5", "80", "env DIAL_10_0_0_5: 10.0.0.5:80"},
		{"standby.example.org", "80", "not found"},
		{"10.0.0.6", "80", "not found"},
	})
}

func TestUnknownContainersAreTheMainServersWhenSaidSo(t *testing.T) {
	r := must(t)(resolve.FromEnv([]string{"DIALER_UNKNOWN=main-server", "MAIN_SERVER_IP=10.0.0.1"}))
	check(t, r, []lookup{
		{"3f2a91c0de4b", "4150", "container of main server 10.0.0.1: 10.0.0.1:4150"},
		{"standby.example.org", "80", "DNS: 192.0.2.9:80"},
		{"nowhere.example.org", "80", "not found"},
	})
}

func TestNotFoundSaysWhatToSet(t *testing.T) {
	for _, test := range []struct {
		environ    []string
		host, want string
	}{
		{nil, "mongodb-proxy", "mongodb-proxy: name not found (DNS); set DIAL_MONGODB_PROXY=host[:port] or MAIN_SERVER_IP"},
		{nil, "gvpocr-nsqd", "gvpocr-nsqd: name not found (DNS); set DIAL_NSQD_PROXY=host[:port] or MAIN_SERVER_IP"},
		{nil, "ollama", "ollama: name not found (DNS); set DIAL_OLLAMA=host[:port]"},
		{[]string{"DIALER_UNKNOWN=deny"}, "ollama", "ollama: name not found (DIALER_UNKNOWN=deny); set DIAL_OLLAMA=host[:port]"},
	} {
		_, err := must(t)(resolve.FromEnv(test.environ)).Resolve(t.Context(), test.host, "1")
		if err == nil || err.Error() != test.want || !errors.Is(err, resolve.ErrNotFound) {
			t.Errorf("%v %s:\n got %v\nwant %s", test.environ, test.host, err, test.want)
		}
	}
}

func TestFromEnvReportsEveryBadVariableAtOnce(t *testing.T) {
	_, err := resolve.FromEnv([]string{
		"DIAL_A=:1", "MAIN_SERVER_IP=10.0.0.1:80", "DIALER_UNKNOWN=allow", "DIALER_UNKNOWNS=deny",
	})
	for _, want := range []string{"DIAL_A: ", "MAIN_SERVER_IP: ", "DIALER_UNKNOWN: ", "DIALER_UNKNOWNS: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s:\n%v", want, err)
		}
	}
	if _, err := resolve.FromEnv([]string{"DIALER_UNKNOWN=main-server"}); err == nil {
		t.Error("DIALER_UNKNOWN=main-server without MAIN_SERVER_IP was taken")
	}
}

func TestNamedLeavesOutWhatAnswersAnything(t *testing.T) {
	r := must(t)(resolve.FromEnv([]string{"DIAL_NSQD_PROXY=10.0.0.9", "MAIN_SERVER_IP=10.0.0.1"}))
	check(t, resolve.Named(resolve.Addresses(r, nil)), []lookup{
		{"nsqd-proxy", "1", "env DIAL_NSQD_PROXY: 10.0.0.9:1"},
		{"mongodb", "1", "main server 10.0.0.1: 10.0.0.1:1"},
		{"standby.example.org", "1", "not found"},
	})
	if n := resolve.Named(resolve.Chain(resolve.System(nil))); n != nil {
		t.Errorf("a chain of System alone has nothing named, got %v", n)
	}
}
