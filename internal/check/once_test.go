package check_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/check"
	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/resolve"
)

// names resolves what it has, and fails with the error that a name has.
type names map[string]any

func (n names) Resolve(_ context.Context, host, _ string) (resolve.Answer, error) {
	switch known := n[host].(type) {
	case string:
		return resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: known, Weight: 1}}, Source: "names"}, nil
	case error:
		return resolve.Answer{}, fmt.Errorf("%s: %w", host, known)
	}
	return resolve.Answer{}, resolve.ErrNotFound
}

// no is what DNS says of a host that does not exist.
func no(host string) error { return &net.DNSError{Err: "no such host", Name: host, IsNotFound: true} }

var errNoDNS = errors.New("read udp 10.0.0.53:53: i/o timeout")

// these are services of no known protocol.
func these(hosts ...string) []services.Service {
	var list []services.Service
	for _, host := range hosts {
		list = append(list, services.Service{Kind: services.TCP, Address: host + ":1"})
	}
	return list
}

func runNames(t *testing.T, n names, used, unused []services.Service) check.Report {
	t.Helper()
	return runWith(t, check.Config{Dialer: dialer.Config{Resolver: n}, Services: used, Unused: unused})
}

func TestDNSIsSaidToBeDownOnlyIfNothingAtAllIsResolved(t *testing.T) {
	alive := listen(t, mute)
	for name, c := range map[string]struct {
		names        names
		used, unused []services.Service
		verdict      string   // its beginning
		texts        []string // of what failed to be resolved, in order
	}{
		"nothing is resolved": {
			names{"one": errNoDNS, "two": errNoDNS}, these("one", "two"), nil,
			"DNS does not answer: no name that the worker needs can be resolved. The first of them: one: read udp 10.0.0.53:53: i/o timeout",
			[]string{"DNS does not answer", "DNS does not answer"},
		},
		"one of three is resolved": {
			names{"one": errNoDNS, "two": alive, "three": errNoDNS}, these("one", "two", "three"), nil,
			"", []string{"a name server does not answer: one: read udp", "a name server does not answer: three: read udp"},
		},
		"the first of three is resolved": {
			names{"one": alive, "two": errNoDNS, "three": errNoDNS}, these("one", "two", "three"), nil,
			"", []string{"a name server does not answer: two: read udp", "a name server does not answer: three: read udp"},
		},
		"one is unknown to a DNS that answers": {
			names{"one": errNoDNS, "two": resolve.ErrNotFound}, these("one", "two"), nil,
			"", []string{"a name server does not answer: one: read udp", "two: name not found"},
		},
		"what the worker does not use is resolved": {
			names{"one": errNoDNS, "two": errNoDNS, "backend": alive}, these("one", "two"), these("backend"),
			"DNS does not answer: no name that the worker needs", []string{"DNS does not answer", "DNS does not answer"},
		},
		"what the worker does not use is not resolved": {
			names{"one": alive, "two": alive, "backend": errNoDNS, "samba": errNoDNS}, these("one", "two"), these("backend", "samba"),
			"", []string{"a name server does not answer: backend", "a name server does not answer: samba"},
		},
		"all leads to a host that does not exist": {
			names{"one": no("nowhere.invalid"), "two": no("nowhere.invalid")}, these("one", "two"), nil,
			"every name that the worker needs leads to nowhere.invalid, and DNS says that there is no such host: is MAIN_SERVER_IP",
			[]string{"leads to nowhere.invalid, which DNS does not know", "leads to nowhere.invalid, which DNS does not know"},
		},
		"each leads to another host that does not exist": {
			names{"one": no("one.invalid"), "two": no("two.invalid")}, these("one", "two"), nil,
			"", []string{"one: lookup one.invalid: no such host", "two: lookup two.invalid: no such host"},
		},
		"nothing is known": {
			names{}, these("one", "two"), nil,
			"no name is known here: set MAIN_SERVER_IP", []string{"name not found", "name not found"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := runNames(t, c.names, c.used, c.unused)
			if said := strings.Join(report.Verdicts, "\n"); !strings.HasPrefix(said, c.verdict) || (c.verdict == "") != (said == "") {
				t.Errorf("%q; want %q", said, c.verdict)
			}
			var texts []string
			for _, s := range report.Services {
				if f, failed := s.Failure(); failed {
					texts = append(texts, f.Text)
				}
			}
			if !slices.EqualFunc(texts, c.texts, strings.HasPrefix) {
				t.Errorf("%q; want %q", texts, c.texts)
			}
		})
	}
}

// The worker does not use the backend and the file share yet: they are shown, and change nothing.
func TestWhatTheWorkerDoesNotUseIsShownAndDoesNotCount(t *testing.T) {
	alive, gone := listen(t, mute), dead(t)
	report := runNames(t, names{"db": alive, "backend": gone, "samba": dead(t)}, these("db"), these("backend", "samba"))
	if !report.OK || len(report.Verdicts) > 0 || !strings.HasPrefix(report.Summary, "OK") || len(report.Services) != 3 {
		t.Errorf("all that is used is well: %+v", report)
	}
	if s := report.Services[1]; s.OK || !s.Unused || s.Line() != "backend:1 (not used yet) FAILED: connect "+gone+": refused: nothing listens there" {
		t.Errorf("%+v: %s", s, s.Line())
	}
	var table strings.Builder
	check.Table{}.Write(&table, report)
	if said := table.String(); strings.Contains(said, "FAILED") || !strings.Contains(said, "not used by the worker yet, and not counted: backend:1, samba:1") {
		t.Errorf("%s", said)
	}

	// The other way round they save nothing, and what is said of their host stays true.
	report = runNames(t, names{"db": gone, "queue": dead(t), "backend": alive}, these("db", "queue"), these("backend"))
	_, port, _ := net.SplitHostPort(alive)
	if report.OK || report.Summary != "FAILED: no service can be used from here" || len(report.Verdicts) != 1 ||
		!strings.Contains(report.Verdicts[0], "the host is there ("+port+" connects), and what the worker needs does not run on it") {
		t.Errorf("%+v", report)
	}
}

func TestALogOfChangesHasTheTimeTheVerdictAndItsCause(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	alive, one, two := listen(t, mute), dead(t), dead(t)
	written := func(before *check.Report, now check.Report) string {
		var b strings.Builder
		check.WriteChange(&b, before, now)
		return b.String()
	}
	well := runNames(t, names{"db": alive, "queue": alive}, these("db", "queue"), nil)
	well.Time = at
	if got, want := written(nil, well), "2026-01-31T12:00:00Z db:1 ok\n2026-01-31T12:00:00Z queue:1 ok\n2026-01-31T12:00:00Z OK: all that was checked can be used from here\n"; got != want {
		t.Errorf("first:\n%swant:\n%s", got, want)
	}
	if got := written(&well, well); got != "" {
		t.Errorf("nothing has changed: %s", got)
	}
	down := runNames(t, names{"db": one, "queue": two}, these("db", "queue"), nil)
	down.Time = at.Add(time.Minute)
	got := written(&well, down)
	_, onePort, _ := net.SplitHostPort(one)
	_, twoPort, _ := net.SplitHostPort(two)
	for _, line := range []string{
		"db:1 FAILED: connect " + one + ": refused, as every port of 127.0.0.1",
		"FAILED: no service can be used from here",
		"host 127.0.0.1 refuses connections on every port that the worker needs (" + onePort + ", " + twoPort + "): the main server does not run, or its address is another",
	} {
		if !strings.Contains(got, "2026-01-31T12:01:00Z "+line+"\n") {
			t.Errorf("%q is not in:\n%s", line, got)
		}
	}
	half := runNames(t, names{"db": alive, "queue": two}, these("db", "queue"), nil)
	half.Time = at
	if got := written(&down, half); !strings.Contains(got, "db:1 ok\n") || !strings.Contains(got, "queue:1 FAILED: connect "+two+": refused") || !strings.Contains(got, "FAILED: queue:1 (connect)\n") {
		t.Errorf("half:\n%s", got)
	}

	// What is still in the way is said again with each change: who reads the last lines has the whole cause.
	before := runNames(t, names{"db": one, "queue": alive, "list": alive}, these("db", "queue", "list"), nil)
	after := runNames(t, names{"db": one, "queue": alive, "list": two}, these("db", "queue", "list"), nil)
	if got := written(&before, after); !strings.Contains(got, " db:1 FAILED: connect "+one) || strings.Contains(got, "queue:1") {
		t.Errorf("a second failure:\n%s", got)
	}
}

func TestForwardersOnOneHostAreSaidOnce(t *testing.T) {
	one, two := listen(t, closes), listen(t, closes)
	resolver, err := resolve.Static(map[string]string{"one": one, "two": two})
	if err != nil {
		t.Fatal(err)
	}
	report := runWith(t, check.Config{
		Dialer:   dialer.Config{Resolver: resolver},
		Services: []services.Service{{Kind: services.MongoDB, Address: "one:1"}, {Kind: services.NSQD, Address: "two:1"}},
	})
	if len(report.Verdicts) != 1 || !strings.Contains(report.Verdicts[0], "host 127.0.0.1 accepts connections and closes them at once") {
		t.Errorf("%q", report.Verdicts)
	}
	// One that works makes it a matter of services again.
	resolver, err = resolve.Static(map[string]string{"one": one, "two": two, "three": listen(t, mute)})
	if err != nil {
		t.Fatal(err)
	}
	report = runWith(t, check.Config{Dialer: dialer.Config{Resolver: resolver}, Services: []services.Service{
		{Kind: services.MongoDB, Address: "one:1"}, {Kind: services.NSQD, Address: "two:1"}, {Kind: services.TCP, Address: "three:1"},
	}})
	if len(report.Verdicts) != 0 || report.OK {
		t.Errorf("%+v", report)
	}
}

func TestWhatIsNoAddressIsNoFaultOfDNS(t *testing.T) {
	report := runWith(t, check.Config{Services: []services.Service{
		{Kind: services.NSQD, Address: "nsqd-proxy:99999"}, {Kind: services.MongoDB, Address: ":27017"},
	}})
	for i, want := range []string{`address "nsqd-proxy:99999": the port must be a number from 1 to 65535`, `address ":27017": the host is missing`} {
		if step, failed := report.Services[i].Failure(); !failed || step.Text != want {
			t.Errorf("%q, want %q", step.Text, want)
		}
	}
	if len(report.Verdicts) > 0 {
		t.Errorf("%q", report.Verdicts)
	}
}
