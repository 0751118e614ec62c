package dialer

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// Explanation says what a dial would do now, and why. String gives it as text.
type Explanation struct {
	Name, Verdict string
	Answer        resolve.Answer
	Steps         []Step // in the order in which a dial would go; equals of one priority are in random order then
}

// Step is what a dial would do with one endpoint.
type Step struct{ Addr, Action, Reason string } // Action: dial, spare, skip

// Explain tells what a dial of address would do now. It resolves the name, and dials nothing. The error is the
// resolver's, or that of a bad address.
func (d *Dialer) Explain(ctx context.Context, address string) (Explanation, error) {
	e := Explanation{Name: address}
	host, port, err := splitAddress("tcp", address)
	if err != nil {
		return e, fmt.Errorf("explain %s: %w", address, err)
	}
	if e.Answer, err = d.cache.Resolve(ctx, host, port); err != nil {
		e.Verdict = "fails: " + err.Error()
		return e, fmt.Errorf("explain %s: %w", address, err)
	}
	endpoints := slices.SortedStableFunc(slices.Values(e.Answer.Endpoints), func(a, b resolve.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight))
	})
	spares := d.stocked(address)
	var first, soonest string
	var next time.Time
	for _, o := range endpoints {
		s := d.known(o.Addr).stats()
		step := Step{Addr: o.Addr, Action: "dial", Reason: fmt.Sprintf("priority %d, weight %d", o.Priority, o.Weight)}
		switch {
		case tcpAddr(o.Addr) == nil:
			step.Action, step.Reason = "skip", "a host name: "+hostNames
		case s.State != Closed:
			step.Action = "skip"
			step.Reason = fmt.Sprintf("breaker %v, next probe %s; last error: %s", s.State, due(s.NextProbe, time.Now()), plain(Attempt{Err: s.LastError}))
			if next.IsZero() || s.NextProbe.Before(next) {
				next, soonest = s.NextProbe, o.Addr
			}
		case spares != nil && spares.count(o.Addr) > 0:
			step.Action = "spare"
			step.Reason = fmt.Sprintf("%d ready", spares.count(o.Addr))
		}
		if step.Action != "skip" && (first == "" || step.Action == "spare" && !strings.HasPrefix(first, "takes")) {
			first = map[string]string{"dial": "dials ", "spare": "takes a spare to "}[step.Action] + o.Addr
		}
		e.Steps = append(e.Steps, step)
	}
	e.Verdict = first
	switch {
	case first == "" && soonest == "":
		e.Verdict = "fails: " + noEndpoint("tcp", e.Answer).Error()
	case first == "":
		e.Verdict = fmt.Sprintf("fails at once: every breaker is open; %s is probed %s", soonest, due(next, time.Now()))
	}
	for _, verdict := range d.hostsDown(endpoints) {
		e.Verdict += "; " + verdict
	}
	return e, nil
}

func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.Name, e.Verdict)
	if e.Answer.Source != "" {
		stale := ""
		if e.Answer.Stale {
			stale = ", stale: it could not be asked again"
		}
		fmt.Fprintf(&b, "  resolved by %s%s\n", e.Answer.Source, stale)
	}
	for _, s := range e.Steps {
		fmt.Fprintf(&b, "  %-5s %s: %s\n", s.Action, s.Addr, s.Reason)
	}
	return b.String()
}

// due says when something is, for people.
func due(at, now time.Time) string {
	if wait := at.Sub(now); wait > 0 {
		return fmt.Sprintf("in %v", wait.Round(10*time.Millisecond))
	}
	return "now"
}

// hostsDown returns a sentence for each of the endpoints' hosts that is down.
func (d *Dialer) hostsDown(endpoints []resolve.Endpoint) []string {
	var hosts, verdicts []string
	for _, o := range endpoints {
		host, _, _ := net.SplitHostPort(o.Addr)
		if slices.Contains(hosts, host) {
			continue
		}
		hosts = append(hosts, host)
		switch down, refuses := d.hostDown(host); {
		case refuses:
			verdicts = append(verdicts, fmt.Sprintf("host %s does not answer on any port: it refuses", host))
		case down:
			verdicts = append(verdicts, fmt.Sprintf("host %s does not answer on any port", host))
		}
	}
	return verdicts
}

// recently is within which an endpoint was dialed whose closed breaker has a say about its host.
const recently = time.Minute

// hostDown reports whether the dialer knows several ports of a host and all of them are down: then it is the host, or
// the way to it, and not one service. refuses is true if none is silent.
func (d *Dialer) hostDown(host string) (down, refuses bool) {
	d.mu.Lock()
	var ports []*endpoint
	for addr, e := range d.endpoints {
		if h, _, _ := net.SplitHostPort(addr); h == host {
			ports = append(ports, e)
		}
	}
	d.mu.Unlock()
	open, silent := 0, 0
	for _, e := range ports {
		state, _ := e.breaker.snapshot()
		switch {
		case state != Closed:
			open++
			if kindOf(e.lastError()) == silentFailure {
				silent++
			}
		case time.Since(e.lastUsed()) < recently:
			return false, false
		}
	}
	return open > 1, open > 1 && silent == 0
}
