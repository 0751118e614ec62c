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
	return &Behind{d, &behind{name: name, all: d.cache, named: resolve.Named(d.cache)}}
}

// DialContext is [Dialer.DialContext] for an address that the service handed out.
func (b *Behind) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return b.dialer.dialContext(ctx, b.resolver, network, address)
}

// Do is [Dialer.Do] for an address that the service handed out.
func (b *Behind) Do(ctx context.Context, address string, connect func(ctx context.Context, addr string) error) error {
	return b.dialer.do(ctx, b.resolver, address, connect)
}

type behind struct {
	name  string           // the service that hands out addresses
	all   resolve.Resolver // answers with addresses
	named resolve.Resolver // all without what answers any name; nil if nothing is left
}

func (b *behind) Resolve(ctx context.Context, host, port string) (resolve.Answer, error) {
	first := b.all
	single := !strings.Contains(strings.TrimSuffix(host, "."), ".") && !isAddress(host)
	if single {
		first = b.named
	}
	if first != nil {
		answer, err := first.Resolve(ctx, host, port)
		if !errors.Is(err, resolve.ErrNotFound) {
			return answer, err
		}
	}
	answer, err := b.atService(ctx, host, port)
	if err == nil || !single {
		return answer, err
	}
	return b.all.Resolve(ctx, host, port)
}

// atService answers with the hosts of the service itself, at port.
func (b *behind) atService(ctx context.Context, host, port string) (resolve.Answer, error) {
	service, err := b.all.Resolve(ctx, b.name, port)
	if err != nil {
		return resolve.Answer{}, fmt.Errorf("%s, which %s handed out: %w", host, b.name, err)
	}
	answer := resolve.Answer{TTL: service.TTL, Source: fmt.Sprintf("behind %s (%s)", b.name, service.Source)}
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
	return answer, nil
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
