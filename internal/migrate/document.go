package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// document is a compose file as text and as nodes that say where everything is, with the edits that are to be made.
type document struct {
	lines    []string // with their ends
	newline  string   // what they end in
	services *yaml.Node
	edits    []edit
}

// edit replaces lines from begin up to end by text.
type edit struct {
	begin, end int // from 0
	text       []string
}

func parse(text []byte) (*document, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil {
		return nil, err
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("it holds several documents")
	}
	if len(root.Content) == 0 {
		return nil, errors.New("it is empty")
	}
	top := root.Content[0]
	if include := child(top, "include"); include != nil {
		return nil, errors.New("it includes other files: migrate the one that has the proxies, or merge them (docker-compose config) first")
	}
	d := &document{lines: strings.SplitAfter(string(text), "\n"), newline: "\n", services: child(top, "services")}
	if strings.HasSuffix(d.lines[0], "\r\n") {
		d.newline = "\r\n"
	}
	if d.services == nil || d.services.Kind != yaml.MappingNode {
		return nil, errors.New("its services are not written as a mapping")
	}
	if d.services.Style&yaml.FlowStyle != 0 {
		return nil, errors.New("its services are written in braces; write them one below the other")
	}
	return d, nil
}

// proxies returns the services that run socat. What they run is read from the text, so that variables stay variables;
// whether they do is also seen from what the variables hold, and from what they extend.
func (d *document) proxies(project *types.Project) (map[string]proxy, error) {
	found := map[string]proxy{}
	for i := 0; i < len(d.services.Content); i += 2 {
		name := d.services.Content[i].Value
		var service map[string]any
		if err := d.services.Content[i+1].Decode(&service); err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		loaded := project.Services[name]
		p, ok, err := parseProxy(name, loaded.Image, service)
		base := extendsOf(service)
		switch {
		case base.service != "" && (err != nil || !ok && runsSocat(loaded)):
			return nil, fmt.Errorf("service %s has what it runs from %s by extends: write its image and its command into %s itself", name, base, name)
		case err != nil:
			return nil, err
		case ok:
			found[name] = p
		}
	}
	return found, nil
}

// child returns the value of a key, or nil.
func child(mapping *yaml.Node, key string) *yaml.Node {
	_, value := entry(mapping, key)
	return value
}

func entry(mapping *yaml.Node, key string) (k, v *yaml.Node) {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// target follows an alias.
func target(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// owner returns the mapping that a service has a key from: its own, or one that is merged into it by <<.
func owner(mapping *yaml.Node, key string) *yaml.Node {
	mapping = target(mapping)
	if child(mapping, key) != nil {
		return mapping
	}
	merged := child(mapping, "<<")
	if merged == nil {
		return nil
	}
	from := []*yaml.Node{merged}
	if merged.Kind == yaml.SequenceNode {
		from = merged.Content
	}
	for _, m := range from {
		if o := owner(m, key); o != nil {
			return o
		}
	}
	return nil
}

// extent returns the lines of an entry of a block: those of its key or dash, and all below that are indented deeper.
// Comments directly above it belong to it.
func (d *document) extent(n *yaml.Node) (begin, end int) {
	begin = n.Line - 1
	indent := indentation(d.lines[begin])
	isItem := strings.HasPrefix(strings.TrimSpace(d.lines[begin]), "-")
	end = begin + 1
	for i := end; i < len(d.lines); i++ {
		text := strings.TrimSpace(d.lines[i])
		if text == "" || strings.HasPrefix(text, "#") && indentation(d.lines[i]) <= indent {
			continue // it belongs to the entry only if more of the entry follows
		}
		deeper := indentation(d.lines[i]) > indent
		item := indentation(d.lines[i]) == indent && !isItem && (text == "-" || strings.HasPrefix(text, "- ")) // a list may stand below its key without being indented
		if !deeper && !item {
			break
		}
		end = i + 1
	}
	for begin > 0 && strings.HasPrefix(strings.TrimSpace(d.lines[begin-1]), "#") && indentation(d.lines[begin-1]) == indent {
		begin--
	}
	return begin, end
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

func (d *document) change(begin, end int, text ...string) {
	for _, e := range d.edits {
		if e.begin == begin && e.end == end && slices.Equal(e.text, text) {
			return // two services have it from one place
		}
	}
	d.edits = append(d.edits, edit{begin, end, text})
}

// remove removes an entry.
func (d *document) remove(n *yaml.Node) {
	begin, end := d.extent(n)
	d.change(begin, end)
}

// apply makes the edits, last ones first. Where an entry goes and a blank line is left below another one, or below what the
// entry was in, that goes too.
func (d *document) apply() []byte {
	slices.SortStableFunc(d.edits, func(a, b edit) int { return b.begin - a.begin })
	lines := slices.Clone(d.lines)
	for i, e := range d.edits {
		if slices.ContainsFunc(d.edits[i+1:], func(outer edit) bool { return outer.end > e.begin }) {
			continue // it is in an entry that goes as a whole
		}
		indent := indentation(d.lines[e.begin])
		lines = slices.Replace(lines, e.begin, e.end, e.text...)
		if len(e.text) == 0 && e.begin > 0 && e.begin < len(lines) && strings.TrimSpace(lines[e.begin]) == "" &&
			(strings.TrimSpace(lines[e.begin-1]) == "" || indentation(lines[e.begin-1]) < indent) {
			lines = slices.Delete(lines, e.begin, e.begin+1)
		}
	}
	return []byte(strings.Join(lines, ""))
}
