package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// edit plans all edits.
func (m *migration) edit(lines []line) error {
	d := m.document
	for _, service := range slices.Sorted(maps.Keys(m.proxies)) {
		key, _ := entry(d.services, service)
		d.remove(key)
		var to []string
		for _, f := range m.proxies[service].forwards {
			to = append(to, fmt.Sprintf("port %s to %s:%s", f.port, f.host, f.target))
		}
		m.changes = append(m.changes, fmt.Sprintf("service %s is gone: it forwarded %s", service, strings.Join(to, ", ")))
	}
	for i := 0; i < len(d.services.Content); i += 2 {
		name, service := d.services.Content[i].Value, d.services.Content[i+1]
		if _, isProxy := m.proxies[name]; isProxy || !slices.Contains(m.workers, name) {
			continue
		}
		var mended []string
		for _, key := range []string{"depends_on", "links"} {
			gone, err := m.mend(service, key)
			if err != nil {
				return fmt.Errorf("service %s: %s: %w", name, key, err)
			}
			if len(gone) > 0 {
				m.changes = append(m.changes, fmt.Sprintf("service %s: %s loses %s", name, key, strings.Join(gone, ", ")))
			}
			mended = append(mended, gone...)
		}
		if err := m.extended(name, mended); err != nil {
			return err
		}
		if b := d.baseOf(name); m.inherits(name) {
			m.changes = append(m.changes, fmt.Sprintf("service %s has the new lines from %s, which it extends", name, b))
			if owner(service, "image") == nil {
				continue
			}
		} else if err := m.gainLines(d.services.Content[i], service, lines); err != nil {
			return err
		}
		if err := m.setImage(name, service); err != nil {
			return fmt.Errorf("service %s: image: %w", name, err)
		}
	}
	return nil
}

// gainLines adds variables to the environment of a worker, and says so.
func (m *migration) gainLines(key, service *yaml.Node, lines []line) error {
	if err := m.addLines(key, service, lines); err != nil {
		return fmt.Errorf("service %s: environment: %w", key.Value, err)
	}
	var added []string
	for _, l := range lines {
		added = append(added, l.name+": "+l.value)
	}
	m.changes = append(m.changes, fmt.Sprintf("service %s: environment gains %s", key.Value, strings.Join(added, ", ")))
	return nil
}

// mend takes the proxies out of a list or mapping of services.
func (m *migration) mend(service *yaml.Node, key string) (gone []string, err error) {
	from := owner(service, key)
	if from == nil {
		return nil, nil
	}
	keyNode, value := entry(from, key)
	value = target(value)
	step := 1
	switch value.Kind {
	case yaml.MappingNode:
		step = 2
	case yaml.SequenceNode:
	default:
		return nil, nil // null
	}
	var stay, leave []*yaml.Node
	for i := 0; i < len(value.Content); i += step {
		item := value.Content[i]
		if _, isProxy := m.proxies[linkTarget(item.Value)]; isProxy {
			leave = append(leave, item)
			gone = append(gone, linkTarget(item.Value))
		} else {
			stay = append(stay, item)
		}
	}
	d := m.document
	switch {
	case len(leave) == 0:
	case len(stay) == 0:
		d.remove(keyNode)
	case value.Style&yaml.FlowStyle == 0:
		for _, item := range leave {
			d.remove(item)
		}
	case value.Kind == yaml.MappingNode:
		return nil, fmt.Errorf("it is written in braces; write it one below the other")
	default:
		return gone, d.rewriteFlow(value, stay)
	}
	return gone, nil
}

// rewriteFlow writes [a, b, c] with what stays.
func (d *document) rewriteFlow(list *yaml.Node, stay []*yaml.Node) error {
	at := list.Line - 1
	text := d.lines[at]
	open := min(list.Column-1, len(text)) // columns are characters, and there may be some before it that are no ASCII
	length := strings.IndexByte(text[open:], ']')
	if length < 0 || text[open] != '[' {
		return fmt.Errorf("its list goes over several lines; write it one below the other")
	}
	var items []string
	for _, item := range stay {
		items = append(items, item.Value)
	}
	d.change(at, at+1, text[:open]+"["+strings.Join(items, ", ")+text[open+length:])
	return nil
}

// addLines adds variables to the environment of a service, where it has it from.
func (m *migration) addLines(key, service *yaml.Node, lines []line) error {
	d := m.document
	from := owner(service, "environment")
	if from == nil {
		return d.addEnvironment(key, target(service), lines)
	}
	keyNode, environment := entry(from, "environment")
	environment = target(environment)
	var text []string
	switch {
	case environment.Style&yaml.FlowStyle != 0:
		return fmt.Errorf("it is written in braces; write one variable a line")
	case environment.Kind == yaml.MappingNode:
		for _, l := range lines {
			text = append(text, l.name+": "+scalar(l.value))
		}
	case environment.Kind == yaml.SequenceNode:
		for _, l := range lines {
			text = append(text, "- "+scalar(l.name+"="+l.value))
		}
	default:
		return fmt.Errorf("it is empty; remove it")
	}
	first := environment.Content[0]
	if first.Line == keyNode.Line {
		return fmt.Errorf("it is written on one line; write one variable a line")
	}
	at := first.Line - 1
	indent := indentation(d.lines[at])
	for at > keyNode.Line && strings.HasPrefix(strings.TrimSpace(d.lines[at-1]), "#") {
		at-- // above the comment on what was first
	}
	d.insert(at, indent, text)
	return nil
}

// addEnvironment gives a service that has its environment from a file one of its own too.
func (d *document) addEnvironment(key, service *yaml.Node, lines []line) error {
	if service.Kind != yaml.MappingNode || service.Style&yaml.FlowStyle != 0 || len(service.Content) == 0 || service.Content[0].Line == key.Line {
		return fmt.Errorf("there is none, and no place for one")
	}
	at := service.Content[0].Line - 1
	text := []string{"environment:"}
	for _, l := range lines {
		text = append(text, "  "+l.name+": "+scalar(l.value))
	}
	d.insert(at, indentation(d.lines[at]), text)
	return nil
}

func (d *document) insert(at, indent int, lines []string) {
	var text []string
	for _, l := range lines {
		text = append(text, strings.Repeat(" ", indent)+l+d.newline)
	}
	d.change(at, at, text...)
}

// setImage writes the workers' new image. What is built stays, and a note says so: whether the build's sources are those of
// this worker is not seen here.
func (m *migration) setImage(name string, service *yaml.Node) error {
	if m.options.Image == "" || m.built(name) {
		return nil
	}
	from := owner(service, "image")
	if from == nil {
		return fmt.Errorf("it is not in this file: write it into the service")
	}
	value := target(child(from, "image"))
	d := m.document
	at := value.Line - 1
	text := d.lines[at]
	begin := min(value.Column-1, len(text))
	for _, written := range []string{value.Value, `"` + value.Value + `"`, "'" + value.Value + "'"} {
		if strings.HasPrefix(text[begin:], written) {
			d.change(at, at+1, text[:begin]+scalar(m.options.Image)+text[begin+len(written):])
			return nil
		}
	}
	return fmt.Errorf("it is not written on one line")
}

// scalar writes a value so that YAML reads it as that string.
func scalar(value string) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		return `"` + value + `"`
	}
	return strings.TrimSpace(string(text))
}
