package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrAbsent says that the name is known and its service is said not to exist: its only SRV record has the target "."
// (RFC 2782). It ends a [Chain], since whoever keeps the domain has decided the matter.
var ErrAbsent = errors.New("the service is said not to exist")

// SRVConfig says where [SRV] finds its records. Domain is required.
type SRVConfig struct {
	// Domain is what follows _tcp: with example.org, mongodb-proxy is _mongodb._tcp.example.org. One that has a dot,
	// or ends in one, is absolute. Another ("corp") is tried under each search domain of /etc/resolv.conf first and
	// then as it is, or only as it is if Servers are given.
	Domain string

	// Servers are the name servers, host or host:port, in the order in which they are asked; the port is 53 by
	// default. Empty means those of /etc/resolv.conf, which is read anew for each lookup.
	Servers []string

	// Timeout bounds one server's answer to one question, TCP included. Zero means 2 s.
	Timeout time.Duration

	// Total bounds a lookup with all its questions and servers, and so does the caller's context. Zero means 5 s.
	Total time.Duration
}

// Defaults of SRVConfig. A datagram that was lost is sent again after half of Timeout, and two silent servers leave
// time for a third.
const (
	defaultSRVTimeout = 2 * time.Second
	defaultSRVTotal   = 5 * time.Second
)

// srv answers from the SRV records of one domain.
type srv struct {
	domain   string // without a final dot
	relative bool   // to the search domains
	dns      *nameServers
}

// SRV asks DNS for the SRV records (RFC 2782) of a name's service: for mongodb-proxy those of
// _mongodb._tcp.<domain>, that is _, the name without -proxy, ._tcp. and cfg.Domain. A name may end in the domain
// itself (mongodb-proxy.example.org). An alias of a main server's service is asked for under the service's name if it
// has no records of its own. IP addresses and other names with a dot are [ErrNotFound] without a question.
//
// The records say the port; the one that is asked for does not matter. Priority and weight are the records', weight 0
// included. There is one endpoint for each address of a record's host, with the record's weight: from the additional
// section if that has an address of the host, else DNS is asked for A and AAAA. The TTL is the smallest of all records
// used, and a second where that is 0. At most 256 endpoints are taken, those of the lowest priorities first; then, or
// when the addresses of a host could not be learnt, the answer is Partial.
//
// No such name, or no SRV record under it, is ErrNotFound; the target "." is [ErrAbsent]. A server that fails, refuses,
// is silent or talks nonsense makes way for the next; if none is left, the error names each with its reason.
// SRV's own error names the field of cfg that is wrong.
func SRV(cfg SRVConfig) (Resolver, error) {
	servers, err := parseServers(cfg.Servers)
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("SRV: Servers: %w", err))
	}
	// Neither bound can be turned off: without it a silent server would hang a lookup.
	if cfg.Timeout < 0 {
		errs = append(errs, fmt.Errorf("SRV: Timeout %v must not be negative", cfg.Timeout))
	}
	if cfg.Total < 0 {
		errs = append(errs, fmt.Errorf("SRV: Total %v must not be negative", cfg.Total))
	}
	s, err := newSRV(cfg.Domain, cfg.ask(servers))
	if err != nil {
		errs = append(errs, fmt.Errorf("SRV: Domain %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

func newSRV(domain string, dns *nameServers) (*srv, error) {
	if err := checkHostName(domain); err != nil {
		return nil, fmt.Errorf("%s: %w; write a domain like example.org", quote(domain), err)
	}
	return &srv{domain: strings.TrimSuffix(domain, "."), relative: !strings.Contains(domain, "."), dns: dns}, nil
}

// ask returns what asks servers within the times of cfg; none stands for those of /etc/resolv.conf.
func (cfg SRVConfig) ask(servers []string) *nameServers {
	return &nameServers{
		servers:    servers,
		resolvConf: "/etc/resolv.conf",
		timeout:    cmp.Or(cfg.Timeout, defaultSRVTimeout),
		total:      cmp.Or(cfg.Total, defaultSRVTotal),
	}
}

func (s *srv) Resolve(ctx context.Context, host, _ string) (Answer, error) {
	services := s.services(host)
	if len(services) == 0 {
		return Answer{}, notFound(host, "SRV: not a service of "+s.domain)
	}
	total, cancel := context.WithTimeout(ctx, s.dns.total)
	defer cancel()
	answer, err := s.ask(total, host, services)
	if gone := over(ctx); gone != nil && (err != nil || answer.Partial) {
		return Answer{}, fmt.Errorf("%s: ask for SRV records: %w", host, gone)
	}
	return answer, err
}

// ask asks for one service after the other, each under every domain, until one has records.
func (s *srv) ask(ctx context.Context, host string, services []string) (Answer, error) {
	questions, search, err := s.dns.questions()
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", host, unavailable(err))
	}
	var unknown []string
	for _, service := range services {
		for _, name := range s.names(service, search) {
			answer, err := questions.places(ctx, name)
			switch {
			case err == nil:
				answer.Source = "SRV " + name
				return answer, nil
			case !errors.Is(err, errNoRecord):
				if !errors.Is(err, ErrAbsent) {
					err = unavailable(err)
				}
				return Answer{}, fmt.Errorf("%s: %w", host, err)
			}
			unknown = append(unknown, name)
		}
	}
	return Answer{}, notFound(host, "SRV "+strings.Join(unknown, ", "))
}

// services returns the labels under which host may have records: none if host can't be the name of a service.
func (s *srv) services(host string) []string {
	var services []string
	for _, name := range withService(strings.TrimSuffix(canonical(host), "."+canonical(s.domain))) {
		service := "_" + strings.TrimSuffix(canonical(name), "-proxy")
		if service == "_" || strings.Contains(service, ".") || checkHostName(service+"._tcp."+s.domain) != nil {
			continue
		}
		if !slices.Contains(services, service) {
			services = append(services, service)
		}
	}
	return services
}

// names returns the names that service may have, without final dots.
func (s *srv) names(service string, search []string) []string {
	name := service + "._tcp." + s.domain
	var names []string
	if s.relative {
		for _, domain := range search {
			names = append(names, name+"."+strings.TrimSuffix(domain, "."))
		}
	}
	return append(names, name)
}

func (s *srv) named() Resolver { return s }
