package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
)

// static answers from a fixed table.
type static struct {
	entries map[string]entry // by canonical name, or name:port
	dns     *nameServers
}

// Static answers from a table that is fixed in the program. A key is a name, or a name and a port
// ("nsqd-proxy:4151"), which goes before the name alone; a value is a target (see [Target]). The aliases of a main
// server's service share the entry of its name, port included, unless they have one of their own. For srv: parts of a
// target the name servers of /etc/resolv.conf are asked. The error joins every bad entry.
func Static(targets map[string]string) (Resolver, error) {
	s := &static{entries: make(map[string]entry, len(targets)), dns: SRVConfig{}.ask(nil)}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(targets)) {
		name, port, err := splitAddress(key)
		if err != nil {
			errs = append(errs, fmt.Errorf("static %s: bad name: %w", quote(key), err))
			continue
		}
		target, err := ParseTarget(targets[key])
		if err != nil {
			errs = append(errs, fmt.Errorf("static %s: %w", quote(key), err))
			continue
		}
		s.entries[tableKey(name, port)] = entry{target, "static " + key}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

func tableKey(name, port string) string {
	if port == "" {
		return canonical(name)
	}
	return net.JoinHostPort(canonical(name), port)
}

func (s *static) Resolve(ctx context.Context, host, port string) (Answer, error) {
	for _, name := range withService(host) {
		for _, key := range []string{tableKey(name, port), tableKey(name, "")} {
			if e, ok := s.entries[key]; ok {
				return e.answer(ctx, host, port, s.dns)
			}
		}
	}
	return Answer{}, notFound(host, "static")
}

// withService returns host and, where host is an alias of a main server's service, the service's name after it: the
// order in which a table is asked.
func withService(host string) []string {
	names := []string{host}
	if service, ok := serviceNames[canonical(host)]; ok && service != canonical(host) {
		names = append(names, service)
	}
	return names
}

func (s *static) named() Resolver { return s }
