package dialer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gvpocr/worker/resolve"
)

// byName are settings by logical name, in the form in which names are compared.
type byName[T any] map[string]T

// named returns settings by the names that a user wrote. What was written for an alias holds for the service itself, too,
// unless that has its own.
func named[T any](settings map[string]T) byName[T] {
	m := byName[T]{}
	for name, setting := range settings {
		m[plainName(name)] = setting
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if service := resolve.ServiceName(name); service != name {
			if _, ok := m[service]; !ok {
				m[service] = m[name]
			}
		}
	}
	return m
}

// of returns the setting for host: its own, or that of the main server's service whose alias it is. A name that leads
// to the same server in another way must not lead there without TLS.
func (m byName[T]) of(host string) (setting T, ok bool) {
	if len(m) == 0 {
		return setting, false
	}
	if setting, ok = m[plainName(host)]; !ok {
		setting, ok = m[resolve.ServiceName(host)]
	}
	return setting, ok
}

// plainName is a name as DNS compares it.
func plainName(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// twice returns an error if two keys are one name.
func twice[T any](settings map[string]T) error {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if other, ok := seen[plainName(name)]; ok {
			return fmt.Errorf("%s and %s are one name", other, name)
		}
		seen[plainName(name)] = name
	}
	return nil
}
