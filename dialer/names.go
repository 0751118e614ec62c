package dialer

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/gvpocr/worker/resolve"
)

// nameTable remembers what names resolved to, and logs each once, and again when its answer has changed.
type nameTable struct {
	logger *slog.Logger

	mu    sync.Mutex // guards names; nothing is logged under it
	names map[string]resolve.Answer
}

// maxNames bounds what a program that dials ever new names can make nameTable remember.
const maxNames = 10_000

// note takes a name's answer and reports whether its endpoints changed.
func (t *nameTable) note(name string, a resolve.Answer) (changed bool) {
	t.mu.Lock()
	last, known := t.names[name]
	same := known && a.Stale == last.Stale && a.Source == last.Source && sameEndpoints(a.Endpoints, last.Endpoints)
	if !same {
		if t.names == nil || len(t.names) >= maxNames {
			t.names = map[string]resolve.Answer{}
		}
		t.names[name] = a
	}
	t.mu.Unlock()
	switch {
	case same:
		return false
	case a.Stale && !last.Stale:
		t.logger.Warn("name can't be resolved; its last good answer serves", "name", name, "endpoints", endpointAddrs(a), "by", a.Source)
	default:
		t.logger.Info("name resolved", "name", name, "endpoints", endpointAddrs(a), "by", a.Source)
	}
	return !known || !sameEndpoints(a.Endpoints, last.Endpoints)
}

// sameEndpoints ignores the order, which DNS rotates.
func sameEndpoints(a, b []resolve.Endpoint) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (!slices.Contains(b, a[i]) || !slices.Contains(a, b[i])) {
			return false
		}
	}
	return true
}

func endpointAddrs(a resolve.Answer) []string {
	addrs := make([]string, len(a.Endpoints))
	for i, e := range a.Endpoints {
		addrs[i] = e.Addr
	}
	slices.Sort(addrs)
	return addrs
}

// answer returns what name resolved to last.
func (t *nameTable) answer(name string) resolve.Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.names[name]
}

func (t *nameTable) snapshot() map[string]resolve.Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.names)
}
