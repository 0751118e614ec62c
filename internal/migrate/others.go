package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// other is a name of the main server that a worker uses and no proxy had.
type other struct{ worker, name string }

// otherNames are those names; replaced are the lines that stand for the proxies' names. A name for which a worker has a
// DIAL_ variable already is settled.
func (m *migration) otherNames(replaced []line) []other {
	var found []other
	for _, worker := range m.workers {
		s := m.before.Services[worker]
		for _, text := range texts(s) {
			for _, host := range hostsIn(text) {
				o := other{worker, strings.ToLower(host)}
				known := slices.ContainsFunc(replaced, func(l line) bool { return l.name == variable(o.name) })
				if _, settled := s.Environment[variable(o.name)]; !known && !settled && !slices.Contains(found, o) && ofMainServer(o.name) {
					found = append(found, o)
				}
			}
		}
	}
	return found
}

// provided reports whether a name leads somewhere by this file: it has to go on doing so, and MAIN_SERVER_IP would lead it
// to the main server.
func (m *migration) provided(o other) bool {
	worker := m.before.Services[o.worker]
	var names []string
	for name := range worker.ExtraHosts {
		names = append(names, name)
	}
	for _, link := range slices.Concat(worker.Links, worker.ExternalLinks) {
		names = append(names, strings.Split(link, ":")...)
	}
	for name, s := range m.before.Services {
		if _, isProxy := m.proxies[name]; !isProxy {
			names = append(names, namesOfService(name, s)...)
		}
	}
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, o.name) })
}

// otherNotes say where the new lines lead the names that nothing in this file had.
func (m *migration) otherNotes(lines []line) []string {
	var names, workers []string
	for _, o := range m.others {
		names, workers = append(names, o.name), append(workers, o.worker)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	names, workers = slices.Compact(names), slices.Compact(workers)
	who, all := strings.Join(workers, ", "), strings.Join(names, ", ")
	elsewhere := variable(names[0]) + "=host:port"
	if lines[0].name == mainServer {
		return []string{fmt.Sprintf("%s: %s leads to %s also the names that nothing in this file has: %s; where one is elsewhere, add a line such as %s",
			who, mainServer, lines[0].value, all, elsewhere)}
	}
	return []string{fmt.Sprintf("%s: nothing in this file has these names: %s; unless DNS knows them, add a line for each, such as %s", who, all, elsewhere)}
}
