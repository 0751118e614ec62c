package mongotest

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// storable is a document as it is inserted: with an _id in front that may be
// one, and within MongoDB's limits.
func storable(doc bson.D) (bson.D, error) {
	if n := size(doc); n > maxDocumentSize {
		return nil, failf(codeBadValue, "object to insert too large. size in bytes: %d, max size: %d", n, maxDocumentSize)
	}
	if depth(doc) > maxStoredDepth {
		return nil, failf(codeOverflow, "cannot insert document because it exceeds %d levels of nesting", maxStoredDepth)
	}
	doc = withTimestamps(withIDFirst(doc))
	for _, e := range doc[1:] {
		if e.Key == "_id" {
			return nil, failf(codeBadValue, "can't have multiple _id fields in one document")
		}
	}
	switch id := doc[0].Value.(type) {
	case bson.A, bson.Regex, bson.Undefined:
		return nil, failf(codeInvalidIDField, "The '_id' value cannot be of type %s", typeName(id))
	case bson.D:
		for _, e := range id {
			if strings.HasPrefix(e.Key, "$") {
				return nil, failf(codeDollarPrefixedFieldName, "_id fields may not contain '$'-prefixed fields: %s is not valid for storage.", e.Key)
			}
		}
	}
	return doc, nil
}

// withIDFirst puts _id in front, a new ObjectID where there was none.
func withIDFirst(d bson.D) bson.D {
	i := position(d, "_id")
	if i == 0 {
		return d
	}
	out := make(bson.D, 0, len(d)+1)
	if i < 0 {
		out = append(out, bson.E{Key: "_id", Value: bson.NewObjectID()})
		return append(out, d...)
	}
	out = append(out, d[i])
	out = append(out, d[:i]...)
	return append(out, d[i+1:]...)
}

// clock is the time in whole milliseconds.
func clock() time.Time { return time.Now().Truncate(time.Millisecond) }

// withTimestamps fills empty timestamps at the top level with the present
// time, as MongoDB does for inserts and replacements.
func withTimestamps(d bson.D) bson.D {
	copied := false
	for i, e := range d {
		if e.Key == "_id" || e.Value != (any)(bson.Timestamp{}) {
			continue
		}
		if !copied {
			d, copied = append(bson.D(nil), d...), true
		}
		d[i].Value = bson.Timestamp{T: uint32(time.Now().Unix()), I: uint32(i + 1)}
	}
	return d
}
