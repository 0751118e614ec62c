package migrate

import (
	"fmt"
	"maps"
	"slices"
)

// base is the service that another one extends.
type base struct{ service, file string }

func (b base) String() string {
	if b.file != "" {
		return fmt.Sprintf("service %s in %s", b.service, b.file)
	}
	return "service " + b.service
}

// extendsOf returns what a service extends, if anything.
func extendsOf(service map[string]any) base {
	switch v := service["extends"].(type) {
	case string:
		return base{service: v}
	case map[string]any:
		var b base
		b.service, _ = v["service"].(string)
		b.file, _ = v["file"].(string)
		return b
	}
	return base{}
}

// baseOf is extendsOf of a service in the document.
func (d *document) baseOf(name string) base {
	var service map[string]any
	if node := child(d.services, name); node == nil || node.Decode(&service) != nil {
		return base{}
	}
	return extendsOf(service)
}

// inherits reports whether a worker extends another one in the file: it has the new lines and the image from there.
func (m *migration) inherits(name string) bool {
	b := m.document.baseOf(name)
	return b.file == "" && slices.Contains(m.workers, b.service)
}

// extended refuses services that would lose what they extend, or keep a dependency that is written in another file; mended
// are the dependencies that this file had.
func (m *migration) extended(name string, mended []string) error {
	b := m.document.baseOf(name)
	if _, isProxy := m.proxies[b.service]; isProxy && b.file == "" {
		return fmt.Errorf("service %s extends service %s, which is a proxy and would go: write into %s what it has from there", name, b.service, name)
	}
	for _, service := range slices.Sorted(maps.Keys(m.proxies)) {
		if _, depends := m.before.Services[name].DependsOn[service]; b.file != "" && depends && !slices.Contains(mended, service) {
			return fmt.Errorf("service %s depends on %s by what it extends: take that out of %s first", name, service, b.file)
		}
	}
	return nil
}
