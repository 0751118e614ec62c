// Package migrate takes the socat services out of a worker machine's compose file and puts in the lines that replace
// them.
//
// The file is edited as text, entry by entry, so that comments, order and variables stay as they are. Nothing is trusted to
// have gone well: the new text is loaded as compose loads it, and must be the old project without its proxies, with the new
// variables and shorter dependencies, and nothing else. What is not understood is refused, with the reason.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// Options say how to migrate.
type Options struct {
	// Image is the image that workers get. Empty leaves theirs.
	Image string

	// LookupEnv is where variables in the file have their values from. They stay variables in the new text.
	LookupEnv func(name string) (string, bool)
}

// Result is a migrated file. Its sentences show no passwords; Text has everything that the old text had.
type Result struct {
	Text    []byte
	Changes []string // what was done, one sentence each
	Notes   []string // what is left for people to do or to know
}

// ErrNoProxy says that a file has no socat service: there is nothing to do.
var ErrNoProxy = errors.New("there is no socat service in it")

// File migrates the text of a compose file that lies in dir. The error says why it is refused.
func File(ctx context.Context, dir string, text []byte, o Options) (Result, error) {
	before, err := load(ctx, dir, text, o)
	if err != nil {
		return Result{}, err
	}
	d, err := parse(text)
	if err != nil {
		return Result{}, err
	}
	proxies, err := d.proxies()
	if err != nil {
		return Result{}, err
	}
	if len(proxies) == 0 {
		return Result{}, ErrNoProxy
	}
	m := migration{options: o, document: d, before: before, proxies: proxies}
	if err := m.findWorkers(); err != nil {
		return Result{}, err
	}
	lines, err := m.replacement()
	if err != nil {
		return Result{}, err
	}
	if err := m.edit(lines); err != nil {
		return Result{}, err
	}
	result := Result{Text: d.apply(), Changes: m.changes, Notes: m.notes()}
	after, err := load(ctx, dir, result.Text, o)
	if err != nil {
		return Result{}, fmt.Errorf("without its proxies the file is not a compose file any more: %w", err)
	}
	if err := m.verify(after, lines); err != nil {
		return Result{}, err
	}
	return result, nil
}

// migration is the state of one File.
type migration struct {
	options  Options
	document *document
	before   *types.Project
	proxies  map[string]proxy // by service
	workers  []string         // services that use a proxy, sorted
	changes  []string
}

// findWorkers finds the services that use a proxy, and refuses those that are no workers: they would lose it, and can't
// resolve names by themselves.
func (m *migration) findWorkers() error {
	for _, name := range slices.Sorted(maps.Keys(m.before.Services)) {
		s := m.before.Services[name]
		if _, isProxy := m.proxies[name]; isProxy {
			continue
		}
		uses := m.uses(s)
		if err := m.joined(s); err != nil {
			return err
		}
		if len(uses) == 0 {
			continue
		}
		if !isWorker(s) {
			return fmt.Errorf("service %s uses %s and is no worker (it has neither NSQD_ADDRESS nor NSQLOOKUPD_ADDRESSES): "+
				"it would lose its proxy", name, strings.Join(uses, ", "))
		}
		m.workers = append(m.workers, name)
	}
	if len(m.workers) == 0 {
		return errors.New("no worker in it uses the proxies: they serve something outside of this file")
	}
	return nil
}

func isWorker(s types.ServiceConfig) bool {
	_, nsqd := s.Environment["NSQD_ADDRESS"]
	_, lookupd := s.Environment["NSQLOOKUPD_ADDRESSES"]
	return nsqd || lookupd
}

// uses returns the proxies that a service depends on, links to, or names in its environment or command.
func (m *migration) uses(s types.ServiceConfig) []string {
	var used []string
	for _, service := range slices.Sorted(maps.Keys(m.proxies)) {
		_, depends := s.DependsOn[service]
		links := slices.ContainsFunc(s.Links, func(link string) bool { return linkTarget(link) == service })
		if depends || links || len(m.namesUsed(s, service)) > 0 {
			used = append(used, service)
		}
	}
	return used
}

func linkTarget(link string) string {
	target, _, _ := strings.Cut(link, ":")
	return target
}

// namesUsed returns the names of a proxy that stand in a service's environment or command as hosts.
func (m *migration) namesUsed(s types.ServiceConfig, service string) []string {
	names := m.proxies[service].names(m.before.Services[service])
	for _, link := range s.Links {
		if target, alias, ok := strings.Cut(link, ":"); ok && target == service {
			names = append(names, alias)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		for _, value := range s.Environment {
			if value != nil && namesHost(*value, name) {
				return false
			}
		}
		return !slices.ContainsFunc(s.Command, func(word string) bool { return namesHost(word, name) })
	})
}

// namesHost reports whether a value has name as a host: alone, in a list, or in a URL.
func namesHost(value, name string) bool {
	return slices.ContainsFunc(hostsIn(value), func(host string) bool { return strings.EqualFold(host, name) })
}

var scheme = regexp.MustCompile(`[\w+.-]+://`)

// hostsIn returns what may be hosts in a value.
func hostsIn(value string) []string {
	words := strings.FieldsFunc(scheme.ReplaceAllString(value, " "), func(r rune) bool { return strings.ContainsRune(",;@/= \t", r) })
	for i, word := range words {
		words[i], _, _ = strings.Cut(word, ":")
	}
	return words
}

// joined refuses services that live in a proxy's namespaces or volumes.
func (m *migration) joined(s types.ServiceConfig) error {
	for key, value := range map[string]string{"network_mode": s.NetworkMode, "ipc": s.Ipc, "pid": s.Pid} {
		if service, ok := strings.CutPrefix(value, "service:"); ok {
			if _, isProxy := m.proxies[service]; isProxy {
				return fmt.Errorf("service %s has %s: %s, and so reaches the proxy as localhost: change its addresses by hand", s.Name, key, value)
			}
		}
	}
	for _, from := range s.VolumesFrom {
		service, _, _ := strings.Cut(from, ":")
		if _, isProxy := m.proxies[service]; isProxy {
			return fmt.Errorf("service %s has the volumes of %s", s.Name, service)
		}
	}
	return nil
}

// notes are what the migrated file leaves to people.
func (m *migration) notes() []string {
	var notes []string
	for _, service := range slices.Sorted(maps.Keys(m.proxies)) {
		for _, port := range m.before.Services[service].Ports {
			notes = append(notes, fmt.Sprintf("%s published port %s of this machine; what used it there has to use the main server's", service, port.Published))
		}
	}
	if m.options.Image == "" {
		for _, name := range m.workers {
			notes = append(notes, fmt.Sprintf("%s keeps its image %s: it has to be one of this worker, which resolves names itself (--image sets it)",
				name, m.before.Services[name].Image))
		}
	}
	return notes
}
