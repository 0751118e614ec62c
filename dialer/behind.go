package dialer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gvpocr/worker/resolve"
)

// Behind dials addresses that a server hands out, in which it may use names of its own world: nsqlookupd says
// gvpocr-nsqd:4150, a MongoDB replica set gvpocr-mongo-1:27018. It is safe for concurrent use.
type Behind struct {
	dialer   *Dialer
	resolver *behind
}

// Behind returns a dialer for the addresses that the service name hands out. A name that the resolver knows is dialed
// as ever. One that it does not know is tried at the hosts of the service itself, at the port that was asked for;
// ordinary DNS is asked last for a name without a dot, since what it finds for "mongodb" or a container's id is
// hardly the server that was meant.
func (d *Dialer) Behind(name string) *Behind {
	return &Behind{d, &behind{service: name, all: d.cache, named: d.namedCache()}}
}

// namedCache remembers what the resolver knows without ordinary DNS, so that a dial by an advertised name asks no name
// server each time.
func (d *Dialer) namedCache() *resolve.Cache {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.namedOnly == nil && d.named != nil && !d.closed {
		cfg := d.cfg.Cache
		cfg.File = ""
		d.namedOnly = resolve.NewCache(d.named, cfg)
	}
	return d.namedOnly
}

// DialContext is [Dialer.DialContext] for an address that the service handed out.
func (b *Behind) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return b.dialer.dialContext(ctx, b.resolver, network, address)
}

// Do is [Dialer.Do] for an address that the service handed out.
func (b *Behind) Do(ctx context.Context, address string, connect func(ctx context.Context, addr string) error) error {
	return b.dialer.do(ctx, b.resolver, address, connect)
}

// behind is the names of a service's own world.
type behind struct {
	service string         // that hands out addresses
	all     *resolve.Cache // answers with addresses
	named   *resolve.Cache // all without what answers any name; nil if nothing is left
}

func (b *behind) lookUp(ctx context.Context, host, port string) (resolve.Answer, origin, error) {
	first := b.all
	single := !strings.Contains(strings.TrimSuffix(host, "."), ".") && !isAddress(host)
	if single {
		first = b.named
	}
	var unknown error
	if first != nil {
		answer, err := first.Resolve(ctx, host, port)
		// A name server that is down knows no name of another world, as far as anybody can tell.
		down := single && errors.Is(err, resolve.ErrUnavailable) && ctx.Err() == nil
		if err == nil || !errors.Is(err, resolve.ErrNotFound) && !down {
			return answer, origin{cache: first, host: host, port: port}, err
		}
		unknown = err
	}
	answer, err := b.atService(ctx, host, port)
	at := origin{cache: b.all, host: b.service, port: port, hostsOnly: true}
	switch {
	case err == nil:
		return answer, at, nil
	case single:
		answer, lastErr := b.all.Resolve(ctx, host, port)
		if lastErr == nil {
			return answer, origin{cache: b.all, host: host, port: port}, nil
		}
		unknown = lastErr
	}
	return resolve.Answer{}, at, fmt.Errorf("%w; nor is %s known, which handed the name out: %w", unknown, b.service, err)
}

// atService answers with the hosts of the service itself, at port. If there are several, one of them is meant, and
// nobody can tell which.
func (b *behind) atService(ctx context.Context, host, port string) (resolve.Answer, error) {
	service, err := b.all.Resolve(ctx, b.service, port)
	if err != nil {
		return resolve.Answer{}, err
	}
	answer := service
	answer.Source = fmt.Sprintf("behind %s (%s)", b.service, service.Source)
	answer.Endpoints = nil
	for _, e := range service.Endpoints {
		ip, _, err := net.SplitHostPort(e.Addr)
		if err != nil {
			return resolve.Answer{}, err
		}
		e.Addr = net.JoinHostPort(ip, port)
		if !slices.ContainsFunc(answer.Endpoints, func(o resolve.Endpoint) bool { return o.Addr == e.Addr }) {
			answer.Endpoints = append(answer.Endpoints, e)
		}
	}
	if len(answer.Endpoints) > 1 {
		answer.Source += fmt.Sprintf(", which has several hosts; %s=HOST says which one is meant", resolve.Variable(host))
	}
	return answer, nil
}

func isAddress(host string) bool {
	if strings.TrimRight(host, "0123456789") == host && !strings.Contains(host, ":") {
		return false // most names, without the cost of an error
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}
