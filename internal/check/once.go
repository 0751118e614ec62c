package check

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// alike are the ports of one host that failed in one way.
type alike struct {
	fault fault
	ports []string
	steps []*Step
}

// sayOnce finds what several services failed by, and says it once instead of with each.
func (r *Report) sayOnce() {
	r.sayDNS()
	hosts := map[string]*alike{}
	mixed := map[string]bool{}
	for i := range r.Services {
		for j := range r.Services[i].Steps {
			s := &r.Services[i].Steps[j]
			if s.Name != Connect && s.fault != closed || s.Name == Advertised {
				continue
			}
			host, port, _ := net.SplitHostPort(s.Target)
			if s.OK {
				// What closes at once is told by its hello.
				if next := j + 1; next == len(r.Services[i].Steps) || r.Services[i].Steps[next].fault != closed {
					mixed[host] = true
				}
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
		if mixed[host] || len(h.ports) < 2 || verdict == "" {
			continue
		}
		r.Verdicts = append(r.Verdicts, fmt.Sprintf("host %s %s (%s)", host, verdict, strings.Join(h.ports, ", ")))
		for _, s := range h.steps {
			s.Text = "as every port of " + host
		}
	}
}

var hostVerdict = map[fault]string{
	refused:     "refuses connections on every port that was tried: the main server does not run, or its address is another",
	silent:      "does not answer on any port that was tried: it is off, its address is another, or a firewall drops packets",
	unreachable: "can't be reached from here: there is no way to its address",
	closed:      "accepts connections and closes them at once on every port that was tried: forwarders (such as socat) stand in front of dead services",
}

// sayDNS says once that name servers don't answer, where they answer for no service.
func (r *Report) sayDNS() {
	var steps []*Step
	for i := range r.Services {
		for j := range r.Services[i].Steps {
			if s := &r.Services[i].Steps[j]; s.fault == unresolved {
				steps = append(steps, s)
			}
		}
	}
	if len(steps) < 2 {
		return
	}
	r.Verdicts = append(r.Verdicts, "DNS does not answer, so that no name can be resolved: "+steps[0].cause.Error())
	for _, s := range steps {
		s.Text = "DNS does not answer"
	}
}
