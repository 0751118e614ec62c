package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// system answers IP addresses with themselves and asks ordinary DNS for names.
type system struct {
	dns *net.Resolver
}

// System answers IP addresses with themselves, and asks the machine's resolver (hosts file, DNS) for the A and AAAA
// records of host names, one endpoint an address. r nil means net.DefaultResolver. A name that DNS says does not exist
// is ErrNotFound; a DNS that does not answer is another error.
func System(r *net.Resolver) Resolver {
	if r == nil {
		r = net.DefaultResolver
	}
	return &system{dns: r}
}

func (s *system) Resolve(ctx context.Context, host, port string) (Answer, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return Answer{Endpoints: []Endpoint{address(ip, port)}, Source: "address"}, nil
	}
	endpoints, partial, err := lookup(ctx, s.dns, host, port)
	if isNotFound(err) {
		return Answer{}, notFound(host, "DNS")
	}
	return Answer{Endpoints: endpoints, Source: "DNS", Partial: partial}, err
}

// lookup asks dns for the addresses of host, which may be an address itself. The answer is partial if the lookup of one kind
// of address failed: net.Resolver passes over that unless it is strict, and what is missing would look like what is gone.
func lookup(ctx context.Context, dns *net.Resolver, host, port string) (endpoints []Endpoint, partial bool, err error) {
	strict := &net.Resolver{PreferGo: dns.PreferGo, StrictErrors: true, Dial: dns.Dial}
	ips, err := strict.LookupNetIP(ctx, "ip", host)
	if err != nil && !isNotFound(err) && !dns.StrictErrors && ctx.Err() == nil {
		partial = true
		ips, err = dns.LookupNetIP(ctx, "ip", host)
	}
	if err != nil {
		return nil, false, fmt.Errorf("ask DNS for %s: %w", host, err)
	}
	for _, ip := range ips {
		endpoints = append(endpoints, address(ip, port))
	}
	return endpoints, partial, nil
}

func isNotFound(err error) bool {
	dnsErr, ok := errors.AsType[*net.DNSError](err)
	return ok && dnsErr.IsNotFound
}

func address(ip netip.Addr, port string) Endpoint {
	return Endpoint{Addr: net.JoinHostPort(ip.Unmap().String(), port), Weight: 1}
}

// Addresses answers as r does, with every host name in the answer replaced by its addresses, which it asks of dns (nil
// means net.DefaultResolver); an address keeps the priority and the weight of its name. Names that could not be
// resolved are left out as long as an endpoint remains, and the answer is Partial then. The TTL of an answer whose names
// were replaced is unknown if it was above 30 s.
func Addresses(r Resolver, dns *net.Resolver) Resolver {
	return &addresses{names: r, dns: cmp.Or(dns, net.DefaultResolver)}
}

// maxExpandedTTL bounds what is believed of an answer whose host names were replaced by addresses: how long those are
// good net.Resolver does not tell.
const maxExpandedTTL = 30 * time.Second

type addresses struct {
	names Resolver
	dns   *net.Resolver
}

func (a *addresses) Resolve(ctx context.Context, host, port string) (Answer, error) {
	answer, err := a.names.Resolve(ctx, host, port)
	if err != nil || allAddresses(answer.Endpoints) {
		return answer, err
	}
	found := make([][]Endpoint, len(answer.Endpoints))
	partial := make([]bool, len(answer.Endpoints))
	errs := make([]error, len(answer.Endpoints))
	parallel(len(answer.Endpoints), func(i int) { found[i], partial[i], errs[i] = a.expand(ctx, answer.Endpoints[i]) })
	answer.Endpoints = slices.Concat(found...)
	if len(answer.Endpoints) == 0 {
		// Not ErrNotFound, whatever DNS says: the name is known, and no other resolver is to be asked for it.
		return Answer{}, fmt.Errorf("%s is %s: %w; an address in the place of the host would do without DNS", host, answer.Source, errors.Join(errs...))
	}
	answer.Partial = answer.Partial || errors.Join(errs...) != nil || slices.Contains(partial, true)
	if answer.TTL > maxExpandedTTL {
		answer.TTL = 0
	}
	return answer, nil
}

func (a *addresses) expand(ctx context.Context, e Endpoint) (endpoints []Endpoint, partial bool, err error) {
	host, port, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return nil, false, err
	}
	endpoints, partial, err = lookup(ctx, a.dns, host, port)
	for i := range endpoints {
		endpoints[i].Priority, endpoints[i].Weight = e.Priority, e.Weight
	}
	return endpoints, partial, err
}

func (a *addresses) named() Resolver {
	if inner := Named(a.names); inner != nil {
		return &addresses{names: inner, dns: a.dns}
	}
	return nil
}

func allAddresses(endpoints []Endpoint) bool {
	return !slices.ContainsFunc(endpoints, func(e Endpoint) bool {
		_, err := netip.ParseAddrPort(e.Addr)
		return err != nil
	})
}
