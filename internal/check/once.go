package check

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/gvpocr/worker/internal/printable"
)

// alike are the ports of one host that failed in one way.
type alike struct {
	fault fault
	ports []string
	steps []*Step
}

// sayOnce finds what several services failed by, and says it once instead of with each. Services that the worker does not
// use have no say.
func (r *Report) sayOnce() {
	r.sayNames()
	hosts := map[string]*alike{}
	mixed := map[string]bool{}
	for i := range r.Services {
		if r.Services[i].Unused {
			continue
		}
		steps := r.Services[i].Steps
		for j := range steps {
			s := &steps[j]
			if s.Name != Connect && s.fault != closed || s.Name == Advertised {
				continue
			}
			host, port, _ := net.SplitHostPort(s.Target)
			if s.OK {
				mixed[host] = mixed[host] || !closes(steps[j+1:])
				continue
			}
			h := hosts[host]
			if h == nil {
				h = &alike{fault: s.fault}
				hosts[host] = h
			}
			mixed[host] = mixed[host] || h.fault != s.fault
			if !slices.Contains(h.ports, port) {
				h.ports = append(h.ports, port)
			}
			h.steps = append(h.steps, s)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		h := hosts[host]
		verdict := hostVerdict[h.fault]
		if mixed[host] || len(h.ports) < 2 || verdict.what == "" {
			continue
		}
		why := verdict.why
		if other := r.answering(host); other != "" {
			why = "the host is there (" + other + " connects), and what the worker needs does not run on it"
		}
		r.Verdicts = append(r.Verdicts, fmt.Sprintf("host %s %s that the worker needs (%s): %s",
			host, verdict.what, strings.Join(h.ports, ", "), why))
		for _, s := range h.steps {
			s.Text = verdict.brief + ", as every port of " + host
		}
	}
}

// closes reports whether what came after a connect that went well is its close.
func closes(after []Step) bool { return len(after) > 0 && after[0].fault == closed }

// answering returns the port of an unused service of host that connects.
func (r *Report) answering(host string) string {
	for _, service := range r.Services {
		for i, s := range service.Steps {
			if h, port, _ := net.SplitHostPort(s.Target); service.Unused && s.Name == Connect && s.OK && h == host && !closes(service.Steps[i+1:]) {
				return port
			}
		}
	}
	return ""
}

var hostVerdict = map[fault]struct{ brief, what, why string }{
	refused:     {"refused", "refuses connections on every port", "the main server does not run, or its address is another"},
	silent:      {"no answer", "answers on no port", "it is off, its address is another, or a firewall drops packets"},
	unreachable: {"no way there", "can't be reached from here on any port", "there is no way to its address"},
	closed:      {"closed at once", "accepts connections and closes them at once on every port", "forwarders (such as socat) stand in front of dead services"},
}

// sayNames says once why no name could be resolved at all. Where some could, each of the others has a reason of its own.
func (r *Report) sayNames() {
	var steps []*Step
	why := none
	for i := range r.Services {
		s := &r.Services[i].Steps[0]
		if r.Services[i].Unused {
			continue
		}
		if s.OK || why != none && s.fault != why {
			return
		}
		why = s.fault
		steps = append(steps, s)
	}
	if len(steps) < 2 {
		return
	}
	switch why {
	case unresolved:
		r.Verdicts = append(r.Verdicts, "DNS does not answer: no name that the worker needs can be resolved. The first of them: "+printable.Error(steps[0].cause))
		for i := range r.Services {
			if s := &r.Services[i].Steps[0]; s.fault == unresolved {
				s.Text = "DNS does not answer"
			}
		}
	case nohost:
		r.sayNoHost(steps)
	case unknown:
		r.Verdicts = append(r.Verdicts,
			"no name is known here: set MAIN_SERVER_IP to the main server's address, where its usual names lead then, or a DIAL_ line for each name")
	}
}

// sayNoHost says once that all names lead to a host of which DNS says that there is none, as when MAIN_SERVER_IP is misspelled.
func (r *Report) sayNoHost(steps []*Step) {
	host := missing(steps[0].cause)
	if slices.ContainsFunc(steps, func(s *Step) bool { return missing(s.cause) != host }) {
		return
	}
	r.Verdicts = append(r.Verdicts, fmt.Sprintf("every name that the worker needs leads to %s, and DNS says that there is no such host: "+
		"is MAIN_SERVER_IP, or the DIAL_ line, right?", host))
	for _, s := range steps {
		s.Text = "leads to " + host + ", which DNS does not know"
	}
}
