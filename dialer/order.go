package dialer

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/gvpocr/worker/resolve"
)

// order returns the endpoints that network can reach, in the order in which they are tried: by priority, and within
// one priority at random, each the next with a chance in proportion to its weight (RFC 2782).
func order(network string, endpoints []resolve.Endpoint) []resolve.Endpoint {
	if len(endpoints) == 1 && reaches(network, endpoints[0].Addr) {
		return endpoints
	}
	ordered := make([]resolve.Endpoint, 0, len(endpoints))
	for _, e := range endpoints {
		twice := slices.ContainsFunc(ordered, func(o resolve.Endpoint) bool { return o.Addr == e.Addr })
		if !twice && reaches(network, e.Addr) {
			ordered = append(ordered, e)
		}
	}
	slices.SortFunc(ordered, func(a, b resolve.Endpoint) int { return cmp.Compare(a.Priority, b.Priority) })
	for i := range ordered {
		next := i + draw(ordered[i:])
		ordered[i], ordered[next] = ordered[next], ordered[i]
	}
	return ordered
}

// draw picks one of the endpoints of the first one's priority, which stand together. RFC 2782 takes the first whose
// running sum of weights reaches a random number from 0 to the sum S of all, those of weight 0 standing first: one of
// weight w gets w of S+1 draws, and those of weight 0 share one, each the same. Where there are none, we leave the
// number 0 out: the RFC would give that draw to whichever stands first, and of weights 1 and 3 that of 1 could get 2 of
// 5.
func draw(endpoints []resolve.Endpoint) int {
	equals := endpoints
	if i := slices.IndexFunc(endpoints, func(e resolve.Endpoint) bool { return e.Priority != endpoints[0].Priority }); i > 0 {
		equals = endpoints[:i]
	}
	var sum, zeros uint64
	for _, e := range equals {
		sum += uint64(e.Weight)
		if e.Weight == 0 {
			zeros++
		}
	}
	// Everything times the number of those that share a draw, so that a share is a whole number.
	number := rand.Uint64N(max(zeros, 1)*sum + zeros)
	for i, e := range equals {
		share := max(zeros, 1) * uint64(e.Weight)
		if e.Weight == 0 {
			share = 1
		}
		if number < share {
			return i
		}
		number -= share
	}
	panic("the shares add up to more than their sum")
}

func reaches(network, addr string) bool {
	ip, err := netip.ParseAddrPort(addr)
	switch {
	case err != nil:
		return false
	case network == "tcp4":
		return ip.Addr().Is4()
	case network == "tcp6":
		return ip.Addr().Is6()
	}
	return true
}
