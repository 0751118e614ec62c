package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxEndpoints = 256 // of an answer, so that one name can't make every dial try thousands of addresses
	maxParallel  = 8   // questions at a time
)

// places asks for the SRV records of name and for the addresses of their hosts.
func (q questions) places(ctx context.Context, name string) (Answer, error) {
	r, err := q.find(ctx, name, dns.TypeSRV)
	if err != nil {
		return Answer{}, err
	}
	records, err := usable(r.records)
	if err != nil {
		return Answer{}, fmt.Errorf("SRV %s: %w", name, err)
	}
	hosts := hostsOf(records)
	hosts.fill(r.extra)
	q.addresses(ctx, hosts)
	answer, err := assemble(records, hosts, r.ttl)
	if err != nil {
		return Answer{}, fmt.Errorf("SRV %s: %w", name, err)
	}
	return answer, nil
}

// usable returns the records that name a place, lowest priority first and at most one more than an answer may have. A
// target "." among others says nothing (RFC 2782 gives it a meaning only where it is alone), and port 0 can't be dialed.
func usable(rrs []dns.RR) ([]*dns.SRV, error) {
	var records []*dns.SRV
	absent := true
	for _, rr := range rrs {
		record := rr.(*dns.SRV)
		record.Target = dns.CanonicalName(record.Target)
		if record.Target == "." {
			continue
		}
		absent = false
		if record.Port != 0 {
			records = append(records, record)
		}
	}
	switch {
	case absent:
		return nil, fmt.Errorf(`%w: the target is "."`, ErrAbsent)
	case len(records) == 0:
		return nil, errors.New("no record has a port other than 0")
	}
	slices.SortStableFunc(records, func(a, b *dns.SRV) int { return int(a.Priority) - int(b.Priority) })
	return records[:min(len(records), maxEndpoints+1)], nil
}

// hosts are the targets of SRV records, by canonical name.
type hosts map[string]*addressRecords

// addressRecords are the addresses of one host.
type addressRecords struct {
	ips []netip.Addr
	ttl uint32
	err error // why some may be missing
}

func hostsOf(records []*dns.SRV) hosts {
	h := hosts{}
	for _, record := range records {
		h[record.Target] = &addressRecords{ttl: maxTTL}
	}
	return h
}

// fill takes the addresses that came along in the additional section.
func (h hosts) fill(extra []dns.RR) {
	for _, rr := range extra {
		if host := h[dns.CanonicalName(rr.Header().Name)]; host != nil && rr.Header().Class == dns.ClassINET {
			host.add(rr, maxTTL)
		}
	}
}

func (a *addressRecords) add(rr dns.RR, ttl uint32) {
	var ip netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		ip, _ = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		ip, _ = netip.AddrFromSlice(rr.AAAA)
	}
	if ip.IsValid() {
		a.ips = append(a.ips, ip)
		a.ttl = min(a.ttl, ttl, ttlOf(rr))
	}
}

// addresses asks for the addresses of the hosts that have none yet.
func (q questions) addresses(ctx context.Context, h hosts) {
	var missing []string
	for name, host := range h {
		if len(host.ips) == 0 {
			missing = append(missing, name)
		}
	}
	types := [2]uint16{dns.TypeA, dns.TypeAAAA}
	replies := make([]reply, 2*len(missing))
	errs := make([]error, len(replies))
	parallel(len(replies), func(i int) {
		own := q
		replies[i], errs[i] = own.find(ctx, missing[i/2], types[i%2])
	})
	for i, reply := range replies {
		host := h[missing[i/2]]
		if errs[i] != nil && !errors.Is(errs[i], errNoRecord) {
			host.err = errs[i]
			continue
		}
		for _, rr := range reply.records {
			host.add(rr, reply.ttl)
		}
	}
}

// assemble makes an endpoint of each address of each record; ttl is that of what led to the records.
func assemble(records []*dns.SRV, h hosts, ttl uint32) (Answer, error) {
	var answer Answer
	seen := map[string]bool{}
	for _, record := range records {
		host := h[record.Target]
		answer.Partial = answer.Partial || host.err != nil
		for _, ip := range host.ips {
			endpoint := address(ip, strconv.Itoa(int(record.Port)))
			endpoint.Priority, endpoint.Weight = record.Priority, record.Weight
			if seen[endpoint.Addr] {
				continue
			}
			if len(answer.Endpoints) == maxEndpoints {
				answer.Partial = true
				break
			}
			seen[endpoint.Addr] = true
			answer.Endpoints = append(answer.Endpoints, endpoint)
			ttl = min(ttl, ttlOf(record), host.ttl)
		}
	}
	if len(answer.Endpoints) == 0 {
		return Answer{}, noAddress(h)
	}
	answer.TTL = time.Duration(max(ttl, 1)) * time.Second // 0 would say that it is unknown
	return answer, nil
}

// noAddress says why no host has an address, for the first few of what may be hundreds.
func noAddress(h hosts) error {
	names := slices.Sorted(maps.Keys(h))
	err := errors.New("no host has an address")
	for _, name := range names[:min(len(names), 3)] {
		if h[name].err != nil {
			err = fmt.Errorf("%w; %w", err, h[name].err)
		} else {
			err = fmt.Errorf("%w; %s has neither A nor AAAA records", err, strings.TrimSuffix(name, "."))
		}
	}
	return err
}

// parallel calls do with 0 to n-1, a few at a time, and waits for all.
func parallel(n int, do func(i int)) {
	slots := make(chan struct{}, maxParallel)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			do(i)
			<-slots
		})
	}
	wg.Wait()
}
