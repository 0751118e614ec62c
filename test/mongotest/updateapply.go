package mongotest

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxPadding is how many nulls an array may get in front of a new element.
// The number is MongoDB's.
const maxPadding = 1_500_000

// updater carries one document through the tree of its operators. Every level
// that changes is copied, all else is shared with the old document.
type updater struct {
	changeContext
	root    bson.D   // as it was
	renamed []string // sources of $rename, taken away at the end
	// touched: an operator counts as a change even where its result is the
	// same as before.
	touched bool
}

// document applies a node's children to a document.
func (w *updater) document(d bson.D, n *updateNode, prefix string) (bson.D, error) {
	out := d
	copied := false
	for _, name := range n.sorted() {
		child := n.children[name]
		if child.reserved {
			continue
		}
		path := join(prefix, name)
		i := position(out, name)
		var old any = missing
		if i >= 0 {
			old = out[i].Value
		}
		v, err := w.value(old, child, path)
		if err != nil {
			return nil, err
		}
		if isMissing(v) && isMissing(old) {
			continue
		}
		if !copied {
			out, copied = slices.Clone(out), true
		}
		switch {
		case isMissing(v):
			out = slices.Delete(out, i, i+1)
		case i >= 0:
			out[i].Value = v
		default:
			out = append(out, bson.E{Key: name, Value: v})
		}
	}
	if out == nil {
		out = bson.D{}
	}
	return out, nil
}

// array applies a node's children, which must be indexes, to an array.
func (w *updater) array(a bson.A, n *updateNode, prefix string) (bson.A, error) {
	out := slices.Clone(a)
	for _, name := range n.sorted() {
		child := n.children[name]
		if child.reserved {
			continue
		}
		path := join(prefix, name)
		i, ok := arrayIndex(name)
		if !ok {
			if !w.creates(child) {
				continue
			}
			return nil, notViable(name, path, a)
		}
		var old any = missing
		if i < len(out) {
			old = out[i]
		}
		v, err := w.value(old, child, path)
		if err != nil {
			return nil, err
		}
		switch {
		case isMissing(v) && isMissing(old):
		case isMissing(v):
			out[i] = nil // $unset leaves a hole, so that the others keep their places
		case i < len(out):
			out[i] = v
		default:
			if i-len(out) > maxPadding {
				return nil, failf(codeBadValue, "can't backfill more than %d elements", maxPadding)
			}
			for len(out) < i {
				out = append(out, nil)
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// value applies a node to what stands at its path, which may be missing, and
// returns what stands there afterwards.
func (w *updater) value(old any, n *updateNode, path string) (any, error) {
	if n.operator != nil {
		return w.modify(old, n.operator, path)
	}
	switch v := old.(type) {
	case bson.D:
		return w.document(v, n, path)
	case bson.A:
		return w.array(v, n, path)
	case missingField:
		d, err := w.document(nil, n, path)
		if err != nil || len(d) == 0 {
			return missing, err
		}
		return d, nil
	}
	if !w.creates(n) {
		return old, nil
	}
	return nil, notViable(n.sorted()[0], path, old)
}

func (w *updater) modify(old any, m modifier, path string) (any, error) {
	at := w.changeContext
	at.path = path
	if r, ok := m.(rename); ok {
		return w.rename(old, r)
	}
	if p, ok := m.(push); ok && p.touches(old) {
		w.touched = true
	}
	if _, ok := m.(currentDate); ok {
		w.touched = true
	}
	if isMissing(old) {
		v, ok, err := m.create(at)
		if err != nil || !ok {
			return missing, err
		}
		return v, nil
	}
	return m.change(old, at)
}

// creates tells whether any operator below makes fields that are not there;
// the others pass over a path that leads nowhere.
func (w *updater) creates(n *updateNode) bool {
	switch n.operator.(type) {
	case nil:
	case unset, pull, pop:
		return false
	case setOnInsert:
		return w.upsert
	default:
		return true
	}
	for _, c := range n.children {
		if w.creates(c) {
			return true
		}
	}
	return false
}

// rename moves a value from elsewhere in the old document to this place.
func (w *updater) rename(old any, r rename) (any, error) {
	v, err := plainLookup(w.root, r.from, "source")
	if err != nil || isMissing(v) {
		return old, err
	}
	if _, err := plainLookup(w.root, r.to, "destination"); err != nil {
		return nil, err
	}
	w.renamed = append(w.renamed, r.from)
	return v, nil
}

// plainLookup follows a path of a $rename, which must not go through an array
// or a plain value.
func plainLookup(d bson.D, path, role string) (any, error) {
	var v any = d
	throughArray := false
	for _, part := range splitPath(path) {
		switch at := v.(type) {
		case bson.D:
			next, ok := lookup(at, part)
			if !ok {
				return missing, nil
			}
			v = next
		case bson.A:
			i, ok := arrayIndex(part)
			switch {
			case !ok:
				return nil, notViable(part, path, at)
			case i >= len(at):
				return missing, nil
			}
			v, throughArray = at[i], true
		default:
			return nil, notViable(part, path, v)
		}
	}
	if throughArray {
		return nil, failf(codeBadValue, "The %s field cannot be an array element, '%s'", role, path)
	}
	return v, nil
}

func (w *updater) removeRenamed(d bson.D) (bson.D, error) {
	for _, path := range w.renamed {
		n := &update{root: &updateNode{}}
		if err := n.add("$unset", path, nil); err != nil {
			return nil, err
		}
		var err error
		if d, err = w.document(d, n.root, ""); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func notViable(name, path string, in any) error {
	return failf(codePathNotViable, "Cannot create field '%s' at '%s' in a value of type %s", name, path, typeName(in))
}

func isMissing(v any) bool {
	_, ok := v.(missingField)
	return ok
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
