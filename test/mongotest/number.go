package mongotest

import (
	"cmp"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
)

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

// calculate keeps the wider type of the two; two int32 become an int64 where
// the result needs it. It returns nil where an int64 does not suffice.
func calculate(op string, a, b any) (any, error) {
	if _, ok := a.(bson.Decimal128); ok {
		return nil, unsupported(op + " with a decimal")
	}
	if _, ok := b.(bson.Decimal128); ok {
		return nil, unsupported(op + " with a decimal")
	}
	x, xInt := asInt64(a)
	y, yInt := asInt64(b)
	if !xInt || !yInt {
		f, g := asFloat64(a), asFloat64(b)
		if op == "$inc" {
			return f + g, nil
		}
		return f * g, nil
	}
	var n int64
	if op == "$inc" {
		n = x + y
		if (n > x) != (y > 0) && y != 0 {
			return nil, nil
		}
	} else {
		n = x * y
		if x != 0 && (n/x != y || (x == -1 && y == math.MinInt64)) {
			return nil, nil
		}
	}
	_, a32 := a.(int32)
	_, b32 := b.(int32)
	if a32 && b32 && n >= math.MinInt32 && n <= math.MaxInt32 {
		return int32(n), nil
	}
	return n, nil
}

func asFloat64(v any) float64 {
	switch v := v.(type) {
	case int32:
		return float64(v)
	case int64:
		return float64(v)
	}
	return v.(float64)
}
