package check_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/check"
	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/resolve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen serves each connection by f until the test ends, and returns the address.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				f(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// dead returns an address at which nothing listens.
func dead(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func closes(net.Conn) {}

// mute reads and never answers.
func mute(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func answers(reply []byte) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 1024)); err == nil {
			_, _ = conn.Write(reply)
			mute(conn)
		}
	}
}

// smb is a frame of an SMB2 answer to negotiate.
func smb(status uint32, dialect uint16) []byte {
	reply := make([]byte, 64+65)
	copy(reply, "\xfeSMB")
	binary.LittleEndian.PutUint32(reply[8:], status)
	binary.LittleEndian.PutUint16(reply[68:], dialect)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...)
}

// mongoDB is an OP_MSG with one document.
func mongoDB(t *testing.T, document bson.M) []byte {
	t.Helper()
	body, err := bson.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	var b []byte
	for _, n := range []uint32{uint32(16 + 4 + 1 + len(body)), 1, 1, 2013, 0} {
		b = le.AppendUint32(b, n)
	}
	return append(append(b, 0), body...)
}

// run checks one service whose name leads to targets.
func run(t *testing.T, kind services.Kind, targets string) check.Report {
	t.Helper()
	resolver, err := resolve.Static(map[string]string{"service": targets})
	if err != nil {
		t.Fatal(err)
	}
	return runWith(t, check.Config{
		Dialer:   dialer.Config{Resolver: resolver},
		Services: []services.Service{{Kind: kind, Address: "service:1"}},
	})
}

func runWith(t *testing.T, cfg check.Config) check.Report {
	t.Helper()
	cfg.HelloTimeout = time.Second // what a mute server costs
	report, err := check.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestEachProtocolTellsTheServiceFromWhatItIsNot(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(gateway.Close)
	backend := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(backend.Close)
	hello := func(document bson.M) func(net.Conn) { return answers(mongoDB(t, document)) }
	http := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	const forwarder = "accepts the connection and closes it at once: a forwarder"
	const frozen = "accepts the connection and does not answer"
	for name, c := range map[string]struct {
		kind services.Kind
		addr string
		ok   bool
		says string
	}{
		"SMB":                         {services.SMB, listen(t, answers(smb(0, 0x0302))), true, "SMB: dialect 3.0.2"},
		"SMB of 3.1.1 only":           {services.SMB, listen(t, answers(smb(0xC00000BB, 0))), true, "newer dialects"},
		"SMB that refuses":            {services.SMB, listen(t, answers(smb(0xC0000022, 0))), false, "0xC0000022"},
		"SMB that is HTTP":            {services.SMB, listen(t, answers([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))), false, "not an SMB file share but an HTTP server"},
		"SMB behind a forwarder":      {services.SMB, listen(t, closes), false, forwarder},
		"HTTP":                        {services.HTTP, http(backend), true, "HTTP: status 404"},
		"a gateway before nothing":    {services.HTTP, http(gateway), false, "status 502: the service behind it is down"},
		"HTTP behind a forwarder":     {services.HTTP, listen(t, closes), false, forwarder},
		"HTTP that is frozen":         {services.HTTP, listen(t, mute), false, frozen},
		"MongoDB":                     {services.MongoDB, listen(t, hello(bson.M{"ok": 1, "isWritablePrimary": true, "maxWireVersion": 21})), true, "MongoDB: standalone, wire version 21"},
		"MongoDB that refuses":        {services.MongoDB, listen(t, hello(bson.M{"ok": 0, "errmsg": "too old"})), false, "too old"},
		"MongoDB without its primary": {services.MongoDB, listen(t, hello(bson.M{"ok": 1, "setName": "rs0"})), true, "has no primary now"},
		"MongoDB that is HTTP":        {services.MongoDB, listen(t, answers([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))), false, "what answers there is not MongoDB but an HTTP server: is the port right?"},
		"MongoDB that is frozen":      {services.MongoDB, listen(t, mute), false, frozen},
		"nsqd behind a forwarder":     {services.NSQD, listen(t, closes), false, forwarder},
		"nsqd that is HTTP":           {services.NSQD, http(backend), false, "not nsqd (its TCP port, usually 4150) but an HTTP server"},
		"nsqlookupd that is another":  {services.NSQLookupd, http(backend), false, "not nsqlookupd (its HTTP port, usually 4161) but an HTTP server"},
		"anything":                    {services.TCP, listen(t, mute), true, "stays open"},
		"anything behind a forwarder": {services.TCP, listen(t, closes), false, forwarder},
		"nothing":                     {services.TCP, dead(t), false, "refused: nothing listens there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := run(t, c.kind, c.addr)
			steps := report.Services[0].Steps
			if last := steps[len(steps)-1]; report.OK != c.ok || last.OK != c.ok || !strings.Contains(last.Text, c.says) {
				t.Errorf("ok %v, %+v; want %v, %q", report.OK, last, c.ok, c.says)
			}
		})
	}
}

// A worker goes on with the half that lives; a check has to show the one that is dead.
func TestADeadEndpointIsNotHiddenByALivingOne(t *testing.T) {
	alive, gone := listen(t, mute), dead(t)
	report := run(t, services.TCP, alive+"|"+gone)
	failure, failed := report.Services[0].Failure()
	if report.OK || !failed || failure.Target != gone || len(report.Services[0].Steps) != 4 || len(report.Verdicts) > 0 {
		t.Errorf("%+v", report)
	}
}

func TestAnEndpointIsDialedOnceAndWithoutWaiting(t *testing.T) {
	var dials atomic.Int32
	resolver, err := resolve.Static(map[string]string{"service": dead(t)})
	if err != nil {
		t.Fatal(err)
	}
	report := runWith(t, check.Config{
		Dialer: dialer.Config{
			Resolver: resolver,
			DialFunc: func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			},
			Spares: map[string]int{"service": 2},
		},
		Services: []services.Service{{Kind: services.HTTP, Address: "service:1"}},
	})
	if n := dials.Load(); report.OK || n != 1 {
		t.Errorf("ok %v, after %d dials", report.OK, n)
	}
}

func TestMembersOfAReplicaSetAreReachedByTheNamesThatItHandsOut(t *testing.T) {
	member := listen(t, answers(mongoDB(t, bson.M{"ok": 1, "setName": "rs0"})))
	_, port, _ := net.SplitHostPort(member)
	_, gonePort, _ := net.SplitHostPort(dead(t))
	mongo := listen(t, answers(mongoDB(t, bson.M{
		"ok": 1, "setName": "rs0", "isWritablePrimary": true, "hosts": bson.A{"gvpocr-mongo-1:" + port, "gvpocr-mongo-2:" + gonePort},
	})))
	steps := run(t, services.MongoDB, mongo).Services[0].Steps
	advertised := slices.DeleteFunc(steps, func(s check.Step) bool { return s.Name != check.Advertised })
	if len(advertised) != 2 || !advertised[0].OK || advertised[1].OK {
		t.Fatalf("%+v", advertised)
	}
	for i, want := range []string{"reached at " + member + ", behind service (static service), and is a MongoDB", "nothing maps this name; tried behind service, at 127.0.0.1:" + gonePort + ": refused; set DIAL_GVPOCR_MONGO_2=host:port"} {
		if !strings.Contains(advertised[i].Text, want) {
			t.Errorf("%q does not say %q", advertised[i].Text, want)
		}
	}
}

func TestTheTableWrapsToATerminal(t *testing.T) {
	var b strings.Builder
	report := run(t, services.TCP, listen(t, closes))
	check.Table{Color: true, Width: 100}.Write(&b, report)
	for line := range strings.Lines(b.String()) {
		if n := len(line); n > 130 { // 100 and the colors
			t.Errorf("%d bytes: %q", n, line)
		}
	}
	if !strings.Contains(b.String(), "\x1b[31mFAILED\x1b[0m") {
		t.Errorf("no color:\n%q", b.String())
	}
	b.Reset()
	check.Table{Width: 40}.Write(&b, report)
	rows, _, _ := strings.Cut(b.String(), "\n\n")
	for line := range strings.SplitSeq(rows, "\n") {
		if len(line) > 40 {
			t.Errorf("%d bytes where 40 have room: %q", len(line), line)
		}
	}
	if !strings.HasPrefix(rows, "service:1\n  resolve ok, ") || !strings.Contains(strings.Join(strings.Fields(rows), " "), "stands in front of a dead service") {
		t.Errorf("narrow:\n%s", rows)
	}
}

// A terminal would take it for colors, or for another row of the table.
func TestWhatServersSayIsFitToBeShown(t *testing.T) {
	const evil = "\x1b[31mEVIL\nx"
	_, port, _ := net.SplitHostPort(dead(t))
	lookupd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ping":
			_, _ = io.WriteString(w, "OK")
		case "/lookup":
			_, _ = io.WriteString(w, `{"producers":[{"broadcast_address":"\u001b[31mEVIL\nx","tcp_port":4150},
				{"broadcast_address":"gvpocr-nsqd","tcp_port":`+port+`},{"broadcast_address":"a","tcp_port":0}]}`)
		}
	}))
	t.Cleanup(lookupd.Close)
	for name, c := range map[string]struct {
		kind services.Kind
		addr string
		says string
	}{
		"nsqlookupd":           {services.NSQLookupd, lookupd.Listener.Addr().String(), "gvpocr-nsqd:" + port + "; left out, since what they advertise is no host name and port: 2"},
		"MongoDB":              {services.MongoDB, listen(t, answers(mongoDB(t, bson.M{"ok": 1, "setName": "rs0" + evil, "primary": evil, "hosts": bson.A{evil + ":27017", "one:" + port}}))), "secondary of replica set rs0[31mEVIL x, whose primary is [31mEVIL x"},
		"MongoDB that refuses": {services.MongoDB, listen(t, answers(mongoDB(t, bson.M{"ok": 0, "errmsg": evil}))), "MongoDB refuses hello: [31mEVIL x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := run(t, c.kind, c.addr)
			var b strings.Builder
			check.Table{}.Write(&b, report)
			if text := b.String(); strings.ContainsRune(text, '\x1b') || strings.Contains(text, "\nx") || strings.Contains(text, "DIAL__") || !strings.Contains(text, c.says) {
				t.Errorf("%q does not say %q", text, c.says)
			}
			for _, s := range report.Services[0].Steps {
				if strings.Contains(s.Target, "EVIL") {
					t.Errorf("%q is tried", s.Target)
				}
			}
		})
	}
}
