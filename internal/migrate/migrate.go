// Package migrate takes the socat services out of a worker machine's compose file and puts in the lines that replace
// them.
//
// The file is edited as text, entry by entry, so that comments, order and variables stay as they are. Nothing is trusted to
// have gone well: the new text is loaded as compose loads it, and must be the old project without its proxies, with the new
// variables and shorter dependencies, and nothing else. What is not understood is refused, with the reason.
package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// Options say how to migrate.
type Options struct {
	// Image is the image that workers get. Empty leaves theirs.
	Image string

	// Takes says what is wrong with a worker's command line, as in its definition's command. Nil takes none.
	Takes func(command []string) error

	// Environ is where variables in the file have their values from, as os.Environ has it, and after it the file .env
	// beside the compose file. They are only used to understand the file: in the new text they stay variables.
	Environ []string
}

// Result is a migrated file. Its sentences show no passwords; Text has everything that the old text had.
type Result struct {
	Text    []byte
	Changes []string // what was done, one sentence each
	Notes   []string // what is left for people to do or to know
}

// ErrNoProxy says that a file has no socat service: there is nothing to do.
var ErrNoProxy = errors.New("there is no socat service in it")

// File migrates the text of a compose file, which is not read from name: that says where it lies, and what it is called in
// errors. The error says why it is refused.
func File(ctx context.Context, name string, text []byte, o Options) (Result, error) {
	env, err := environment(filepath.Dir(name), o.Environ)
	if err != nil {
		return Result{}, err
	}
	from := source{name, env}
	before, err := from.load(ctx, text)
	if err != nil {
		return Result{}, err
	}
	d, err := parse(text)
	if err != nil {
		return Result{}, err
	}
	proxies, err := d.proxies(before)
	if err != nil {
		return Result{}, err
	}
	if len(proxies) == 0 {
		return Result{}, ErrNoProxy
	}
	m := migration{options: o, document: d, before: before, proxies: proxies, unset: from.unset(text)}
	if err := m.findWorkers(); err != nil {
		return Result{}, err
	}
	if err := m.checkStart(); err != nil {
		return Result{}, err
	}
	lines, err := m.replacement()
	if err != nil {
		return Result{}, err
	}
	if err := m.edit(lines); err != nil {
		return Result{}, err
	}
	result := Result{Text: d.apply(), Changes: m.changes, Notes: m.notes(lines)}
	after, err := from.load(ctx, result.Text)
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
	others   []other          // names of the main server that nothing in the file has
	unset    []string         // variables of which it is not known what they hold
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
		if len(m.unset) > 0 {
			return fmt.Errorf("no worker in it is seen to use the proxies; it may by a variable that is %s", notSet(m.unset))
		}
		return errors.New("no worker in it uses the proxies: they serve something outside of this file")
	}
	return nil
}

func isWorker(s types.ServiceConfig) bool {
	_, nsqd := s.Environment["NSQD_ADDRESS"]
	_, lookupd := s.Environment["NSQLOOKUPD_ADDRESSES"]
	return nsqd || lookupd
}

// uses returns the proxies that a service depends on, links to, or names.
func (m *migration) uses(s types.ServiceConfig) []string {
	var used []string
	for _, service := range slices.Sorted(maps.Keys(m.proxies)) {
		_, depends := s.DependsOn[service]
		links := slices.ContainsFunc(s.Links, func(link string) bool { return linkTarget(link) == service })
		if depends || links || len(m.namesUsed(s, service, append(texts(s), healthTest(s)...))) > 0 {
			used = append(used, service)
		}
	}
	return used
}

func linkTarget(link string) string {
	target, _, _ := strings.Cut(link, ":")
	return target
}

// namesUsed returns the names of a proxy that stand in texts of a service as hosts.
func (m *migration) namesUsed(s types.ServiceConfig, service string, texts []string) []string {
	names := namesOfService(service, m.before.Services[service])
	for _, link := range s.Links {
		if target, alias, ok := strings.Cut(link, ":"); ok && target == service {
			names = append(names, alias)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return namesHost(text, name) })
	})
}

// namesOfService are those by which other services reach it.
func namesOfService(service string, s types.ServiceConfig) []string {
	names := []string{service}
	for _, name := range []string{s.ContainerName, s.Hostname} {
		if name != "" {
			names = append(names, name)
		}
	}
	for _, network := range s.Networks {
		if network != nil {
			names = append(names, network.Aliases...)
		}
	}
	return names
}

// texts are the values of a service that may name hosts which its program asks for.
func texts(s types.ServiceConfig) []string {
	values := slices.Concat(s.Entrypoint, s.Command)
	for _, value := range s.Environment {
		if value != nil {
			values = append(values, *value)
		}
	}
	return values
}

// healthTest is what a health check runs. The worker itself asks for no name in it.
func healthTest(s types.ServiceConfig) []string {
	if s.HealthCheck == nil {
		return nil
	}
	return s.HealthCheck.Test
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
func (m *migration) notes(lines []line) []string {
	var notes []string
	for _, service := range slices.Sorted(maps.Keys(m.proxies)) {
		if ports := m.ports(service); len(ports) > 0 {
			notes = append(notes, fmt.Sprintf("%s published ports of this machine (%s); what used them there has to use the main server's",
				service, strings.Join(ports, ", ")))
		}
	}
	if len(m.unset) > 0 {
		notes = append(notes, "some variables were taken for empty, and stay in the file as they are; they are "+notSet(m.unset))
	}
	notes = append(notes, m.otherNotes(lines)...)
	return slices.Concat(notes, m.imageNotes(), m.startNotes())
}

// ports are those that a proxy publishes, as the file has them.
func (m *migration) ports(service string) []string {
	var ports []string
	if from := owner(child(m.document.services, service), "ports"); from != nil {
		for _, item := range target(child(from, "ports")).Content {
			if long := child(target(item), "published"); long != nil {
				item = long
			}
			ports = append(ports, target(item).Value)
		}
		return ports
	}
	for _, port := range m.before.Services[service].Ports {
		ports = append(ports, port.Published)
	}
	return ports
}

// image is a service's, as the file has it.
func (m *migration) image(service string) string {
	if from := owner(child(m.document.services, service), "image"); from != nil {
		return target(child(from, "image")).Value
	}
	return m.before.Services[service].Image
}

// built reports whether a worker's image is built from what lies beside the file.
func (m *migration) built(name string) bool { return m.before.Services[name].Build != nil }

// imageNotes say which workers have to get another image, those with the same one in one sentence.
func (m *migration) imageNotes() []string {
	image := cmp.Or(m.options.Image, DefaultImage)
	var notes, images []string
	workers := map[string][]string{}
	for _, name := range m.workers {
		old := m.image(name)
		switch {
		case m.built(name):
			notes = append(notes, fmt.Sprintf("%s: its build stays; unless it builds this worker, which needs no proxies, write image: %s in place of build",
				name, image))
		case m.options.Image == "":
			if workers[old] == nil {
				images = append(images, old)
			}
			workers[old] = append(workers[old], name)
		}
	}
	for _, old := range images {
		notes = append(notes, fmt.Sprintf("%s: the image stays %s; it has to be one of this worker, which needs no proxies: write %s in its "+
			"place, or begin anew with --image", strings.Join(workers[old], ", "), old, image))
	}
	return notes
}

// DefaultImage is the name that this project's image is built under.
const DefaultImage = "gvpocr-worker:go"
