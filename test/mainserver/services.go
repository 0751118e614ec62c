package mainserver

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/nsqio/nsq/nsqd"
	"github.com/nsqio/nsq/nsqlookupd"
)

// anyPort is where a service listens when it starts for the first time.
const anyPort = "127.0.0.1:0"

func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Host
}

// quiet takes the log of nsqd and nsqlookupd: a test's output is for what the test says.
type quiet struct{}

func (quiet) Output(int, string) error { return nil }

// daemon is an nsqd or an nsqlookupd. Its Main returns when Exit was called.
type daemon struct {
	exit func()
	main sync.WaitGroup
	err  error // Main's; read after main.Wait
}

// runDaemon returns when the daemon answers: one that is stopped before its Main has begun would never end.
func runDaemon(main func() error, exit func(), httpAddr string) (*daemon, error) {
	d := &daemon{exit: exit}
	d.main.Go(func() { d.err = main() })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + httpAddr + "/ping")
	if err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, resp.Body.Close()
}

// stop waits for the end. nsqlookupd 1.3.0 closes the connections that it knows when Exit begins, and waits for all: one
// that it was just accepting it closes when Exit is called again, or never.
func (d *daemon) stop() error {
	exited := make(chan struct{})
	var exits sync.WaitGroup
	exits.Go(func() {
		defer close(exited)
		d.exit()
	})
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for waiting := true; waiting; {
		select {
		case <-exited:
			waiting = false
		case <-again.C:
			exits.Go(d.exit)
		}
	}
	exits.Wait()
	d.main.Wait()
	if errors.Is(d.err, net.ErrClosed) {
		return nil
	}
	return d.err
}

func (s *Server) startNSQLookupd() (service, error) {
	opts := nsqlookupd.NewOptions()
	opts.Logger = quiet{}
	opts.TCPAddress = cmp.Or(s.lookupdTCP, anyPort)
	opts.HTTPAddress = cmp.Or(s.LookupdHTTPAddr, s.cfg.LookupdHTTPAddr, anyPort)
	opts.BroadcastAddress = "gvpocr-nsqlookupd"
	lookupd, err := nsqlookupd.New(opts)
	if err != nil {
		return nil, err
	}
	s.lookupdTCP = lookupd.RealTCPAddr().String()
	s.LookupdHTTPAddr = lookupd.RealHTTPAddr().String()
	return runDaemon(lookupd.Main, lookupd.Exit, s.LookupdHTTPAddr)
}

func (s *Server) startNSQD() (service, error) {
	dir, err := s.dir(NSQD)
	if err != nil {
		return nil, err
	}
	opts := nsqd.NewOptions()
	opts.Logger = quiet{}
	opts.TCPAddress = cmp.Or(s.NSQDAddr, s.cfg.NSQDAddr, anyPort)
	opts.HTTPAddress = cmp.Or(s.NSQDHTTPAddr, s.cfg.NSQDHTTPAddr, anyPort)
	opts.HTTPSAddress = ""
	opts.DataPath = dir
	opts.BroadcastAddress = s.cfg.BroadcastAddress
	opts.MsgTimeout = cmp.Or(s.cfg.MsgTimeout, opts.MsgTimeout)
	opts.MaxMsgTimeout = cmp.Or(s.cfg.MaxMsgTimeout, opts.MaxMsgTimeout)
	opts.MaxMsgSize = cmp.Or(s.cfg.MaxMsgSize, opts.MaxMsgSize)
	opts.SyncEvery = cmp.Or(s.cfg.SyncEvery, opts.SyncEvery)
	opts.MemQueueSize = max(cmp.Or(s.cfg.MemQueueSize, opts.MemQueueSize), 0)
	if s.lookupdTCP != "" {
		opts.NSQLookupdTCPAddresses = []string{s.lookupdTCP}
	}
	daemon, err := nsqd.New(opts)
	if err != nil {
		return nil, err
	}
	// Both before Main: it serves what they have read.
	if err := errors.Join(daemon.LoadMetadata(), daemon.PersistMetadata()); err != nil {
		daemon.Exit()
		return nil, err
	}
	s.NSQDAddr = daemon.RealTCPAddr().String()
	s.NSQDHTTPAddr = daemon.RealHTTPAddr().String()
	return runDaemon(daemon.Main, daemon.Exit, s.NSQDHTTPAddr)
}
