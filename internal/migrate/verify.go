package migrate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// verify checks that the new project is the old one without its proxies, with the new lines, and nothing else.
func (m *migration) verify(after *types.Project, lines []line) error {
	want, err := m.before.WithServicesTransform(func(_ string, s types.ServiceConfig) (types.ServiceConfig, error) { return s, nil })
	if err != nil {
		return err
	}
	for service := range m.proxies {
		delete(want.Services, service)
	}
	for name, s := range want.Services {
		got := after.Services[name]
		worker := slices.Contains(m.workers, name)
		for service := range m.proxies {
			delete(s.DependsOn, service)
		}
		if len(s.DependsOn) == 0 {
			s.DependsOn = nil
		}
		s.Links = slices.DeleteFunc(s.Links, func(link string) bool { _, isProxy := m.proxies[linkTarget(link)]; return isProxy })
		for _, l := range lines {
			value, has := got.Environment[l.name]
			if worker && !has {
				return fmt.Errorf("service %s would not get %s: its place in the file is not understood", name, l.name)
			}
			if has { // also of a service that has its environment from the same place as a worker
				if s.Environment == nil {
					s.Environment = types.MappingWithEquals{}
				}
				s.Environment[l.name] = value
			}
		}
		if worker && m.options.Image != "" && !m.built(name) {
			s.Image = m.options.Image
		}
		want.Services[name] = s
	}
	// Not the difference itself, which could show a password.
	for name := range want.Services {
		if !same(want.Services[name], after.Services[name]) {
			return fmt.Errorf("service %s would change in more than its proxies: how it is written is not understood", name)
		}
	}
	for name := range after.Services {
		if _, ok := want.Services[name]; !ok {
			return fmt.Errorf("service %s would appear: how the file is written is not understood", name)
		}
	}
	for what, equal := range map[string]bool{
		"networks": same(want.Networks, after.Networks),
		"volumes":  same(want.Volumes, after.Volumes),
		"secrets":  same(want.Secrets, after.Secrets),
		"configs":  same(want.Configs, after.Configs),
	} {
		if !equal {
			return fmt.Errorf("its %s would change: how the file is written is not understood", what)
		}
	}
	return nil
}

// same compares parts of projects by what compose would write of them, so that what is empty is as good as what is not
// there.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
