package mongotest

import (
	"crypto/rand"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// index is kept for what it forbids: only unique ones have entries. Finding is
// by scan, but for _id.
type index struct {
	name    string
	keys    bson.D
	unique  bool
	paths   [][]string
	entries map[string]*record
}

func newIndex(name string, keys bson.D, unique bool) *index {
	ix := &index{name: name, keys: keys, unique: unique, entries: make(map[string]*record)}
	for _, k := range keys {
		ix.paths = append(ix.paths, splitPath(k.Key))
	}
	return ix
}

func idIndex() *index {
	return newIndex("_id_", bson.D{{Key: "_id", Value: int32(1)}}, true)
}

func (ix *index) lookup(id any) *record { return ix.entries[indexKey(id)+"|"] }

// entry is one key of a document in an index; a document has several where an
// array stands on the index's path.
type entry struct {
	key    string
	values []any
}

func (ix *index) entriesOf(doc bson.D) []entry {
	if !ix.unique || doc == nil {
		return nil
	}
	entries := []entry{{}}
	for _, path := range ix.paths {
		var next []entry
		for _, v := range indexedValues(doc, path) {
			for _, e := range entries {
				values := append(append([]any(nil), e.values...), v)
				next = append(next, entry{e.key + indexKey(v) + "|", values})
			}
		}
		entries = next
	}
	return entries
}

// indexable refuses a document in which two paths of the index meet arrays.
// MongoDB takes it where both meet the same array; here that is refused too.
func (ix *index) indexable(doc bson.D) error {
	arrays := 0
	for _, path := range ix.paths {
		if meetsArray(doc, path) {
			arrays++
		}
	}
	if arrays > 1 {
		return failf(codeParallelArrays, "cannot index parallel arrays: index %s", ix.name)
	}
	return nil
}

// indexedValues are a path's values in an index: an array gives each element,
// an empty one undefined, a missing field null.
func indexedValues(doc bson.D, path []string) []any {
	var values []any
	anyValue(doc, path, itself, func(v any) bool {
		switch a, isArray := v.(bson.A); {
		case v == missing:
			values = append(values, nil)
		case isArray && len(a) == 0:
			values = append(values, bson.Undefined{})
		case isArray:
			values = append(values, a...)
		default:
			values = append(values, v)
		}
		return false
	})
	if len(values) == 0 {
		return []any{nil}
	}
	return values
}

// claim checks a document against all unique indexes and, for a new record,
// enters it. It changes nothing when it fails.
func (c *collection) claim(r *record, doc bson.D) error {
	claimed := make([][]entry, len(c.indexes))
	for i, ix := range c.indexes {
		if err := ix.indexable(doc); err != nil {
			return err
		}
		claimed[i] = ix.entriesOf(doc)
		for _, e := range claimed[i] {
			if owner := ix.entries[e.key]; owner != nil && owner != r {
				return duplicateKey(c.ns, ix, e.values)
			}
		}
	}
	for i, ix := range c.indexes {
		for _, e := range claimed[i] {
			ix.entries[e.key] = r
		}
	}
	return nil
}

// move takes out the entries of a record's old form that its new one lacks.
func (ix *index) move(r *record, from, to bson.D) {
	keep := make(map[string]bool)
	for _, e := range ix.entriesOf(to) {
		keep[e.key] = true
	}
	for _, e := range ix.entriesOf(from) {
		if !keep[e.key] && ix.entries[e.key] == r {
			delete(ix.entries, e.key)
		}
	}
}

// addIndex enters all records, or changes nothing.
func (c *collection) addIndex(ix *index) error {
	for _, r := range c.records {
		if err := ix.indexable(r.doc); err != nil {
			return err
		}
		for _, e := range ix.entriesOf(r.doc) {
			if owner := ix.entries[e.key]; owner != nil && owner != r {
				return duplicateKey(c.ns, ix, e.values)
			}
			ix.entries[e.key] = r
		}
	}
	c.indexes = append(c.indexes, ix)
	return nil
}

func duplicateKey(ns namespace, ix *index, values []any) error {
	keyValue := make(bson.D, len(ix.keys))
	var shown []string
	for i, k := range ix.keys {
		keyValue[i] = bson.E{Key: k.Key, Value: values[i]}
		shown = append(shown, fmt.Sprintf("%s: %v", k.Key, values[i]))
	}
	return &serverError{
		code: codeDuplicateKey,
		message: fmt.Sprintf("E11000 duplicate key error collection: %s index: %s dup key: { %s }",
			ns, ix.name, strings.Join(shown, ", ")),
		details: bson.D{{Key: "keyPattern", Value: ix.keys}, {Key: "keyValue", Value: keyValue}},
	}
}

func newUUID() bson.Binary {
	b := make([]byte, 16)
	rand.Read(b)
	b[6] = b[6]&0x0f | 0x40 // version 4
	b[8] = b[8]&0x3f | 0x80 // RFC 9562 variant
	return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: b}
}
