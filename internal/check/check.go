// Package check finds out whether a main server can be used from here, and what is in the way: for each service who
// resolved its name and to what, whether it accepts connections, speaks its protocol and takes the worker's user, and whether the
// addresses that it hands out can be reached too.
//
// It dials as the worker does, through the same resolvers, but each endpoint once and by itself, without breakers and
// retries, so that a half that is dead is not hidden by the half that lives. Only what answers in unexpected words, or in
// none, is dialed again, to tell what it is.
package check

import (
	"cmp"
	"context"
	"errors"
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
	Unused   []services.Service // are shown, and do not count: the worker does not use them yet
	Missing  []string           // settings without which the worker does not start: each is a failure
	Notes    []string           // what else is to be said of the settings
	MongoURI string             // whose user is to log in, and whose TLS holds for its hosts; empty means neither
	NSQ      *nsq.Config        // TLS, secret and compression towards nsqd; nil = nsqdial's defaults
	Topic    string             // that nsqlookupd is asked for

	HelloTimeout time.Duration // how long a server may take to answer, and half of what a login may; 0 = 5 s
}

const (
	connectTimeout = 3 * time.Second // unless the worker's own is set
	helloTimeout   = 5 * time.Second
	resolveTimeout = 15 * time.Second

	// maxTargets bounds how many endpoints of a name, and how many addresses that a server hands out, are tried.
	maxTargets = 20
)

// checker is one check of all services.
type checker struct {
	cfg    Config
	uri    mongoURI
	dialer *dialer.Dialer

	mu      sync.Mutex                // guards answers
	answers map[string]resolve.Answer // what names resolved to, as the dialer told
}

// Run checks all services, side by side. The error is that of a bad configuration; what is wrong with a service is in the
// report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	cfg.HelloTimeout = cmp.Or(cfg.HelloTimeout, helloTimeout)
	c := &checker{cfg: cfg, uri: readURI(cfg.MongoURI), answers: map[string]resolve.Answer{}}
	c.cfg.Dialer = plain(cfg.Dialer)
	own := c.cfg.Dialer
	own.Trace = &dialer.Trace{Resolved: c.resolved}
	d, err := dialer.New(own)
	if err != nil {
		return Report{}, err
	}
	defer d.Close()
	c.dialer = d

	r := Report{Time: time.Now(), Services: make([]Result, len(cfg.Services)+len(cfg.Unused)), Verdicts: []string{}}
	var checks sync.WaitGroup
	for i, s := range slices.Concat(cfg.Services, cfg.Unused) {
		checks.Go(func() {
			r.Services[i] = c.service(ctx, s)
			r.Services[i].Unused = i >= len(cfg.Services)
		})
	}
	checks.Wait()
	c.logIn(ctx, r.Services)
	r.Missing = cfg.Missing
	r.OK = len(r.Missing) == 0
	for _, s := range r.Services {
		r.OK = r.OK && (s.OK || s.Unused)
	}
	r.sayOnce()
	r.Verdicts = append(r.Verdicts, cfg.Notes...)
	r.Summary = r.summary()
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

var (
	errNoEndpoint = errors.New("stands for no endpoint")
	errMalformed  = errors.New("no address")
)

// malformedError is why an address is none. It is errMalformed.
type malformedError struct{ error }

func (e malformedError) Unwrap() error      { return e.error }
func (malformedError) Is(target error) bool { return target == errMalformed }

func (c *checker) resolve(ctx context.Context, r *Result) (resolve.Answer, bool) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	e, err := c.dialer.Explain(ctx, r.Address)
	if err == nil && len(e.Answer.Endpoints) == 0 {
		err = fmt.Errorf("%s %w", r.Address, errNoEndpoint)
	}
	if err != nil {
		err = withoutOperation(err)
		if e.Verdict == "" && !errors.Is(err, errNoEndpoint) { // nobody was asked
			err = malformedError{err}
		}
		return e.Answer, r.add(failedStep(Resolve, "", err), begin)
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
	g := greeting{service: r.Service, target: addr, line: line}
	if r.Kind == services.MongoDB && c.uri.names(r.Address) {
		g.uri = c.uri
	}
	said, err := g.speak(ctx, c.cfg)
	if !line.connected() {
		r.add(failedStep(Connect, addr, line.connectError(err)), begin)
		return nil
	}
	r.add(Step{Name: Connect, Target: addr, OK: true, Text: "connected"}, time.Now().Add(-line.took()))
	for _, step := range said.steps {
		step.Target = addr
		r.Steps = append(r.Steps, step)
	}
	switch {
	case err != nil && len(said.steps) == 0:
		r.add(c.failedHello(ctx, g, err), begin.Add(line.took()))
	case err != nil:
		r.add(failedLookup(addr, err), begin.Add(line.took()))
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
