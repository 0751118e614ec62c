package mongotest

import (
	"errors"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// newDocument is what an upsert inserts: the fields that the query fixes, then
// the update on them. A replacement takes only _id from the query.
func (u *update) newDocument(f *filter) (bson.D, error) {
	var base bson.D
	equalities := slices.Clone(f.equalities)
	// MongoDB keeps them in a map ordered by path.
	slices.SortStableFunc(equalities, func(a, b equality) int { return strings.Compare(a.path, b.path) })
	seed := &update{root: &updateNode{}}
	for _, e := range equalities {
		isID := e.path == "_id" || strings.HasPrefix(e.path, "_id.")
		if u.replacement != nil && !isID {
			continue
		}
		if u.replacement != nil && e.path != "_id" {
			return nil, failf(codeNotExactValueField, "field at '_id' must be exactly specified, field at sub-path '%s' found", e.path)
		}
		err := seed.add("$set", e.path, e.value)
		switch refused, _ := errors.AsType[*serverError](err); {
		case err == nil:
		case refused != nil && refused.code == codeConflictingUpdateOperators:
			return nil, failf(codeNotSingleValueField, "cannot infer query fields to set, path '%s' is matched twice or within another", e.path)
		default:
			return nil, err
		}
	}
	w := &updater{}
	base, err := w.document(bson.D{}, seed.root, "")
	if err != nil {
		return nil, err
	}
	doc, _, err := u.apply(base, true, clock())
	if err != nil {
		return nil, err
	}
	return storable(doc)
}
