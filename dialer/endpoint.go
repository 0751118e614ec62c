package dialer

import (
	"cmp"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"

	"github.com/gvpocr/worker/resolve"
)

// order returns the endpoints that network can reach, in the order in which they are tried: by priority, and within
// one priority at random, each the next with a chance in proportion to its weight (RFC 2782).
func order(network string, endpoints []resolve.Endpoint) []resolve.Endpoint {
	type drawn struct {
		resolve.Endpoint
		key float64
	}
	var draws []drawn
	for _, e := range endpoints {
		if reaches(network, e.Addr) {
			// The smallest of exponential variables with rates w is that of e with probability w/Σw, and again among
			// those that remain (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006). Weight 0
			// gives +Inf: after all the others.
			draws = append(draws, drawn{e, rand.ExpFloat64() / float64(e.Weight)})
		}
	}
	slices.SortFunc(draws, func(a, b drawn) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.key, b.key))
	})
	ordered := make([]resolve.Endpoint, len(draws))
	for i, d := range draws {
		ordered[i] = d.Endpoint
	}
	return ordered
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

// answerLog logs what names resolve to: each name once, and again when its answer has changed.
type answerLog struct {
	logger *slog.Logger

	mu   sync.Mutex // guards last; nothing is logged under it
	last map[string]string
}

// maxLogged bounds what a program that dials ever new names can make answerLog remember.
const maxLogged = 10_000

func (l *answerLog) note(name string, a resolve.Answer) {
	addrs := make([]string, len(a.Endpoints))
	for i, e := range a.Endpoints {
		addrs[i] = e.Addr
	}
	slices.Sort(addrs) // DNS rotates its answers
	text := a.Source
	for _, addr := range addrs {
		text += " " + addr
	}
	l.mu.Lock()
	changed := l.last[name] != text
	if changed {
		if l.last == nil || len(l.last) >= maxLogged {
			l.last = map[string]string{}
		}
		l.last[name] = text
	}
	l.mu.Unlock()
	if changed {
		l.logger.Info("name resolved", "name", name, "endpoints", addrs, "by", a.Source)
	}
}
