package cli_test

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gvpocr/worker/test/mainserver"
)

// patience is how long a script waits for what has to happen.
const patience = time.Minute

// scene is what one script has started.
type scene struct {
	env    *testscript.Env
	server *mainserver.Server
	names  map[string]string // what to call an address in golden files
	relays map[string]*relay
}

type sceneKey struct{}

func newScene(env *testscript.Env) *scene {
	return &scene{env: env, names: map[string]string{}, relays: map[string]*relay{}}
}

func of(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

// startMainServer starts a main server and gives the script the DIAL_ lines that say where it is, also in the file addresses,
// and NSQD_HTTP: mainserver [-services LIST] [-broadcast-address NAME] [-lookupd-tcp-address ADDR] [-read-only]
func startMainServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! mainserver")
	}
	var services string
	cfg := mainserver.Config{}
	flags := flag.NewFlagSet("mainserver", flag.ContinueOnError)
	flags.StringVar(&services, "services", "", "")
	flags.StringVar(&cfg.BroadcastAddress, "broadcast-address", "", "")
	flags.StringVar(&cfg.LookupdTCPAddr, "lookupd-tcp-address", "", "")
	flags.BoolVar(&cfg.Mongo.ReadOnly, "read-only", false, "")
	ts.Check(flags.Parse(args))
	if services != "" {
		cfg.Services = strings.Split(services, ",")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := mainserver.Start(ctx, cfg)
	ts.Check(err)
	ts.Defer(func() {
		if err := server.Close(); err != nil {
			ts.Logf("main server: %v", err)
		}
	})
	s := of(ts)
	s.server = server
	addresses := ""
	for _, line := range server.Environ() {
		name, addr, _ := strings.Cut(line, "=")
		ts.Setenv(name, addr)
		addresses += line + "\n"
		s.call(addr, strings.TrimSuffix(strings.TrimPrefix(name, "DIAL_"), "_PROXY"))
	}
	if server.NSQDHTTPAddr != "" {
		ts.Setenv("NSQD_HTTP", server.NSQDHTTPAddr)
		s.call(server.NSQDHTTPAddr, "NSQD_HTTP")
	}
	ts.Check(os.WriteFile(ts.MkAbs("addresses"), []byte(addresses), 0o644))
}

// call makes golden files call an address, and its port, by a name.
func (s *scene) call(addr, name string) {
	_, port, _ := net.SplitHostPort(addr)
	s.names[":"+port] = ":$" + name
}

func stopService(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Check(of(ts).server.Stop(name))
	}
}

func startService(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Check(of(ts).server.Start(name))
	}
}

// startRelay starts a forwarder as socat is one: it accepts, and only then dials its target; if that fails it closes.
// relay NAME HOST TARGET listens on HOST and sets NAME to host:port.
func startRelay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: relay NAME HOST TARGET")
	}
	runRelay(ts, args[0], &relay{addr: net.JoinHostPort(args[1], "0"), target: args[2], conns: map[net.Conn]bool{}})
}

// startTLSRelay starts a gateway that ends TLS with a certificate for HOST, which it writes into CAFILE, too:
// tlsrelay NAME HOST TARGET CAFILE listens on 127.0.0.1 and sets NAME to host:port.
func startTLSRelay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: tlsrelay NAME HOST TARGET CAFILE")
	}
	cert, authority, err := certificate(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), authority, 0o644))
	runRelay(ts, args[0], &relay{
		addr: "127.0.0.1:0", target: args[2], conns: map[net.Conn]bool{},
		tls: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	})
}

func runRelay(ts *testscript.TestScript, name string, r *relay) {
	ts.Check(r.up())
	ts.Defer(r.down)
	s := of(ts)
	s.relays[name] = r
	s.call(r.addr, name)
	ts.Setenv(name, r.addr)
}

// cutRelay ends a relay's connections and takes no more (cut NAME), or lets it listen again (! cut NAME).
func cutRelay(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || of(ts).relays[args[0]] == nil {
		ts.Fatalf("usage: [!] cut RELAY")
	}
	r := of(ts).relays[args[0]]
	if neg {
		ts.Check(r.up())
		return
	}
	r.down()
}

// freePort sets a variable to a port at which nothing listens: freeport NAME [HOST].
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: freeport NAME [HOST]")
	}
	host := "127.0.0.1"
	if len(args) > 1 {
		host = args[1]
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	ts.Check(err)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	ts.Check(listener.Close())
	ts.Setenv(args[0], port)
	of(ts).names[":"+port] = ":$" + args[0]
}

// until repeats a command until it succeeds (with !: fails) and its output has the text:
// until TEXT PROGRAM ARGS...
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until TEXT PROGRAM ARGS...")
	}
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if (err != nil) == neg && strings.Contains(out, args[0]) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s did not say %q within %v:\n%s", strings.Join(args[1:], " "), args[0], patience, out)
		}
	}
}

// freeze stops (freeze) or continues (! freeze) the worker of the script, which wrote its process id into a file by
// ocr-worker health --json.
func freeze(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] freeze FILE")
	}
	match := regexp.MustCompile(`"pid": (\d+)`).FindStringSubmatch(ts.ReadFile(args[0]))
	if match == nil {
		ts.Fatalf("%s has no pid", args[0])
	}
	var pid int
	_, err := fmt.Sscan(match[1], &pid)
	ts.Check(err)
	signal := syscall.SIGSTOP
	if neg {
		signal = syscall.SIGCONT
	} else {
		ts.Defer(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // so that the script's end can end it
	}
	ts.Check(syscall.Kill(pid, signal))
}

var (
	ephemeral = regexp.MustCompile(`127\.0\.0\.1:\d+->`)
	stamps    = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`)
	durations = regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|s| ms| s)\b`)
	blanks    = regexp.MustCompile(` +`)
	rules     = regexp.MustCompile(`-{3,}`)
)

// mask makes a file out of a command's output in which what differs from run to run has a name instead:
// mask stdout FILE
func mask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mask stdout|stderr|FILE FILE")
	}
	text := ts.ReadFile(args[0])
	for addr, name := range of(ts).names {
		text = strings.ReplaceAll(text, addr, name)
	}
	text = strings.ReplaceAll(text, ts.Getenv("WORK"), "$WORK")
	text = ephemeral.ReplaceAllString(text, "")
	text = stamps.ReplaceAllString(text, "TIME")
	text = durations.ReplaceAllString(text, "# ms")
	text = rules.ReplaceAllString(text, "---")
	text = blanks.ReplaceAllString(text, " ")
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, " \n")+"\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "")), 0o644))
}
