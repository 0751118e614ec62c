package dialer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// failures are what can go wrong for an operator. Each dials mongodb-proxy:27017, unless it says otherwise, in a worker
// with this environment, on a network in memory and on virtual time.
var failures = []struct {
	name    string
	environ []string
	change  func(*testing.T, *dialer.Config)
	network string
	address string
	dns     bool                                    // asks net.Resolver, whose state lives outside of any bubble: real time
	dial    func(b *bench, dial func() error) error // nil = once
}{
	{name: "one endpoint refuses", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1"}},
	{name: "two endpoints refuse", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1|10.0.0.2:27018"}},
	{name: "an endpoint is blackholed", environ: []string{"MAIN_SERVER_IP=10.0.0.9"}},
	{name: "one refuses, one is blackholed", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1|10.0.0.9"}},
	{
		name: "an endpoint has no route", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1"},
		change: dialsEndWith(os.NewSyscallError("connect", syscall.EHOSTUNREACH)),
	},
	{name: "an unknown name", dns: true, address: "mongodb-prxy:27017", environ: []string{"MAIN_SERVER_IP=10.0.0.1"}},
	{name: "a service that nothing was said of", dns: true},
	{
		name: "a denied name", address: "db.example.org:27017",
		environ: []string{"MAIN_SERVER_IP=10.0.0.1", "DIALER_UNKNOWN=deny"},
	},
	{name: "a denied address", address: "192.0.2.7:80", environ: []string{"MAIN_SERVER_IP=10.0.0.1", "DIALER_UNKNOWN=deny"}},
	{name: "a target whose host DNS does not know", dns: true, environ: []string{"DIAL_MONGODB_PROXY=db.example.org"}},
	{
		name: "DNS is dead", dns: true, change: func(t *testing.T, _ *dialer.Config) {
			nameServer.SetDown(true)
			t.Cleanup(func() { nameServer.SetDown(false) })
		},
	},
	{
		name: "an answer without endpoints", change: func(_ *testing.T, c *dialer.Config) {
			c.Faults = &dialer.Faults{Rules: []dialer.Fault{{Kind: dialer.ResolveEmpty}}}
		},
	},
	{name: "no endpoint of the network", network: "tcp6", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1"}},
	{name: "all breakers open", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1|10.0.0.2"}, dial: untilOpen},
	{name: "a certificate for another name", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1"}, change: certified("db.example", time.Hour, true)},
	{name: "an expired certificate", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1"}, change: certified("mongodb-proxy", -time.Hour, true)},
	{name: "a certificate of an unknown authority", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1"}, change: certified("mongodb-proxy", time.Hour, false)},
	{name: "no TLS at the other end", environ: []string{"DIAL_MONGODB_PROXY=10.0.0.1"}, change: greeting("HTTP/1.1 400 Bad Request\r\n")},
	{
		name: "the caller's deadline", environ: []string{"MAIN_SERVER_IP=10.0.0.9"},
		dial: func(b *bench, _ func() error) error {
			ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
			defer cancel()
			_, err := b.d.DialContext(ctx, "tcp", "mongodb-proxy:27017")
			return err
		},
	},
	{
		name: "a closed dialer", environ: []string{"MAIN_SERVER_IP=10.0.0.1"},
		dial: func(b *bench, dial func() error) error {
			b.d.Close()
			return dial()
		},
	},
	{name: "an address without a port", address: "mongodb-proxy"},
	{name: "a port by name", address: "mongodb-proxy:mongodb"},
	{
		name: "what a connect function says", environ: []string{"DIAL_NSQD_PROXY=10.0.0.1"},
		dial: func(b *bench, _ func() error) error {
			return b.d.Do(b.t.Context(), "nsqd-proxy:4150", func(context.Context, string) error {
				return dialer.Permanent(errors.New("nsqd wants a secret, and none is set"))
			})
		},
	},
}

// settings are environments with mistakes in them.
var settings = []struct {
	name    string
	environ []string
}{
	{"DIAL lines", []string{
		"DIAL_MONGODB_PROXY=10.0.0.1:x", "DIAL_nsqd=10.0.0.1", "DIAL_BACKEND_PROXY=https://10.0.0.1", "DIAL_SAMBA_PROXY=10.0.0.1,,10.0.0.2",
		"DIAL_NSQLOOKUPD_PROXY=user:secret@10.0.0.1", "DIAL_DB=srv:example.org", "DIAL_CACHE=10.0.0.1*0",
	}},
	{"DIALER settings", []string{
		"DIALER_BUDGET=15", "DIALER_KEEPALIVE_COUNT=many", "DIALER_BUGDET=15s", "DIALER_UNKNOWN=allow", "DIALER_SPARES=mongodb-proxy",
		"DIALER_TLS=mongodb-proxy=pem:/ca.pem", "DIALER_SRV_DOMAIN=not a domain", "DIALER_SRV_SERVER=10.0.0.1:dns", "MAIN_SERVER_IP=10.0.0.1:27017",
	}},
	{"a setting that needs another", []string{"DIALER_UNKNOWN=main-server"}},
	{"settings out of range", []string{"DIALER_SPARE_IDLE=-1s", "DIALER_KEEPALIVE_INTERVAL=-5s", "DIALER_SPARES=mongodb-proxy=1000,backend-proxy=-1"}},
}

// asked is the name server that net.Resolver says it asked: that of the machine's resolv.conf.
var asked = regexp.MustCompile(`( on )\S+:53:`)

// TestErrorsSayWhatAnOperatorNeedsToKnow holds every text that an operator may see against a file, for people to judge:
// the logical name, each endpoint and why it failed, and what to do. With -update it rewrites the file.
func TestErrorsSayWhatAnOperatorNeedsToKnow(t *testing.T) {
	var texts strings.Builder
	for _, f := range failures {
		err := whyNot(t, f.dns, f.environ, f.change, func(b *bench) error {
			network, address := "tcp", "mongodb-proxy:27017"
			if f.network != "" {
				network = f.network
			}
			if f.address != "" {
				address = f.address
			}
			dial := func() error {
				_, err := b.d.DialContext(b.t.Context(), network, address)
				return err
			}
			if f.dial != nil {
				return f.dial(b, dial)
			}
			return dial()
		})
		if _, ok := errors.AsType[*dialer.DialError](err); !ok {
			t.Errorf("%s: %T is not a *DialError", f.name, err)
		}
		fmt.Fprintf(&texts, "== %s\n%v\n\n", f.name, err)
	}
	for _, s := range settings {
		_, err := dialer.ConfigFromEnv(s.environ)
		if err == nil {
			t.Errorf("%s: no error", s.name)
			continue
		}
		for _, line := range s.environ {
			if variable, _, _ := strings.Cut(line, "="); !strings.Contains(err.Error(), variable) {
				t.Errorf("%s: %s is not named", s.name, variable)
			}
		}
		fmt.Fprintf(&texts, "== %s: %s\n%v\n\n", s.name, strings.Join(s.environ, " "), err)
	}
	golden(t, "testdata/errors.golden", asked.ReplaceAllString(texts.String(), "${1}192.0.2.53:53:"))
}

// whyNot dials and returns what came of it.
func whyNot(t *testing.T, dns bool, environ []string, change func(*testing.T, *dialer.Config), dial func(*bench) error) (err error) {
	t.Helper()
	now := func(t *testing.T) {
		cfg, cfgErr := dialer.ConfigFromEnv(environ)
		if cfgErr != nil {
			t.Fatal(cfgErr)
		}
		network := testnet.New()
		defer network.Close()
		network.Set("10.0.0.9:27017", testnet.Silent)
		cfg.DialFunc, cfg.Budget = network.DialContext, -1
		cfg.Breaker = dialer.BreakerConfig{ProbeMin: time.Second, ProbeMax: time.Second}
		if change != nil {
			change(t, &cfg)
		}
		d, newErr := dialer.New(cfg)
		if newErr != nil {
			t.Fatal(newErr)
		}
		defer d.Close()
		err = dial(&bench{t, network, d})
	}
	if dns {
		now(t)
	} else {
		synctest.Test(t, now)
	}
	return err
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("go test -run %s -update rewrites %s (-want +got):\n%s", t.Name(), file, diff)
	}
}

func untilOpen(_ *bench, dial func() error) error {
	for {
		err := dial()
		if errors.Is(err, dialer.ErrBreakerOpen) {
			return err
		}
		time.Sleep(60 * time.Millisecond)
	}
}

func dialsEndWith(err error) func(*testing.T, *dialer.Config) {
	return func(_ *testing.T, c *dialer.Config) {
		c.DialFunc = func(_ context.Context, network, addr string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)), Err: err}
		}
	}
}

// certified puts a TLS server at the other end of every connection, whose certificate is for name and lasts for a time,
// and is trusted or not.
func certified(name string, lasts time.Duration, trusted bool) func(*testing.T, *dialer.Config) {
	return func(t *testing.T, c *dialer.Config) {
		id := newIdentity(t, t.TempDir(), name, time.Now().Add(lasts))
		ca := id.certFile
		if !trusted {
			ca = newIdentity(t, t.TempDir(), "elsewhere", time.Now().Add(time.Hour)).certFile
		}
		c.TLS = map[string]dialer.TLSConfig{"mongodb-proxy": {CAFile: ca}}
		c.DialFunc = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				server := tls.Server(newBuffered(far), &tls.Config{Certificates: []tls.Certificate{id.cert}})
				_ = server.Handshake() // which the client gives up
				_ = server.Close()
			}()
			return near, nil
		}
	}
}

// greeting puts a server at the other end of every connection that knows nothing of TLS.
func greeting(text string) func(*testing.T, *dialer.Config) {
	return func(t *testing.T, c *dialer.Config) {
		c.TLS = map[string]dialer.TLSConfig{"mongodb-proxy": {CAFile: newIdentity(t, t.TempDir(), "mongodb-proxy", time.Now().Add(time.Hour)).certFile}}
		c.DialFunc = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			server := newBuffered(far)
			_, err := server.Write([]byte(text))
			go func() {
				_, _ = io.Copy(io.Discard, far)
				_ = server.Close()
			}()
			return near, err
		}
	}
}

// buffered is the server's end of a pipe whose writes do not wait for the client, as those of sockets.
type buffered struct {
	net.Conn
	writes chan []byte
}

func newBuffered(conn net.Conn) *buffered {
	b := &buffered{conn, make(chan []byte, 100)}
	go func() {
		for p := range b.writes {
			_, _ = conn.Write(p)
		}
		conn.Close()
	}()
	return b
}

func (b *buffered) Write(p []byte) (int, error) {
	b.writes <- bytes.Clone(p)
	return len(p), nil
}

func (b *buffered) Close() error {
	close(b.writes)
	return nil
}
