package migrate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gvpocr/worker/resolve"
)

// line is a variable that a worker's environment gains.
type line struct{ name, value string }

const mainServer = "MAIN_SERVER_IP"

// replacement returns the lines that replace the proxies: MAIN_SERVER_IP where all lead to the usual ports of one host, else
// a DIAL_ line for each name that is used.
func (m *migration) replacement() ([]line, error) {
	var dial []line
	oneHost, host := true, ""
	for _, service := range slices.Sorted(maps.Keys(m.proxies)) {
		p := m.proxies[service]
		if len(p.forwards) > 1 && !p.straight() {
			return nil, fmt.Errorf("service %s forwards several ports to other ports or to several hosts; a name has one place here: give each its own name by hand", service)
		}
		f := p.forwards[0]
		oneHost = oneHost && (host == "" || host == f.host) && p.straight()
		host = f.host
		target := f.host
		if !p.straight() {
			target += ":" + f.target
		}
		for _, name := range m.namesOf(service) {
			oneHost = oneHost && ofMainServer(name)
			dial = append(dial, line{variable(name), target})
		}
	}
	lines := dial
	others := m.otherNames(dial)
	m.others = slices.DeleteFunc(slices.Clone(others), m.provided)
	if oneHost && len(m.others) == len(others) {
		lines = []line{{mainServer, host}}
	}
	for _, l := range lines {
		if err := checkValue(l); err != nil {
			return nil, err
		}
	}
	for _, name := range m.workers {
		for _, l := range append(lines[:len(lines):len(lines)], line{name: mainServer}) {
			if old, ok := m.before.Services[name].Environment[l.name]; ok && old != nil {
				return nil, fmt.Errorf("service %s has %s already; it says what the proxies say, or something else: remove one of the two by hand", name, l.name)
			}
		}
	}
	return lines, nil
}

// ofMainServer reports whether MAIN_SERVER_IP says where a name is.
func ofMainServer(name string) bool {
	r, err := resolve.MainServer("main.server")
	if err != nil {
		return false
	}
	_, err = r.Resolve(context.Background(), name, "1")
	return err == nil
}

// checkValue refuses what a worker would refuse. What a variable will hold is not known.
func checkValue(l line) error {
	if strings.Contains(l.value, "$") {
		return nil
	}
	var err error
	if l.name == mainServer {
		_, err = resolve.MainServer(l.value)
	} else {
		_, err = resolve.ParseTarget(l.value)
	}
	if err != nil {
		return fmt.Errorf("socat's target is no address for %s: %w", l.name, err)
	}
	return nil
}

// straight reports whether all ports are forwarded to the same port of one host.
func (p proxy) straight() bool {
	return !slices.ContainsFunc(p.forwards, func(f forward) bool { return f.port != f.target || f.host != p.forwards[0].host })
}

// namesOf are the names by which workers use a proxy: at least its service's.
func (m *migration) namesOf(service string) []string {
	var names []string
	for _, worker := range m.workers {
		s := m.before.Services[worker]
		names = append(names, m.namesUsed(s, service, texts(s))...)
	}
	if len(names) == 0 {
		names = []string{service}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// variable is the DIAL_ variable of a name.
func variable(name string) string {
	return "DIAL_" + strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(name))
}
