package mongotest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// update is a parsed update document: a full replacement, or operators.
type update struct {
	replacement bson.D // nil with operators
	operators   bson.D // as they came
	root        *updateNode
}

// updateNode is one part of the operators' paths. A path is a way down the
// tree, so two operators on one path, or one above the other, meet in a node
// and are refused; and the parts of one level are applied in order of their
// names, which is where MongoDB puts new fields.
type updateNode struct {
	children map[string]*updateNode
	operator modifier
	reserved bool // the source of a $rename, which ends here too
}

// modifier is one operator with its argument.
type modifier interface {
	// change returns the value that takes the place of one that is there.
	change(old any, at changeContext) (any, error)
	// create returns the value of a field that was not there; false: none.
	create(at changeContext) (any, bool, error)
}

// changeContext is what a modifier may know of its surroundings.
type changeContext struct {
	path   string
	upsert bool // the document is being inserted
	now    time.Time
}

// parseUpdate reads an update document. v is what stands in the statement: an
// array would be a pipeline.
func parseUpdate(v any) (*update, error) {
	d, ok := v.(bson.D)
	switch {
	case !ok:
		if _, pipeline := v.(bson.A); pipeline {
			return nil, unsupported("an update by an aggregation pipeline")
		}
		return nil, failf(codeFailedToParse, "Update argument must be either an object or an array")
	case len(d) == 0 || !strings.HasPrefix(d[0].Key, "$"):
		return parseReplacement(d)
	}
	u := &update{root: &updateNode{}, operators: d}
	for _, op := range d {
		fields, ok := op.Value.(bson.D)
		if !knownModifier(op.Key) {
			if op.Key == "$pullAll" || op.Key == "$bit" || op.Key == "$pushAll" {
				return nil, unsupported("update operator " + op.Key)
			}
			return nil, failf(codeFailedToParse, "Unknown modifier: %s. Expected a valid update modifier or pipeline-style update specified as an array", op.Key)
		}
		if !ok {
			return nil, failf(codeFailedToParse, "Modifiers operate on fields but we found type %s instead of a document behind %s", typeName(op.Value), op.Key)
		}
		for _, f := range fields {
			if err := u.add(op.Key, f.Key, f.Value); err != nil {
				return nil, err
			}
		}
	}
	return u, nil
}

func parseReplacement(d bson.D) (*update, error) {
	for _, e := range d {
		if strings.HasPrefix(e.Key, "$") {
			return nil, failf(codeDollarPrefixedFieldName, "The dollar ($) prefixed field '%s' is not allowed in the context of an update's replacement document", e.Key)
		}
	}
	if d == nil {
		d = bson.D{}
	}
	return &update{replacement: d}, nil
}

func (u *update) add(op, path string, arg any) error {
	m, err := newModifier(op, path, arg)
	if err != nil {
		return err
	}
	if r, ok := m.(rename); ok {
		node, err := u.node(r.from)
		if err != nil {
			return err
		}
		node.reserved = true
		path = r.to
	}
	node, err := u.node(path)
	if err != nil {
		return err
	}
	node.operator = m
	return nil
}

// node makes the way to a path's end and refuses one that another path uses.
func (u *update) node(path string) (*updateNode, error) {
	parts := splitPath(path)
	node := u.root
	for _, part := range parts {
		if err := checkUpdatePart(part, path); err != nil {
			return nil, err
		}
		if node.ends() {
			return nil, conflict(path)
		}
		if node.children == nil {
			node.children = make(map[string]*updateNode)
		}
		next := node.children[part]
		if next == nil {
			next = &updateNode{}
			node.children[part] = next
		}
		node = next
	}
	if node.ends() || len(node.children) > 0 {
		return nil, conflict(path)
	}
	return node, nil
}

func (n *updateNode) ends() bool { return n.operator != nil || n.reserved }

func conflict(path string) error {
	return failf(codeConflictingUpdateOperators, "Updating the path '%s' would create a conflict at '%s'", path, path)
}

func checkUpdatePart(part, path string) error {
	switch {
	case part == "":
		return failf(codeEmptyFieldName, "The update path '%s' contains an empty field name, which is not allowed.", path)
	case part == "$", strings.HasPrefix(part, "$["):
		return unsupported("the positional operator in update path " + path)
	case part[0] == '$':
		return failf(codeDollarPrefixedFieldName, "The dollar ($) prefixed field '%s' in '%s' is not valid for storage.", part, path)
	}
	return nil
}

// sorted are the children in the order in which MongoDB applies them: by name,
// numeric parts by number.
func (n *updateNode) sorted() []string {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		ai, aNumeric := arrayIndex(a)
		bi, bNumeric := arrayIndex(b)
		if aNumeric && bNumeric {
			return cmp.Compare(ai, bi)
		}
		return strings.Compare(a, b)
	})
	return names
}

// apply returns the document after the update, and whether that is a change.
// The old one is not touched. now is in whole milliseconds, as BSON has it, so
// that the same update at the same time has the same result.
func (u *update) apply(old bson.D, upsert bool, now time.Time) (doc bson.D, changed bool, err error) {
	w := &updater{changeContext: changeContext{upsert: upsert, now: now}, root: old}
	if u.replacement != nil {
		doc = u.replace(old)
	} else if doc, err = w.document(old, u.root, ""); err == nil {
		doc, err = w.removeRenamed(doc)
	}
	if err != nil {
		return nil, false, err
	}
	if err := checkSameID(old, doc); err != nil {
		return nil, false, err
	}
	if !w.touched && identical(old, doc) {
		return old, false, nil
	}
	return doc, true, checkLimits(doc, upsert)
}

func (u *update) replace(old bson.D) bson.D {
	doc := withTimestamps(u.replacement)
	if _, ok := lookup(doc, "_id"); !ok {
		if id, ok := lookup(old, "_id"); ok {
			doc = append(bson.D{{Key: "_id", Value: id}}, doc...)
		}
	}
	return doc
}

func checkSameID(old, doc bson.D) error {
	before, ok := lookup(old, "_id")
	if !ok {
		return nil // an upsert whose query names no _id
	}
	if after, ok := lookup(doc, "_id"); !ok || compare(before, after) != 0 {
		return failf(codeImmutableField, "After applying the update, the (immutable) field '_id' was found to have been altered or removed")
	}
	return nil
}

// checkLimits holds what an update can push a document over.
func checkLimits(doc bson.D, upsert bool) error {
	if depth(doc) > maxStoredDepth {
		return failf(codeOverflow, "the resulting document would be nested deeper than %d levels", maxStoredDepth)
	}
	switch n := size(doc); {
	case n <= maxDocumentSize:
		return nil
	case upsert:
		return failf(codeUpsertTooLarge, "Document to upsert is larger than %d", maxDocumentSize)
	}
	return failf(codeUpdateTooLarge, "Resulting document after update is larger than %d", maxDocumentSize)
}
