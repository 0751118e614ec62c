package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/gvpocr/worker/internal/testdns"
	"github.com/gvpocr/worker/resolve"
)

// raw is a server that sends the good answer with its bytes changed.
func raw(change func(b []byte) []byte) miekg.HandlerFunc {
	return func(w miekg.ResponseWriter, q *miekg.Msg) {
		b, err := good.Reply(q).Pack()
		if err != nil {
			panic(err)
		}
		w.Write(change(b))
	}
}

var (
	quiet        = miekg.HandlerFunc(func(miekg.ResponseWriter, *miekg.Msg) {})
	cutOff       = reply(func(m *miekg.Msg) { m.Truncated = true })
	hangUp       = miekg.HandlerFunc(func(w miekg.ResponseWriter, _ *miekg.Msg) { w.Close() })
	garbage      = miekg.HandlerFunc(func(w miekg.ResponseWriter, _ *miekg.Msg) { w.Write([]byte(strings.Repeat("garbage", 20))) })
	wrongID      = raw(func(b []byte) []byte { b[0]++; return b })
	noAnswer     = raw(func(b []byte) []byte { b[2] &^= 0x80; return b })
	bareRefusal  = raw(func(b []byte) []byte { return []byte{b[0], b[1], 0x80, 5, 0, 0, 0, 0, 0, 0, 0, 0} })
	tooShort     = raw(func(b []byte) []byte { return b[:len(b)-3] })
	wrongName    = reply(func(m *miekg.Msg) { m.Question[0].Name = "_mongodb._tcp.example.com." })
	wrongType    = reply(func(m *miekg.Msg) { m.Question[0].Qtype = miekg.TypeA })
	twoQuestions = reply(func(m *miekg.Msg) { m.Question = append(m.Question, m.Question[0]) })
	noRdata      = miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
		m := new(miekg.Msg).SetReply(q)
		m.Answer = []miekg.RR{&miekg.ANY{Hdr: miekg.RR_Header{Name: q.Question[0].Name, Rrtype: miekg.TypeSRV, Class: miekg.ClassINET}}}
		w.WriteMsg(m)
	})
	referral = reply(func(m *miekg.Msg) { m.Ns = testdns.NewZone("org. 60 IN NS a0.org.afilias-nst.info.") })
	// tooBig sends a datagram larger than the one that was asked for.
	tooBig = miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) { w.WriteMsg(places(200).Reply(q)) })
)

func TestAServerThatFailsMakesWayForTheNext(t *testing.T) {
	for _, test := range []struct {
		name     string
		udp, tcp miekg.Handler
		reason   string
	}{
		{"failure", code(miekg.RcodeServerFailure), nil, "SERVFAIL"},
		{"refusal", code(miekg.RcodeRefused), nil, "REFUSED"},
		{"bare refusal", bareRefusal, nil, "REFUSED"},
		{"unknown code", code(12), nil, "code 12"},
		{"silence", quiet, nil, "no answer within"},
		{"garbage", garbage, nil, "no answer within"},
		{"wrong id", wrongID, nil, "datagrams that answer something else"},
		{"wrong name", wrongName, nil, "datagrams that answer something else"},
		{"wrong type", wrongType, nil, "datagrams that answer something else"},
		{"two questions", twoQuestions, nil, "datagrams that answer something else"},
		{"a question for an answer", noAnswer, nil, "datagrams that answer something else"},
		{"message cut short", tooShort, nil, "can't be read"},
		{"datagram too big", tooBig, nil, "can't be read"},
		{"CNAME loop", testdns.NewZone(
			"_mongodb._tcp.example.org. 60 IN CNAME a.example.org.", "a.example.org. 60 IN CNAME _mongodb._tcp.example.org.",
		), nil, "loop"},
		{"CNAME to itself", testdns.NewZone("_mongodb._tcp.example.org. 60 IN CNAME _mongodb._tcp.example.org."), nil, "loop"},
		{"nine CNAMEs", cnames(9), nil, "more than 8 CNAMEs"},
		{"referral", referral, nil, "refers to other servers"},
		{"truncated, TCP refused", cutOff, nil, "connection refused"},
		{"truncated, TCP silent", cutOff, quiet, "no answer within"},
		{"truncated, TCP hangs up", cutOff, hangUp, "over TCP"},
		{"truncated, TCP garbage", cutOff, garbage, "another question"},
		{"truncated, TCP wrong id", cutOff, wrongID, "another question"},
		{"truncated, TCP too", cutOff, cutOff, "cut off, over TCP too"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bad := listen(t, test.udp, test.tcp)
			answer, err := ask(t, bad, listen(t, good))
			wantAnswer(t, goodAnswer, answer, err)

			answer, err = ask(t, bad)
			switch {
			case err == nil || errors.Is(err, resolve.ErrNotFound) || errors.Is(err, context.DeadlineExceeded):
				t.Errorf("got %v, %v; want an error that ends a chain and is nobody's deadline", answer, err)
			case !strings.Contains(err.Error(), bad.Addr) || !strings.Contains(err.Error(), test.reason):
				t.Errorf("error does not name %s or say %q: %v", bad.Addr, test.reason, err)
			}
		})
	}
}

func TestWhenAllServersFailTheErrorNamesEach(t *testing.T) {
	a, b := listen(t, code(miekg.RcodeServerFailure)), listen(t, code(miekg.RcodeRefused))
	_, err := ask(t, a, b)
	want := fmt.Sprintf("mongodb-proxy: ask for SRV _mongodb._tcp.example.org; %s: it says SERVFAIL; %s: it says REFUSED", a.Addr, b.Addr)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !errors.Is(err, resolve.ErrUnavailable) {
		t.Error("the error is not ErrUnavailable")
	}
}

func TestForgedDatagramsDoNotKeepTheAnswerOut(t *testing.T) {
	answer, err := ask(t, listen(t, miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
		for _, h := range []miekg.Handler{garbage, wrongID, wrongName, wrongType, noAnswer, good} {
			h.ServeDNS(w, q)
		}
		w.Write(nil)
	})))
	wantAnswer(t, goodAnswer, answer, err)
}

func TestALostDatagramIsSentAgain(t *testing.T) {
	t.Parallel()
	lost := make(chan struct{}, 1)
	answer, err := ask(t, listen(t, miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
		select {
		case lost <- struct{}{}:
		default:
			good.ServeDNS(w, q)
		}
	})))
	wantAnswer(t, goodAnswer, answer, err)
}

func TestWhatIsCutOffIsAskedForOverTCP(t *testing.T) {
	zone := places(100) // some 5 kB
	server := listen(t, zone)
	answer, err := ask(t, server)
	if err != nil || len(answer.Endpoints) != 100 || answer.Partial {
		t.Errorf("got %d endpoints, partial %v, %v; want all 100", len(answer.Endpoints), answer.Partial, err)
	}
	answer, err = ask(t, listen(t, cutOff, good))
	wantAnswer(t, goodAnswer, answer, err)
}

func TestTheCallersContextEndsALookup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := listen(t, miekg.HandlerFunc(func(miekg.ResponseWriter, *miekg.Msg) { cancel() }))
	cfg := resolve.SRVConfig{Domain: "example.org", Servers: []string{server.Addr}, Timeout: time.Hour, Total: time.Hour}
	srv := must(t)(resolve.SRV(cfg))
	if _, err := srv.Resolve(ctx, "mongodb-proxy", "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled while the server is silent: got %v", err)
	}
	if _, err := srv.Resolve(ctx, "mongodb-proxy", "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before: got %v", err)
	}
	target := must(t)(resolve.Static(map[string]string{"db": "srv:_mongodb._tcp.example.org|10.0.0.1"}))
	if _, err := resolve.WithServers(target, cfg).Resolve(ctx, "db", "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before, a target: got %v", err)
	}
	late, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer end()
	if _, err := srv.Resolve(late, "mongodb-proxy", "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's deadline: got %v", err)
	}
}

func TestTotalBoundsALookup(t *testing.T) {
	a, b := listen(t, quiet), listen(t, good)
	_, err := must(t)(resolve.SRV(resolve.SRVConfig{
		Domain: "example.org", Servers: []string{a.Addr, b.Addr}, Timeout: time.Hour, Total: 50 * time.Millisecond,
	})).Resolve(t.Context(), "mongodb-proxy", "1")
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), b.Addr+" was not asked") {
		t.Errorf("got %v", err)
	}
}

func TestNameServersHavePort53ByDefault(t *testing.T) {
	servers, _, err := resolve.SRVQuestions(must(t)(resolve.SRV(resolve.SRVConfig{
		Domain: "example.org", Servers: []string{"10.0.0.1", "10.0.0.2:8600", "2001:db8::1", "[2001:db8::2]:8600", "consul:8600"},
	})), "db")
	want := []string{"10.0.0.1:53", "10.0.0.2:8600", "[2001:db8::1]:53", "[2001:db8::2]:8600", "consul:8600"}
	if err != nil || !slices.Equal(servers, want) {
		t.Errorf("got %v, %v", servers, err)
	}
}

func TestServersAndSearchDomainsComeFromResolvConf(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		conf, domain   string
		servers, names []string
	}{
		{"nameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver bogus\n", "example.org", []string{"10.0.0.1:53", "[fe80::1%eth0]:53"},
			[]string{"_db._tcp.example.org"}},
		{"nameserver 10.0.0.1\nsearch a.example b.example.\n", "corp", []string{"10.0.0.1:53"},
			[]string{"_db._tcp.corp.a.example", "_db._tcp.corp.b.example", "_db._tcp.corp"}},
		{"nameserver 10.0.0.1\nsearch a.example\n", "corp.", []string{"10.0.0.1:53"}, []string{"_db._tcp.corp"}},
		{"nameserver 10.0.0.1\nsearch a.example\n", "example.org", []string{"10.0.0.1:53"}, []string{"_db._tcp.example.org"}},
	} {
		r := resolve.WithResolvConf(must(t)(resolve.SRV(resolve.SRVConfig{Domain: test.domain})), conf)
		for range 2 { // what is read is what is there then
			write("nameserver 10.9.9.9\n")
			if servers, _, err := resolve.SRVQuestions(r, "db"); err != nil || !slices.Equal(servers, []string{"10.9.9.9:53"}) {
				t.Errorf("got %v, %v", servers, err)
			}
			write(test.conf)
			servers, names, err := resolve.SRVQuestions(r, "db")
			if err != nil || !slices.Equal(servers, test.servers) || !slices.Equal(names, test.names) {
				t.Errorf("%q, %s: asks %v for %v, %v", test.conf, test.domain, servers, names, err)
			}
		}
	}
	r := resolve.WithResolvConf(must(t)(resolve.SRV(resolve.SRVConfig{Domain: "example.org"})), conf)
	for _, change := range []func(){func() { write("search a.example\n") }, func() { os.Remove(conf) }} {
		change()
		_, err := r.Resolve(t.Context(), "db", "1")
		if err == nil || errors.Is(err, resolve.ErrNotFound) || !strings.Contains(err.Error(), conf) ||
			!strings.Contains(err.Error(), "DIALER_SRV_SERVER") {
			t.Errorf("without a name server: got %v", err)
		}
	}
}
