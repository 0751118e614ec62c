package mongotest

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// sortOrder is a parsed sort document.
type sortOrder []sortKey

type sortKey struct {
	path    []string
	natural bool
	sign    int
}

func parseSort(d bson.D) (sortOrder, error) {
	var order sortOrder
	for _, e := range d {
		sign, ok := direction(e.Value)
		if !ok {
			if _, meta := e.Value.(bson.D); meta {
				return nil, unsupported("$meta in a sort")
			}
			if !isNumber(e.Value) {
				return nil, failf(15974, "Illegal key in $sort specification: %s", e.Key)
			}
			return nil, failf(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")
		}
		key := sortKey{sign: sign, natural: e.Key == "$natural"}
		if key.natural && len(d) > 1 {
			return nil, failf(codeBadValue, "Cannot include '$natural' in compound sort")
		}
		if !key.natural {
			if strings.HasPrefix(e.Key, "$") {
				return nil, failf(16410, "FieldPath field names may not start with '$': %s", e.Key)
			}
			key.path = splitPath(e.Key)
			if strings.HasSuffix(e.Key, ".") {
				return nil, failf(40353, "FieldPath must not end with a '.': '%s'", e.Key)
			}
			if slices.Contains(key.path, "") {
				return nil, failf(15998, "FieldPath field names may not be empty strings: '%s'", e.Key)
			}
		}
		order = append(order, key)
	}
	return order, nil
}

// apply sorts in place; equal documents keep their order.
func (o sortOrder) apply(docs []bson.D) error {
	if len(o) == 1 && o[0].natural {
		if o[0].sign < 0 {
			slices.Reverse(docs)
		}
		return nil
	}
	for _, d := range docs {
		if err := o.sortable(d); err != nil {
			return err
		}
	}
	if len(o) > 0 {
		slices.SortStableFunc(docs, o.compare)
	}
	return nil
}

// sortable refuses a document in which two of the keys meet arrays: there is
// no one value of each then to sort by.
func (o sortOrder) sortable(d bson.D) error {
	arrays := 0
	for _, key := range o {
		if !key.natural && meetsArray(d, key.path) {
			arrays++
		}
	}
	if arrays > 1 {
		return failf(codeBadValue, "cannot sort with keys that are parallel arrays")
	}
	return nil
}

func (o sortOrder) compare(a, b bson.D) int {
	for _, key := range o {
		if c := compareSortValues(key.value(a), key.value(b)); c != 0 {
			return key.sign * c
		}
	}
	return 0
}

// compareSortValues counts a missing field as null.
func compareSortValues(a, b any) int {
	if isMissing(a) {
		a = nil
	}
	if isMissing(b) {
		b = nil
	}
	return compare(a, b)
}

// value is what a document is sorted by: of an array its least element, or
// its greatest for a descending order; of an empty one undefined, which comes
// before null.
func (k sortKey) value(d bson.D) any {
	var best any
	found := false
	for _, v := range indexedValues(d, k.path) {
		if !found || k.sign*compareSortValues(v, best) < 0 {
			best, found = v, true
		}
	}
	return best
}
