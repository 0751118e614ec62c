// Package check finds out whether a main server can be used from here, and what is in the way: for each service who
// resolved its name and to what, whether it accepts connections, speaks its protocol and takes the worker's user, and whether the
// addresses that it hands out can be reached too.
//
// It dials as the worker does, through the same resolvers, but each endpoint once and by itself, without breakers and
// retries, so that a half that is dead is not hidden by the half that lives.
package check

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/resolve"
)

// Config says what to check.
type Config struct {
	Dialer   dialer.Config // as the worker's
	Services []services.Service
	MongoURI string      // whose user is to log in; empty means that nobody does
	NSQ      *nsq.Config // TLS, secret and compression towards nsqd; nil = nsqdial's defaults
	Topic    string      // that nsqlookupd is asked for
}

const (
	connectTimeout = 3 * time.Second // unless the worker's own is set
	helloTimeout   = 5 * time.Second
	loginTimeout   = 10 * time.Second
	resolveTimeout = 15 * time.Second

	// maxTargets bounds how many endpoints of a name, and how many addresses that a server hands out, are tried.
	maxTargets = 20
)

// checker is one check of all services.
type checker struct {
	cfg    Config
	dialer *dialer.Dialer

	mu      sync.Mutex                // guards answers
	answers map[string]resolve.Answer // what names resolved to, as the dialer told
}

// Run checks all services, side by side. The error is that of a bad configuration; what is wrong with a service is in the
// report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	c := &checker{cfg: cfg, answers: map[string]resolve.Answer{}}
	c.cfg.Dialer = plain(cfg.Dialer)
	own := c.cfg.Dialer
	own.Trace = &dialer.Trace{Resolved: c.resolved}
	d, err := dialer.New(own)
	if err != nil {
		return Report{}, err
	}
	defer d.Close()
	c.dialer = d

	results := make([]Result, len(cfg.Services))
	var checks sync.WaitGroup
	for i, s := range cfg.Services {
		checks.Go(func() { results[i] = c.service(ctx, s) })
	}
	checks.Wait()
	c.logIn(ctx, results)
	r := Report{OK: true, Services: results, Verdicts: []string{}}
	for i := range results {
		r.OK = r.OK && results[i].OK
	}
	r.sayOnce()
	return r, nil
}

// plain is the worker's configuration without what hides a failure or outlives a check.
func plain(cfg dialer.Config) dialer.Config {
	cfg.Budget = -1
	cfg.Spares = nil
	cfg.Logger = nil
	cfg.Cache.File = "" // it is the worker's to write
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	return cfg
}

func (c *checker) resolved(name string, a resolve.Answer, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[name] = a
}

// service is the story of one service.
func (c *checker) service(ctx context.Context, s services.Service) Result {
	r := Result{Service: s, OK: true}
	answer, ok := c.resolve(ctx, &r)
	if !ok {
		return r
	}
	for _, e := range answer.Endpoints[:min(len(answer.Endpoints), maxTargets)] {
		advertised := c.endpoint(ctx, &r, e.Addr)
		for _, address := range advertised {
			c.advertised(ctx, &r, address)
		}
	}
	return r
}

func (c *checker) resolve(ctx context.Context, r *Result) (resolve.Answer, bool) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	e, err := c.dialer.Explain(ctx, r.Address)
	if err == nil && len(e.Answer.Endpoints) == 0 {
		err = fmt.Errorf("%s stands for no endpoint", r.Address)
	}
	if err != nil {
		return e.Answer, r.add(failedStep(Resolve, "", withoutOperation(err)), begin)
	}
	r.ResolvedBy, r.TTL, r.Stale = e.Answer.Source, e.Answer.TTL.Seconds(), e.Answer.Stale
	var addrs []string
	for _, o := range e.Answer.Endpoints {
		if !slices.Contains(addrs, o.Addr) {
			addrs = append(addrs, o.Addr)
		}
	}
	text := fmt.Sprintf("%s by %s", strings.Join(addrs, ", "), r.ResolvedBy)
	if r.TTL > 0 {
		text += fmt.Sprintf(", TTL %v", e.Answer.TTL.Round(time.Second))
	}
	if r.Stale {
		text += ", stale: it could not be asked again"
	}
	return e.Answer, r.add(Step{Name: Resolve, OK: true, Text: text}, begin)
}

// endpoint connects to one endpoint and speaks the service's protocol. It returns the addresses that the server hands
// out.
func (c *checker) endpoint(ctx context.Context, r *Result, addr string) (advertised []string) {
	begin := time.Now()
	line, err := c.line(addr)
	if err != nil {
		r.add(failedStep(Connect, addr, err), begin)
		return nil
	}
	defer line.close()
	said, err := line.speak(ctx, r.Service, c.cfg)
	if !line.connected() {
		r.add(failedStep(Connect, addr, line.connectError(err)), begin)
		return nil
	}
	r.add(Step{Name: Connect, Target: addr, OK: true, Text: "connected"}, time.Now().Add(-line.took()))
	for _, step := range said.steps {
		step.Target = addr
		r.Steps = append(r.Steps, step)
	}
	if err != nil {
		name := Hello
		if len(said.steps) > 0 {
			name = Lookup // it greets, and then does not answer
		}
		r.add(line.failedHello(name, addr, err), begin.Add(line.took()))
		return nil
	}
	return said.advertised
}

// logIn logs in as the worker does, by way of the first MongoDB that answers.
func (c *checker) logIn(ctx context.Context, results []Result) {
	if c.cfg.MongoURI == "" {
		return
	}
	for i := range results {
		r := &results[i]
		if r.Kind == services.MongoDB && slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Name == Hello && s.OK }) {
			begin := time.Now()
			r.add(c.login(ctx), begin)
			return
		}
	}
}

// behind returns the name behind which advertised names of a service are looked for, as the worker does: nsqd's own
// where it is configured.
func (c *checker) behind(s services.Service) string {
	address := s.Address
	if s.Kind == services.NSQLookupd {
		for _, o := range c.cfg.Services {
			if o.Kind == services.NSQD {
				address = o.Address
				break
			}
		}
	}
	host, _, _ := net.SplitHostPort(address)
	return host
}
