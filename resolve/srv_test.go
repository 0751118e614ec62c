package resolve_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	miekg "github.com/miekg/dns"

	"github.com/gvpocr/worker/internal/testdns"
	"github.com/gvpocr/worker/resolve"
)

// silence is the time given to servers that never answer. Those that do may need it on a busy machine.
const silence = 500 * time.Millisecond

// listen starts a name server that ends with the test. With one handler, that is for UDP and TCP.
func listen(t *testing.T, udp miekg.Handler, tcp ...miekg.Handler) *testdns.Loopback {
	t.Helper()
	handlers := append(tcp, udp)
	server, err := testdns.Listen(udp, handlers[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// ask resolves mongodb-proxy by the records of example.org, as servers have them.
func ask(t *testing.T, servers ...*testdns.Loopback) (resolve.Answer, error) {
	t.Helper()
	cfg := resolve.SRVConfig{Domain: "example.org", Timeout: silence}
	for _, s := range servers {
		cfg.Servers = append(cfg.Servers, s.Addr)
	}
	return must(t)(resolve.SRV(cfg)).Resolve(t.Context(), "mongodb-proxy", "27017")
}

// wantAnswer compares an answer with what was expected of a lookup without error.
func wantAnswer(t *testing.T, want, got resolve.Answer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// good is a zone with one place, and what comes of it.
var (
	good = testdns.NewZone(
		"_mongodb._tcp.example.org. 60 IN SRV 0 1 27018 db1.example.org.",
		"db1.example.org. 60 IN A 192.0.2.1",
	)
	goodAnswer = resolve.Answer{
		Endpoints: []resolve.Endpoint{{Addr: "192.0.2.1:27018", Weight: 1}},
		TTL:       time.Minute,
		Source:    "SRV _mongodb._tcp.example.org",
	}
)

func TestSRVRecordsSayPortPriorityAndWeight(t *testing.T) {
	server := listen(t, testdns.NewZone(
		"_mongodb._tcp.example.org. 60 IN SRV 20 0 27019 db3.example.org.",
		"_mongodb._tcp.example.org. 60 IN SRV 10 0 27018 DB1.example.org.",
		"_mongodb._tcp.example.org. 60 IN SRV 10 65535 27017 db2.example.org.",
		"db1.example.org. 50 IN A 192.0.2.1",
		"db2.example.org. 40 IN A 192.0.2.2",
		"db2.example.org. 30 IN AAAA 2001:db8::2",
		"db3.example.org. 45 IN A 192.0.2.3",
		"other.example.org. 1 IN A 192.0.2.4",
	))
	answer, err := ask(t, server)
	wantAnswer(t, resolve.Answer{
		Endpoints: []resolve.Endpoint{
			{Addr: "192.0.2.1:27018", Priority: 10, Weight: 0},
			{Addr: "192.0.2.2:27017", Priority: 10, Weight: 65535},
			{Addr: "[2001:db8::2]:27017", Priority: 10, Weight: 65535},
			{Addr: "192.0.2.3:27019", Priority: 20, Weight: 0},
		},
		TTL:    30 * time.Second,
		Source: "SRV _mongodb._tcp.example.org",
	}, answer, err)
	if diff := cmp.Diff([]string{"SRV _mongodb._tcp.example.org"}, server.Questions()); diff != "" {
		t.Errorf("addresses came along, but questions are (-want +got):\n%s", diff)
	}
}

// withoutExtra is a server that sends no addresses along.
func withoutExtra(z testdns.Zone) miekg.HandlerFunc {
	return func(w miekg.ResponseWriter, q *miekg.Msg) {
		reply := z.Reply(q)
		reply.Extra = nil
		w.WriteMsg(reply)
	}
}

func TestSRVAsksForTheAddressesThatDidNotComeAlong(t *testing.T) {
	t.Parallel()
	server := listen(t, withoutExtra(testdns.NewZone(
		"_mongodb._tcp.example.org. 60 IN SRV 0 1 27017 db1.example.org.",
		"_mongodb._tcp.example.org. 60 IN SRV 1 1 27017 db2.example.org.",
		"_mongodb._tcp.example.org. 60 IN SRV 2 1 27017 gone.example.org.",
		"_mongodb._tcp.example.org. 60 IN SRV 3 1 27018 db1.example.org.",
		"db1.example.org. 50 IN A 192.0.2.1",
		"db1.example.org. 50 IN AAAA 2001:db8::1",
		"db2.example.org. 20 IN CNAME host.example.org.",
		"host.example.org. 40 IN A 192.0.2.2",
	)))
	answer, err := ask(t, server)
	wantAnswer(t, resolve.Answer{
		Endpoints: []resolve.Endpoint{
			{Addr: "192.0.2.1:27017", Priority: 0, Weight: 1},
			{Addr: "[2001:db8::1]:27017", Priority: 0, Weight: 1},
			{Addr: "192.0.2.2:27017", Priority: 1, Weight: 1},
			{Addr: "192.0.2.1:27018", Priority: 3, Weight: 1},
			{Addr: "[2001:db8::1]:27018", Priority: 3, Weight: 1},
		},
		TTL:    20 * time.Second,
		Source: "SRV _mongodb._tcp.example.org",
	}, answer, err)
	want := []string{
		"A db1.example.org", "A db2.example.org", "A gone.example.org",
		"AAAA db1.example.org", "AAAA db2.example.org", "AAAA gone.example.org", "AAAA host.example.org",
		"SRV _mongodb._tcp.example.org",
	}
	if diff := cmp.Diff(want, server.Questions()); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
}

func TestAddressesAreAskedOfTheServerThatAnswered(t *testing.T) {
	ill, well := listen(t, code(miekg.RcodeServerFailure)), listen(t, withoutExtra(good))
	answer, err := ask(t, ill, well)
	wantAnswer(t, goodAnswer, answer, err)
	if diff := cmp.Diff([]string{"SRV _mongodb._tcp.example.org"}, ill.Questions()); diff != "" {
		t.Errorf("questions to the server that failed (-want +got):\n%s", diff)
	}
}

func TestSRVAnswersAreEachAddressOnce(t *testing.T) {
	answer, err := ask(t, listen(t, testdns.NewZone(
		"_mongodb._tcp.example.org. 60 IN SRV 5 1 27018 alias.example.org.",
		"_mongodb._tcp.example.org. 60 IN SRV 0 1 27018 db1.example.org.",
		"db1.example.org. 60 IN A 192.0.2.1",
		"alias.example.org. 60 IN A 192.0.2.1",
	)))
	wantAnswer(t, goodAnswer, answer, err)
}

func TestATTLOfZeroIsNotAnUnknownOne(t *testing.T) {
	for _, ttl := range []string{"0", "4294967295", "2147483648"} { // RFC 2181: what has the highest bit is 0
		answer, err := ask(t, listen(t, testdns.NewZone(
			"_mongodb._tcp.example.org. "+ttl+" IN SRV 0 1 27018 db1.example.org.",
			"db1.example.org. 60 IN A 192.0.2.1",
		)))
		want := goodAnswer
		want.TTL = time.Second
		wantAnswer(t, want, answer, err)
	}
}

func TestWhichNamesSRVAsksFor(t *testing.T) {
	server := listen(t, testdns.NewZone())
	r := must(t)(resolve.SRV(resolve.SRVConfig{Domain: "Example.org.", Servers: []string{server.Addr}}))
	for _, test := range []struct {
		host string
		want []string
	}{
		{"mongodb-proxy", []string{"_mongodb._tcp.Example.org"}},
		{"MongoDB-Proxy.", []string{"_mongodb._tcp.Example.org"}},
		{"mongodb", []string{"_mongodb._tcp.Example.org"}},
		{"gvpocr-mongodb", []string{"_gvpocr-mongodb._tcp.Example.org", "_mongodb._tcp.Example.org"}},
		{"gvpocr-frontend", []string{"_gvpocr-frontend._tcp.Example.org"}},
		{"mongodb-proxy.example.org", []string{"_mongodb._tcp.Example.org"}},
		{"mongodb-proxy.EXAMPLE.org.", []string{"_mongodb._tcp.Example.org"}},
		{"3f2a91c0de4b", []string{"_3f2a91c0de4b._tcp.Example.org"}},
		{"redis", []string{"_redis._tcp.Example.org"}},
		// Not a question:
		{"mongodb-proxy.example.com", nil},
		{"a.b.example.org", nil},
		{"example.org", nil},
		{"10.0.0.1", nil},
		{"::1", nil},
		{"", nil},
		{"-proxy", nil},
		{"my db", nil},
		{"user@db", nil},
		{"a\x00b", nil},
		{strings.Repeat("a", 63), nil},
	} {
		_, names, err := resolve.SRVQuestions(r, test.host)
		if err != nil || !slices.Equal(names, test.want) {
			t.Errorf("%q: asks for %q, %v; want %q", test.host, names, err, test.want)
		}
		asked := len(server.Questions())
		if _, err := r.Resolve(t.Context(), test.host, "1"); !errors.Is(err, resolve.ErrNotFound) {
			t.Errorf("%q: got %v, want ErrNotFound", test.host, err)
		}
		if test.want == nil && len(server.Questions()) != asked {
			t.Errorf("%q: was asked for: %q", test.host, server.Questions())
		}
	}
}

func TestAnAliasHasTheRecordsOfItsServiceUnlessItHasItsOwn(t *testing.T) {
	zone := append(testdns.NewZone("_gvpocr-nsqd._tcp.example.org. 60 IN SRV 0 1 4150 db1.example.org."), good...)
	r := must(t)(resolve.SRV(resolve.SRVConfig{Domain: "example.org", Servers: []string{listen(t, zone).Addr}}))
	check(t, r, []lookup{
		{"gvpocr-mongodb", "1", "SRV _mongodb._tcp.example.org: 192.0.2.1:27018"},
		{"gvpocr-nsqd", "1", "SRV _gvpocr-nsqd._tcp.example.org: 192.0.2.1:4150"},
		{"nsqd-proxy", "1", "not found"},
	})
}

func TestNoRecordsMeansNotFound(t *testing.T) {
	soa := testdns.NewZone("example.org. 60 IN SOA ns.example.org. admin.example.org. 1 1 1 1 1", "example.org. 60 IN NS ns.example.org.")
	for name, handler := range map[string]miekg.Handler{
		"no such name":      testdns.NewZone(),
		"no such type":      testdns.NewZone("_mongodb._tcp.example.org. 60 IN A 192.0.2.1"),
		"alias to nowhere":  testdns.NewZone("_mongodb._tcp.example.org. 60 IN CNAME nowhere.example.org."),
		"alias to no SRV":   testdns.NewZone("_mongodb._tcp.example.org. 60 IN CNAME a.example.org.", "a.example.org. 60 IN A 192.0.2.1"),
		"SOA and NS":        reply(func(m *miekg.Msg) { m.Ns = soa }),
		"other class":       reply(func(m *miekg.Msg) { m.Answer = chaos() }),
		"records of others": reply(func(m *miekg.Msg) { m.Answer = testdns.NewZone("other.example.org. 60 IN SRV 0 1 1 a.example.org.") }),
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := ask(t, listen(t, handler))
			if !errors.Is(err, resolve.ErrNotFound) || !strings.Contains(err.Error(), "SRV _mongodb._tcp.example.org") {
				t.Errorf("got %v, %v; want ErrNotFound with the name", answer, err)
			}
		})
	}
}

func chaos() []miekg.RR {
	records := testdns.NewZone("_mongodb._tcp.example.org. 60 IN SRV 0 1 1 a.example.org.")
	records[0].Header().Class = miekg.ClassCHAOS
	return records
}

func TestATargetOfADotEndsAChain(t *testing.T) {
	srv := must(t)(resolve.SRV(resolve.SRVConfig{Domain: "example.org", Servers: []string{
		listen(t, testdns.NewZone("_mongodb._tcp.example.org. 60 IN SRV 0 0 0 .")).Addr,
	}}))
	_, err := resolve.Chain(srv, must(t)(resolve.MainServer("10.0.0.1"))).Resolve(t.Context(), "mongodb-proxy", "27017")
	if !errors.Is(err, resolve.ErrAbsent) || errors.Is(err, resolve.ErrNotFound) {
		t.Errorf("got %v, want ErrAbsent", err)
	}
}

func TestATargetOfADotAmongOthersSaysNothing(t *testing.T) {
	answer, err := ask(t, listen(t, append(testdns.NewZone("_mongodb._tcp.example.org. 60 IN SRV 0 0 0 ."), good...)))
	wantAnswer(t, goodAnswer, answer, err)
}

// reply is a server that sends an empty answer with a change.
func reply(change func(m *miekg.Msg)) miekg.HandlerFunc {
	return func(w miekg.ResponseWriter, q *miekg.Msg) {
		m := new(miekg.Msg).SetReply(q)
		change(m)
		w.WriteMsg(m)
	}
}

func code(rcode int) miekg.HandlerFunc { return reply(func(m *miekg.Msg) { m.Rcode = rcode }) }

func cnames(n int) testdns.Zone {
	lines := []string{"_mongodb._tcp.example.org. 60 IN CNAME c1.example.org."}
	for i := 1; i < n; i++ {
		lines = append(lines, fmt.Sprintf("c%d.example.org. 60 IN CNAME c%d.example.org.", i, i+1))
	}
	return append(testdns.NewZone(append(lines, fmt.Sprintf("c%d.example.org. 60 IN SRV 0 1 27018 db1.example.org.", n))...),
		testdns.NewZone("db1.example.org. 60 IN A 192.0.2.1")...)
}

func TestARecordWithoutDataIsNotATargetOfADot(t *testing.T) {
	if answer, err := ask(t, listen(t, noRdata)); !errors.Is(err, resolve.ErrNotFound) {
		t.Errorf("got %v, %v; want ErrNotFound", answer, err)
	}
}

// places is a zone of n places, the best last.
func places(n int) testdns.Zone {
	lines := []string{"h. 60 IN A 192.0.2.1"}
	for i := range n {
		lines = append(lines, fmt.Sprintf("_mongodb._tcp.example.org. 60 IN SRV %d 1 %d h.", n-i, i+1))
	}
	return testdns.NewZone(lines...)
}

func TestOfAHugeAnswerTheBestPlacesAreTaken(t *testing.T) {
	answer, err := ask(t, listen(t, places(2000)))
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Endpoints) != 256 || !answer.Partial {
		t.Errorf("got %d endpoints, partial %v; want 256 and partial", len(answer.Endpoints), answer.Partial)
	}
	for i, e := range answer.Endpoints {
		if want := (resolve.Endpoint{Addr: fmt.Sprintf("192.0.2.1:%d", 2000-i), Priority: uint16(i + 1), Weight: 1}); e != want {
			t.Fatalf("endpoint %d is %v, want %v", i, e, want)
		}
	}
}

func TestOfAHostWithHundredsOfAddresses256AreTaken(t *testing.T) {
	zone := testdns.NewZone("_mongodb._tcp.example.org. 60 IN SRV 0 1 1 h.")
	for i := range 300 {
		zone = append(zone, testdns.NewZone(fmt.Sprintf("h. 60 IN A 10.0.%d.%d", i/256, i%256))...)
	}
	answer, err := ask(t, listen(t, zone))
	if err != nil || len(answer.Endpoints) != 256 || !answer.Partial {
		t.Errorf("got %d endpoints, partial %v, %v", len(answer.Endpoints), answer.Partial, err)
	}
}

func TestUpToEightCNAMEsAreFollowed(t *testing.T) {
	answer, err := ask(t, listen(t, cnames(8)))
	wantAnswer(t, goodAnswer, answer, err)
}

// stepwise is a server that does not follow CNAMEs by itself.
func stepwise(z testdns.Zone) miekg.HandlerFunc {
	return func(w miekg.ResponseWriter, q *miekg.Msg) {
		m := z.Reply(q)
		m.Answer = slices.DeleteFunc(m.Answer, func(rr miekg.RR) bool {
			return miekg.CanonicalName(rr.Header().Name) != miekg.CanonicalName(q.Question[0].Name)
		})
		m.Rcode = miekg.RcodeSuccess
		w.WriteMsg(m)
	}
}

func TestCNAMEsThatTheServerDoesNotFollowAreAskedFor(t *testing.T) {
	answer, err := ask(t, listen(t, stepwise(cnames(8))))
	wantAnswer(t, goodAnswer, answer, err)
	for reason, zone := range map[string]testdns.Zone{
		"more than 8 CNAMEs": cnames(9),
		"loop": testdns.NewZone(
			"_mongodb._tcp.example.org. 60 IN CNAME a.example.org.", "a.example.org. 60 IN CNAME b.example.org.",
			"b.example.org. 60 IN CNAME A.example.org.",
		),
	} {
		if answer, err := ask(t, listen(t, stepwise(zone))); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("got %v, %v; want %q", answer, err, reason)
		}
	}
}

func TestAHostWhoseAddressesAreNotLearntMakesAnAnswerPartial(t *testing.T) {
	zone := append(testdns.NewZone("_mongodb._tcp.example.org. 60 IN SRV 1 1 27018 ill.example.org."), good...)
	failing := func(host string) miekg.Handler {
		return miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
			h := miekg.Handler(withoutExtra(zone))
			if strings.HasPrefix(q.Question[0].Name, host) {
				h = code(miekg.RcodeServerFailure)
			}
			h.ServeDNS(w, q)
		})
	}
	answer, err := ask(t, listen(t, failing("ill")))
	want := goodAnswer
	want.Partial = true
	wantAnswer(t, want, answer, err)

	answer, err = ask(t, listen(t, failing("")), listen(t, zone)) // the second server knows that ill has no address
	wantAnswer(t, goodAnswer, answer, err)
}

func TestKnownPlacesWithoutAnAddressAreNoUnknownName(t *testing.T) {
	for reason, zone := range map[string]testdns.Zone{
		"db1.example.org has neither A nor AAAA": testdns.NewZone("_mongodb._tcp.example.org. 60 IN SRV 0 1 27018 db1.example.org."),
		"port other than 0": testdns.NewZone(
			"_mongodb._tcp.example.org. 60 IN SRV 0 1 0 db1.example.org.", "db1.example.org. 60 IN A 192.0.2.1",
		),
	} {
		answer, err := ask(t, listen(t, zone))
		if err == nil || errors.Is(err, resolve.ErrNotFound) || !strings.Contains(err.Error(), reason) {
			t.Errorf("got %v, %v; want an error that ends a chain and says %q", answer, err, reason)
		}
	}
}

func TestASRVConfigThatIsWrongIsRefused(t *testing.T) {
	for _, test := range []struct {
		cfg  resolve.SRVConfig
		want []string
	}{
		{resolve.SRVConfig{}, []string{`SRV: Domain ""`}},
		{resolve.SRVConfig{Domain: "."}, []string{`SRV: Domain "."`}},
		{resolve.SRVConfig{Domain: "example..org"}, []string{`SRV: Domain "example..org"`, "each label"}},
		{resolve.SRVConfig{Domain: "10.0.0.1"}, []string{`SRV: Domain "10.0.0.1"`}},
		{resolve.SRVConfig{Domain: "example org"}, []string{`SRV: Domain "example org"`}},
		{
			resolve.SRVConfig{Domain: "example.org", Servers: []string{"10.0.0.1", "ns:x", ""}, Timeout: -1, Total: -2},
			[]string{`SRV: Servers: name server "ns:x": the port`, `name server ""`, "Timeout -1ns", "Total -2ns"},
		},
	} {
		_, err := resolve.SRV(test.cfg)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: got %v, want an error with %q", test.cfg, err, want)
			}
		}
	}
}

func FuzzSRVAnswer(f *testing.F) {
	for _, zone := range []testdns.Zone{
		good, {}, places(30), cnames(8), cnames(9),
		testdns.NewZone("_mongodb._tcp.example.org. 0 IN SRV 0 0 0 ."),
		testdns.NewZone("_mongodb._tcp.example.org. 60 IN CNAME _mongodb._tcp.example.org."),
	} {
		b, err := zone.Reply(resolve.SRVQuestion()).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, message []byte) {
		answer, err := resolve.ReadSRVAnswer(message)
		if err != nil && len(answer.Endpoints) > 0 {
			t.Errorf("an error and endpoints: %v, %v", err, answer)
		}
		if len(answer.Endpoints) > 256 || answer.TTL < 0 || len(answer.Endpoints) > 0 && answer.TTL < time.Second {
			t.Errorf("%d endpoints, TTL %v", len(answer.Endpoints), answer.TTL)
		}
		if !slices.IsSortedFunc(answer.Endpoints, func(a, b resolve.Endpoint) int { return int(a.Priority) - int(b.Priority) }) {
			t.Errorf("not sorted: %v", answer.Endpoints)
		}
		for _, e := range answer.Endpoints {
			if addr, err := netip.ParseAddrPort(e.Addr); err != nil || addr.Port() == 0 {
				t.Errorf("bad endpoint %q", e.Addr)
			}
		}
	})
}
