package resolve_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	miekg "github.com/miekg/dns"

	"github.com/gvpocr/worker/resolve"
)

func TestAddressesSayWhatTheyDoNotKnow(t *testing.T) {
	inner := fixed{
		"whole":     {Endpoints: []resolve.Endpoint{{Addr: "standby.example.org:1"}}, TTL: 30 * time.Second},
		"long":      {Endpoints: []resolve.Endpoint{{Addr: "standby.example.org:1"}}, TTL: 31 * time.Second},
		"half":      {Endpoints: []resolve.Endpoint{{Addr: "standby.example.org:1"}, {Addr: "nowhere.example.org:1"}}},
		"addresses": {Endpoints: []resolve.Endpoint{{Addr: "10.0.0.1:1"}}, TTL: time.Hour},
	}
	type known struct {
		Partial bool
		TTL     time.Duration
	}
	got := map[string]known{}
	for host := range inner {
		answer, err := resolve.Addresses(inner, nil).Resolve(t.Context(), host, "1")
		if err != nil {
			t.Fatal(err)
		}
		got[host] = known{answer.Partial, answer.TTL}
	}
	want := map[string]known{
		"whole": {false, 30 * time.Second}, "long": {false, 0}, "half": {true, 0}, "addresses": {false, time.Hour},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAnswerWithoutTheAddressesOfOneKindIsPartialIfTheirLookupFailed(t *testing.T) {
	for name, test := range map[string]struct {
		aaaa    int // what the name server says of IPv6
		partial bool
		addrs   string
	}{
		"both kinds":                 {miekg.RcodeSuccess, false, "10.0.0.1:1 [2001:db8::1]:1"},
		"IPv6 failed":                {miekg.RcodeServerFailure, true, "10.0.0.1:1"},
		"the name is said not to be": {miekg.RcodeNameError, false, "10.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			server := listen(t, miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
				reply := new(miekg.Msg)
				reply.SetReply(q)
				reply.RecursionAvailable = true
				record := q.Question[0].Name + " 60 IN A 10.0.0.1"
				if q.Question[0].Qtype == miekg.TypeAAAA {
					record, reply.Rcode = q.Question[0].Name+" 60 IN AAAA 2001:db8::1", test.aaaa
				}
				if rr, err := miekg.NewRR(record); err == nil && reply.Rcode == miekg.RcodeSuccess {
					reply.Answer = append(reply.Answer, rr)
				}
				_ = w.WriteMsg(reply)
			}))
			dns := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, server.Addr)
			}}
			for _, r := range []resolve.Resolver{
				resolve.System(dns),
				resolve.Addresses(fixed{"db.example.org": {Endpoints: []resolve.Endpoint{{Addr: "db.example.org:1"}}}}, dns),
			} {
				answer, err := r.Resolve(t.Context(), "db.example.org", "1")
				if answer.Partial != test.partial || describe(answer, err) != test.addrs {
					t.Errorf("got %s, partial %v", describe(answer, err), answer.Partial)
				}
			}
		})
	}
}

type fixed map[string]resolve.Answer

func (f fixed) Resolve(_ context.Context, host, _ string) (resolve.Answer, error) {
	answer := f[host]
	answer.Endpoints = slices.Clone(answer.Endpoints)
	return answer, nil
}
