package migrate

import (
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"go.yaml.in/yaml/v3"
)

// Diff returns what changes in a file, without passwords. Of what does not change, which may hold what nobody can tell from
// a password, it has only the names of services and of what stands at the top, so that each change is seen in its place.
func Diff(name string, before, after []byte) string {
	heads := headings(before)
	var out strings.Builder
	hunk, begin, at := "", 0, 0 // lines are those of the old text, from 1
	for l := range strings.Lines(udiff.Unified(name, name+" (migrated)", string(before), string(after))) {
		if _, err := fmt.Sscanf(l, "@@ -%d", &begin); err == nil {
			hunk, at = strings.TrimRight(l, "\n"), begin
			continue
		}
		head, isHead := heads[at]
		isOld := at > 0 && (strings.HasPrefix(l, " ") || strings.HasPrefix(l, "-"))
		if isOld {
			at++
		}
		if isOld && l[0] == ' ' {
			if !isHead {
				continue
			}
			l = " " + head + "\n"
		}
		if hunk != "" {
			if !isOld || !isHead { // else the place is seen by what follows
				hunk += above(heads, begin)
			}
			out.WriteString(hunk + "\n")
			hunk = ""
		}
		out.WriteString(Mask(l))
	}
	return out.String()
}

// headings are the keys at the top of a file and its services' names, by line, as they are indented.
func headings(text []byte) map[int]string {
	found := map[int]string{}
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil || len(root.Content) == 0 {
		return found
	}
	top := root.Content[0]
	for _, mapping := range []*yaml.Node{top, child(top, "services")} {
		if mapping == nil || mapping.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i < len(mapping.Content); i += 2 {
			key := mapping.Content[i]
			found[key.Line] = strings.Repeat(" ", key.Column-1) + key.Value + ":"
		}
	}
	return found
}

// above is the heading that a line stands under, as it goes behind @@.
func above(heads map[int]string, line int) string {
	for ; line > 0; line-- {
		if head, ok := heads[line]; ok {
			return " " + strings.TrimSpace(head)
		}
	}
	return ""
}
