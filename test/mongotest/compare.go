package mongotest

import (
	"bytes"
	"cmp"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// missing stands for a field that is not there. It sorts with null and matches
// like null, but is not equal to it for $exists and $type.
type missingField struct{}

var missing any = missingField{}

// rank is a value's place in MongoDB's order of types
// (mongodb.com/docs/manual/reference/bson-type-comparison-order). All numbers
// share one rank, and so do strings and symbols.
func rank(v any) int {
	switch v.(type) {
	case bson.MinKey:
		return -1
	case missingField, bson.Undefined:
		return 0
	case nil, bson.Null:
		return 5
	case int32, int64, float64, bson.Decimal128:
		return 10
	case string, bson.Symbol:
		return 15
	case bson.D:
		return 20
	case bson.A:
		return 25
	case bson.Binary:
		return 30
	case bson.ObjectID:
		return 35
	case bool:
		return 40
	case bson.DateTime:
		return 45
	case bson.Timestamp:
		return 47
	case bson.Regex:
		return 50
	case bson.DBPointer:
		return 55
	case bson.JavaScript:
		return 60
	case bson.CodeWithScope:
		return 65
	case bson.MaxKey:
		return 127
	}
	panic("mongotest: a value that no BSON decodes to")
}

// compare orders two values as MongoDB does for sorting, for indexes and for
// equality; numbers compare by value, whatever their type.
func compare(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case int32, int64, float64, bson.Decimal128:
		return compareNumbers(a, b)
	case string, bson.Symbol:
		return strings.Compare(text(a), text(b))
	case bson.D:
		return compareDocuments(a, b.(bson.D))
	case bson.A:
		b := b.(bson.A)
		for i := range min(len(a), len(b)) {
			if c := compare(a[i], b[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(a), len(b))
	case bson.Binary:
		b := b.(bson.Binary)
		return cmp.Or(cmp.Compare(len(a.Data), len(b.Data)), cmp.Compare(a.Subtype, b.Subtype), bytes.Compare(a.Data, b.Data))
	case bson.ObjectID:
		b := b.(bson.ObjectID)
		return bytes.Compare(a[:], b[:])
	case bool:
		switch {
		case a == b.(bool):
			return 0
		case a:
			return 1
		}
		return -1
	case bson.DateTime:
		return cmp.Compare(a, b.(bson.DateTime))
	case bson.Timestamp:
		b := b.(bson.Timestamp)
		return cmp.Or(cmp.Compare(a.T, b.T), cmp.Compare(a.I, b.I))
	case bson.Regex:
		b := b.(bson.Regex)
		return cmp.Or(strings.Compare(a.Pattern, b.Pattern), strings.Compare(a.Options, b.Options))
	case bson.DBPointer:
		b := b.(bson.DBPointer)
		return cmp.Or(cmp.Compare(len(a.DB), len(b.DB)), strings.Compare(a.DB, b.DB), bytes.Compare(a.Pointer[:], b.Pointer[:]))
	case bson.JavaScript:
		return strings.Compare(string(a), string(b.(bson.JavaScript)))
	case bson.CodeWithScope:
		b := b.(bson.CodeWithScope)
		if c := strings.Compare(string(a.Code), string(b.Code)); c != 0 {
			return c
		}
		as, _ := a.Scope.(bson.D)
		bs, _ := b.Scope.(bson.D)
		return compareDocuments(as, bs)
	}
	return 0 // the ranks with one value: null, undefined, MinKey, MaxKey
}

func compareDocuments(a, b bson.D) int {
	for i := range min(len(a), len(b)) {
		c := cmp.Or(
			cmp.Compare(rank(a[i].Value), rank(b[i].Value)),
			strings.Compare(a[i].Key, b[i].Key))
		if c == 0 {
			c = compare(a[i].Value, b[i].Value)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func text(v any) string {
	if s, ok := v.(bson.Symbol); ok {
		return string(s)
	}
	return v.(string)
}

// identical tells whether two values are the same BSON, types and order of
// fields included; 1 and 1.0 are equal but not identical.
func identical(a, b any) bool {
	switch a := a.(type) {
	case bson.D:
		b, ok := b.(bson.D)
		if !ok || len(a) != len(b) {
			return false
		}
		if len(a) == 0 || &a[0] == &b[0] { // an update shares what it leaves alone
			return true
		}
		for i := range a {
			if a[i].Key != b[i].Key || !identical(a[i].Value, b[i].Value) {
				return false
			}
		}
		return true
	case bson.A:
		b, ok := b.(bson.A)
		if !ok || len(a) != len(b) {
			return false
		}
		if len(a) == 0 || &a[0] == &b[0] {
			return true
		}
		for i := range a {
			if !identical(a[i], b[i]) {
				return false
			}
		}
		return true
	case bson.Binary:
		b, ok := b.(bson.Binary)
		return ok && a.Subtype == b.Subtype && bytes.Equal(a.Data, b.Data)
	case bson.CodeWithScope:
		b, ok := b.(bson.CodeWithScope)
		return ok && a.Code == b.Code && identical(a.Scope, b.Scope)
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	}
	switch b.(type) {
	case bson.D, bson.A, bson.Binary, bson.CodeWithScope:
		return false // not comparable with ==, and of another type than a
	}
	return a == b
}
