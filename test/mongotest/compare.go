package mongotest

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"strconv"
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

func isNumber(v any) bool {
	return rank(v) == 10
}

func isNaN(v any) bool {
	switch v := v.(type) {
	case float64:
		return math.IsNaN(v)
	case bson.Decimal128:
		return v.IsNaN()
	}
	return false
}

// compareNumbers puts NaN before all other numbers and equal to itself.
func compareNumbers(a, b any) int {
	switch an, bn := isNaN(a), isNaN(b); {
	case an && bn:
		return 0
	case an:
		return -1
	case bn:
		return 1
	}
	ai, aInt := asInt64(a)
	bi, bInt := asInt64(b)
	if aInt && bInt {
		return cmp.Compare(ai, bi)
	}
	af, aFloat := a.(float64)
	bf, bFloat := b.(float64)
	if aFloat && bFloat {
		return cmp.Compare(af, bf)
	}
	if ac, bc := infinity(a), infinity(b); ac != 0 || bc != 0 {
		return cmp.Compare(ac, bc)
	}
	return exact(a).Cmp(exact(b))
}

// asInt64 is the value of an integer type; a double is none, even 1.0.
func asInt64(v any) (int64, bool) {
	switch v := v.(type) {
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

// integral is the value of any number that is whole and fits 64 bits.
func integral(v any) (int64, bool) {
	if n, ok := asInt64(v); ok {
		return n, true
	}
	if !isNumber(v) || isNaN(v) || infinity(v) != 0 {
		return 0, false
	}
	r := exact(v)
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// truncated is a number as 64 bits: without its fraction, and at most the
// limits of an int64. NaN is 0.
func truncated(v any) int64 {
	if n, ok := asInt64(v); ok {
		return n
	}
	if isNaN(v) {
		return 0
	}
	switch {
	case compareNumbers(v, int64(math.MaxInt64)) >= 0:
		return math.MaxInt64
	case compareNumbers(v, int64(math.MinInt64)) <= 0:
		return math.MinInt64
	}
	r := exact(v)
	return new(big.Int).Quo(r.Num(), r.Denom()).Int64()
}

func infinity(v any) int {
	switch v := v.(type) {
	case float64:
		switch {
		case math.IsInf(v, 1):
			return 1
		case math.IsInf(v, -1):
			return -1
		}
	case bson.Decimal128:
		return v.IsInf()
	}
	return 0
}

// exact is a finite number without rounding: 64-bit integers and doubles
// cannot hold each other's values.
func exact(v any) *big.Rat {
	switch v := v.(type) {
	case int32:
		return new(big.Rat).SetInt64(int64(v))
	case int64:
		return new(big.Rat).SetInt64(v)
	case float64:
		return new(big.Rat).SetFloat64(v)
	case bson.Decimal128:
		mantissa, exp, err := v.BigInt()
		if err != nil {
			return new(big.Rat)
		}
		power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exp, -exp))), nil)
		if exp < 0 {
			return new(big.Rat).SetFrac(mantissa, power)
		}
		return new(big.Rat).SetInt(mantissa.Mul(mantissa, power))
	}
	panic("mongotest: not a number")
}

// indexKey is a text that two values share if and only if compare finds them
// equal.
func indexKey(v any) string {
	return string(appendIndexKey(nil, v))
}

func appendIndexKey(dst []byte, v any) []byte {
	dst = strconv.AppendInt(dst, int64(rank(v)), 10)
	dst = append(dst, ':')
	switch v := v.(type) {
	case int32, int64, float64, bson.Decimal128:
		return appendNumberKey(dst, v)
	case string, bson.Symbol:
		return appendText(dst, text(v))
	case bson.D:
		for i := range v {
			dst = append(dst, '{')
			dst = appendText(dst, v[i].Key)
			dst = appendIndexKey(dst, v[i].Value)
		}
		return append(dst, '}')
	case bson.A:
		for i := range v {
			dst = append(dst, '[')
			dst = appendIndexKey(dst, v[i])
		}
		return append(dst, ']')
	case bson.Binary:
		dst = append(dst, v.Subtype)
		return appendText(dst, string(v.Data))
	case bson.ObjectID:
		return append(dst, v[:]...)
	case bool:
		return strconv.AppendBool(dst, v)
	case bson.DateTime:
		return strconv.AppendInt(dst, int64(v), 10)
	case bson.Timestamp:
		return strconv.AppendUint(dst, uint64(v.T)<<32|uint64(v.I), 10)
	case bson.Regex:
		return appendText(appendText(dst, v.Pattern), v.Options)
	case bson.DBPointer:
		return append(appendText(dst, v.DB), v.Pointer[:]...)
	case bson.JavaScript:
		return appendText(dst, string(v))
	case bson.CodeWithScope:
		scope, _ := v.Scope.(bson.D)
		return appendIndexKey(appendText(dst, string(v.Code)), scope)
	}
	return dst
}

// appendText leads with the length, so that no text can run into its
// neighbour.
func appendText(dst []byte, s string) []byte {
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, ':')
	return append(dst, s...)
}

func appendNumberKey(dst []byte, v any) []byte {
	if isNaN(v) {
		return append(dst, "nan"...)
	}
	if sign := infinity(v); sign != 0 {
		return strconv.AppendInt(append(dst, "inf"...), int64(sign), 10)
	}
	if n, ok := asInt64(v); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	return append(dst, exact(v).RatString()...)
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
