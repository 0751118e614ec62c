package nsqdial_test

import (
	"net/http"
	"testing"

	"github.com/nsqio/nsq/nsqd"
	"github.com/nsqio/nsq/nsqlookupd"
)

// quiet takes the logs of nsqd and nsqlookupd.
type quiet struct{}

func (quiet) Output(int, string) error { return nil }

const anyPort = "127.0.0.1:0"

// daemon is an nsqd or nsqlookupd of a test's own, for what a main server does not offer. The test's end ends it.
type daemon struct {
	tcp, http string
	exit      func()
	main      chan error
	stopped   bool
}

func runNSQD(t testing.TB, change func(*nsqd.Options)) *daemon {
	t.Helper()
	opts := nsqd.NewOptions()
	opts.Logger = quiet{}
	opts.TCPAddress, opts.HTTPAddress, opts.HTTPSAddress = anyPort, anyPort, anyPort
	opts.BroadcastAddress = "gvpocr-nsqd"
	if change != nil {
		change(opts)
	}
	if opts.DataPath == "" {
		opts.DataPath = t.TempDir()
	}
	n, err := nsqd.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.LoadMetadata(); err != nil {
		t.Fatal(err)
	}
	return run(t, &daemon{tcp: n.RealTCPAddr().String(), http: n.RealHTTPAddr().String(), exit: n.Exit}, n.Main)
}

func runLookupd(t testing.TB) *daemon {
	t.Helper()
	opts := nsqlookupd.NewOptions()
	opts.Logger = quiet{}
	opts.TCPAddress, opts.HTTPAddress = anyPort, anyPort
	opts.BroadcastAddress = "gvpocr-nsqlookupd" // one that nsqd can't resolve: it would leave a connection open
	l, err := nsqlookupd.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, &daemon{tcp: l.RealTCPAddr().String(), http: l.RealHTTPAddr().String(), exit: l.Exit}, l.Main)
}

func run(t testing.TB, d *daemon, main func() error) *daemon {
	t.Helper()
	d.main = make(chan error, 1)
	go func() { d.main <- main() }()
	t.Cleanup(d.stop)
	// One that is stopped before its Main has begun would never end.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + d.http + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return d
}

// stop stops it in an orderly way. A second stop does nothing.
func (d *daemon) stop() {
	if d.stopped {
		return
	}
	d.stopped = true
	d.exit()
	<-d.main
}

// startNSQD starts an nsqd, and a bench whose nsqd-proxy it is.
func startNSQD(t testing.TB, change func(*nsqd.Options)) *bench {
	t.Helper()
	d := runNSQD(t, change)
	b := &bench{t: t, changed: make(chan struct{})}
	b.dialer = b.newDialer("DIAL_NSQD_PROXY=" + d.tcp)
	b.nsqd, b.nsqdHTTP = d, d.http
	return b
}
