package mongotest

import (
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// push is $push with its clauses, applied in MongoDB's order: add at the
// position, sort, cut.
type push struct {
	values   bson.A
	position int64
	slice    *int64
	less     func(a, b any) int
}

func newPush(arg any) (modifier, error) {
	p := push{values: bson.A{arg}, position: math.MaxInt64}
	clauses, ok := arg.(bson.D)
	if !ok {
		return p, nil
	}
	each, ok := lookup(clauses, "$each")
	if !ok {
		return p, nil
	}
	if p.values, ok = each.(bson.A); !ok {
		return nil, failf(codeBadValue, "The argument to $each in $push must be an array but it was of type: %s", typeName(each))
	}
	for _, c := range clauses {
		switch c.Key {
		case "$each":
		case "$slice":
			n, ok := integral(c.Value)
			if !ok {
				return nil, failf(codeBadValue, "The value for $slice must be an integer value but was given type: %s", typeName(c.Value))
			}
			p.slice = &n
		case "$position":
			n, ok := integral(c.Value)
			if !ok {
				return nil, failf(codeBadValue, "The value for $position must be an integer value, not of type: %s", typeName(c.Value))
			}
			p.position = n
		case "$sort":
			var err error
			if p.less, err = pushOrder(c.Value); err != nil {
				return nil, err
			}
		default:
			return nil, failf(codeBadValue, "Unrecognized clause in $push: %s", c.Key)
		}
	}
	return p, nil
}

// pushOrder reads $sort: 1 or -1 for whole elements, or a document for fields
// of elements.
func pushOrder(v any) (func(a, b any) int, error) {
	if d, ok := v.(bson.D); ok {
		order, err := parseSort(d)
		if err != nil || len(d) == 0 {
			return nil, failf(codeBadValue, "The $sort pattern must be a set of fields, each with 1 or -1")
		}
		return func(a, b any) int {
			x, _ := asDocument(a)
			y, _ := asDocument(b)
			return order.compare(x, y)
		}, nil
	}
	sign, ok := direction(v)
	if !ok {
		return nil, failf(codeBadValue, "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort embedded fields")
	}
	return func(a, b any) int { return sign * compare(a, b) }, nil
}

func (p push) change(old any, at changeContext) (any, error) {
	array, ok := old.(bson.A)
	if !ok {
		return nil, failf(codeBadValue, "The field '%s' must be an array but is of type %s", at.path, typeName(old))
	}
	return p.onto(array), nil
}

// touches tells whether MongoDB counts the push as a change.
func (p push) touches(old any) bool {
	array, _ := old.(bson.A)
	n := int64(len(array) + len(p.values))
	return len(p.values) > 0 || p.less != nil || (p.slice != nil && *p.slice < n && -*p.slice < n)
}

func (p push) create(changeContext) (any, bool, error) { return p.onto(bson.A{}), true, nil }

func (p push) onto(array bson.A) bson.A {
	n := int64(len(array))
	i := p.position
	switch {
	case i > n:
		i = n
	case i < 0 && i > -n:
		i += n
	case i < 0:
		i = 0
	}
	out := make(bson.A, 0, len(array)+len(p.values))
	out = append(out, array[:i]...)
	out = append(out, p.values...)
	out = append(out, array[i:]...)
	if p.less != nil {
		slices.SortStableFunc(out, p.less)
	}
	if p.slice == nil {
		return out
	}
	switch cut, n := *p.slice, int64(len(out)); {
	case cut >= 0 && cut < n:
		out = out[:cut]
	case cut < 0 && cut > -n:
		out = out[n+cut:]
	}
	return out
}

type addToSet struct{ values bson.A }

func newAddToSet(arg any) (modifier, error) {
	d, ok := arg.(bson.D)
	if !ok || len(d) == 0 || d[0].Key != "$each" {
		return addToSet{bson.A{arg}}, nil
	}
	values, ok := d[0].Value.(bson.A)
	if !ok {
		return nil, failf(codeTypeMismatch, "The argument to $each in $addToSet must be an array but it was of type %s", typeName(d[0].Value))
	}
	if len(d) > 1 {
		return nil, failf(codeBadValue, "Found unexpected fields after $each in $addToSet: %s", d[1].Key)
	}
	return addToSet{values}, nil
}

func (m addToSet) change(old any, at changeContext) (any, error) {
	array, ok := old.(bson.A)
	if !ok {
		return nil, failf(codeBadValue, "Cannot apply $addToSet to non-array field. Field named '%s' has non-array type %s", at.path, typeName(old))
	}
	return m.onto(array), nil
}

func (m addToSet) create(changeContext) (any, bool, error) { return m.onto(bson.A{}), true, nil }

func (m addToSet) onto(array bson.A) bson.A {
	out := slices.Clip(array) // an append must copy: the old document shares it
	for _, v := range m.values {
		if !slices.ContainsFunc(out, func(x any) bool { return compare(x, v) == 0 }) {
			out = append(out, v)
		}
	}
	return out
}

type pull struct{ matches func(any) bool }

func newPull(arg any) (modifier, error) {
	switch v := arg.(type) {
	case bson.Regex:
		test, err := regexTest(v.Pattern, v.Options)
		return pull{test}, err
	case bson.D:
		test, err := pullTest(v)
		return pull{test}, err
	}
	return pull{func(x any) bool { return compare(x, arg) == 0 }}, nil
}

// pullTest is elementTest, but for elements that are no documents: a condition
// on fields never fits those.
func pullTest(query bson.D) (func(any) bool, error) {
	test, err := elementTest(query)
	if err != nil || isOperators(query) {
		return test, err
	}
	return func(elem any) bool {
		_, ok := elem.(bson.D)
		return ok && test(elem)
	}, nil
}

func (m pull) change(old any, at changeContext) (any, error) {
	array, ok := old.(bson.A)
	if !ok {
		return nil, failf(codeBadValue, "Cannot apply $pull to a non-array value. The field '%s' is of type %s", at.path, typeName(old))
	}
	return slices.DeleteFunc(slices.Clone(array), m.matches), nil
}

func (pull) create(changeContext) (any, bool, error) { return nil, false, nil }

type pop struct{ first bool }

func newPop(path string, arg any) (modifier, error) {
	sign, ok := direction(arg)
	if !ok {
		return nil, failf(codeFailedToParse, "$pop expects 1 or -1, found: %v for %s", arg, path)
	}
	return pop{first: sign < 0}, nil
}

func (m pop) change(old any, at changeContext) (any, error) {
	array, ok := old.(bson.A)
	switch {
	case !ok:
		return nil, failf(codeTypeMismatch, "Path '%s' contains an element of non-array type '%s'", at.path, typeName(old))
	case len(array) == 0:
		return array, nil
	case m.first:
		return array[1:], nil
	}
	return array[:len(array)-1], nil
}

func (pop) create(changeContext) (any, bool, error) { return nil, false, nil }

// direction reads the number 1 or -1, of whatever type.
func direction(v any) (int, bool) {
	n, ok := integral(v)
	return int(n), ok && (n == 1 || n == -1)
}
