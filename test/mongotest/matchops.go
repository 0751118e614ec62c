package mongotest

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// parseOperator reads one operator on a field. ops are all of that field:
// $regex finds its $options there.
func (f *filter) parseOperator(path, op string, v any, ops bson.D, certain bool) (predicate, error) {
	switch op {
	case "$eq":
		test, err := equalTo(v)
		if err == nil && certain {
			f.equalities = append(f.equalities, equality{path, v})
		}
		return f.anyAt(path, test), err
	case "$ne":
		if _, ok := v.(bson.Regex); ok {
			return nil, failf(codeBadValue, "Can't have regex as arg to $ne.")
		}
		test, err := equalTo(v)
		return not(f.anyAt(path, test)), err
	case "$gt", "$gte", "$lt", "$lte":
		test, err := ordered(op, path, v)
		return f.anyAt(path, test), err
	case "$in":
		return f.parseIn(path, op, v, certain)
	case "$nin":
		p, err := f.parseIn(path, op, v, false)
		return not(p), err
	case "$exists":
		p := f.anyAt(path, func(v any) bool { return v != missing })
		if truthy(v) {
			return p, nil
		}
		return not(p), nil
	case "$not":
		return f.parseNot(path, v)
	case "$elemMatch":
		return parseElemMatch(path, v)
	case "$size":
		n, ok := integral(v)
		if !isNumber(v) || !ok {
			return nil, failf(codeBadValue, "Failed to parse $size. Expected an integer: $size: %v", v)
		}
		if n < 0 {
			return nil, failf(codeBadValue, "Failed to parse $size. Expected a non-negative number in: $size: %v", v)
		}
		return arrayAt(path, func(a bson.A) bool { return int64(len(a)) == n }), nil
	case "$all":
		return f.parseAll(path, v, certain)
	case "$type":
		return f.parseType(path, v)
	case "$regex":
		return f.parseRegex(path, v, ops)
	case "$mod", "$bitsAllSet", "$bitsAnySet", "$bitsAllClear", "$bitsAnyClear", "$geoWithin", "$geoIntersects",
		"$near", "$nearSphere", "$within", "$geoNear", "$maxDistance", "$minDistance", "$comment":
		return nil, unsupported("query operator " + op)
	}
	return nil, failf(codeBadValue, "unknown operator: %s", op)
}

// equalTo is the test behind $eq. Null also matches a missing field.
func equalTo(v any) (func(any) bool, error) {
	switch v.(type) {
	case bson.Undefined:
		return nil, failf(codeBadValue, "cannot compare to undefined")
	case nil, bson.Null:
		return func(x any) bool { return x == missing || isNull(x) }, nil
	}
	return func(x any) bool { return x != missing && compare(x, v) == 0 }, nil
}

// ordered is the test behind $gt and the like, which only compare within one
// type (numbers being one).
func ordered(op, path string, v any) (func(any) bool, error) {
	switch v.(type) {
	case bson.Regex:
		return nil, failf(codeBadValue, "Can't have RegEx as arg to predicate over field '%s'.", path)
	case bson.Undefined:
		return nil, failf(codeBadValue, "cannot compare to undefined")
	case bson.MinKey, bson.MaxKey:
		return nil, unsupported(op + " with MinKey or MaxKey")
	}
	orEqual := op == "$gte" || op == "$lte"
	greater := op == "$gt" || op == "$gte"
	if isNull(v) {
		// Nothing is greater or less than null; a missing field equals it.
		return func(x any) bool { return orEqual && (x == missing || isNull(x)) }, nil
	}
	return func(x any) bool {
		if rank(x) != rank(v) {
			return false
		}
		c := compare(x, v)
		switch {
		case c == 0:
			return orEqual
		case isNaN(x) || isNaN(v): // NaN has no order
			return false
		}
		return (c > 0) == greater
	}, nil
}

func (f *filter) parseIn(path, op string, v any, certain bool) (predicate, error) {
	list, ok := v.(bson.A)
	if !ok {
		return nil, failf(codeBadValue, "%s needs an array", op)
	}
	var tests []func(any) bool
	for _, v := range list {
		var test func(any) bool
		var err error
		switch v := v.(type) {
		case bson.D:
			if isOperators(v) {
				return nil, failf(codeBadValue, "cannot nest $ under %s", op)
			}
			test, err = equalTo(v)
		case bson.Regex:
			test, err = regexTest(v.Pattern, v.Options)
		default:
			test, err = equalTo(v)
		}
		if err != nil {
			return nil, err
		}
		tests = append(tests, test)
	}
	if certain && len(list) == 1 {
		if _, isRegex := list[0].(bson.Regex); !isRegex {
			f.equalities = append(f.equalities, equality{path, list[0]})
		}
	}
	return f.anyAt(path, func(x any) bool {
		for _, test := range tests {
			if test(x) {
				return true
			}
		}
		return false
	}), nil
}

func (f *filter) parseNot(path string, v any) (predicate, error) {
	inner := &filter{leaf: f.leaf}
	switch v := v.(type) {
	case bson.Regex:
		p, err := inner.parseEquality(path, v, false)
		return not(p), err
	case bson.D:
		if len(v) == 0 {
			return nil, failf(codeBadValue, "$not cannot be empty")
		}
		p, err := inner.parseOperators(path, v, false)
		return not(p), err
	}
	return nil, failf(codeBadValue, "$not needs a regex or a document")
}

func parseElemMatch(path string, v any) (predicate, error) {
	query, ok := v.(bson.D)
	if !ok {
		return nil, failf(codeBadValue, "$elemMatch needs an Object")
	}
	test, err := elementTest(query)
	if err != nil {
		return nil, err
	}
	return arrayAt(path, func(a bson.A) bool {
		for _, elem := range a {
			if test(elem) {
				return true
			}
		}
		return false
	}), nil
}

// elementTest is a query on one array element: {$gt: 1} looks at the element
// itself, {b: 1} and {$or: …} at its fields.
func elementTest(query bson.D) (func(any) bool, error) {
	if isOperators(query) && !isLogical(query[0].Key) {
		return valueTest(query)
	}
	p, err := (&filter{}).parse(query, false)
	if err != nil {
		return nil, err
	}
	return func(elem any) bool {
		d, ok := asDocument(elem)
		return ok && p(d)
	}, nil
}

// valueTest puts the value into a document of its own and looks at it there.
func valueTest(query bson.D) (func(any) bool, error) {
	p, err := (&filter{leaf: itself}).parseOperators("v", query, false)
	if err != nil {
		return nil, err
	}
	return func(v any) bool { return p(bson.D{{Key: "v", Value: v}}) }, nil
}

func isLogical(op string) bool {
	switch op {
	case "$and", "$or", "$nor", "$where", "$expr", "$comment":
		return true
	}
	return false
}

// asDocument sees an array as the document of its indexes, which it is in BSON.
func asDocument(v any) (bson.D, bool) {
	switch v := v.(type) {
	case bson.D:
		return v, true
	case bson.A:
		d := make(bson.D, len(v))
		for i := range v {
			d[i] = bson.E{Key: indexName(i), Value: v[i]}
		}
		return d, true
	}
	return nil, false
}

// parseAll is an $and of equalities, or of $elemMatch conditions.
func (f *filter) parseAll(path string, v any, certain bool) (predicate, error) {
	list, ok := v.(bson.A)
	if !ok {
		return nil, failf(codeBadValue, "$all needs an array")
	}
	if len(list) == 0 {
		return func(bson.D) bool { return false }, nil
	}
	var all []predicate
	for _, v := range list {
		p, err := f.parseAllEntry(path, v, list[0], certain)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return allOf(all), nil
}

func (f *filter) parseAllEntry(path string, v, first any, certain bool) (predicate, error) {
	elemMatch := func(v any) (any, bool) {
		d, ok := v.(bson.D)
		if !ok || len(d) == 0 || d[0].Key != "$elemMatch" {
			return nil, false
		}
		return d[0].Value, true
	}
	if _, all := elemMatch(first); all {
		query, ok := elemMatch(v)
		if !ok {
			return nil, failf(codeBadValue, "$all/$elemMatch has to be consistent")
		}
		return parseElemMatch(path, query)
	}
	if d, ok := v.(bson.D); ok && isOperators(d) {
		return nil, failf(codeBadValue, "no $ expressions in $all")
	}
	return f.parseEquality(path, v, certain)
}

func (f *filter) parseType(path string, v any) (predicate, error) {
	list, ok := v.(bson.A)
	if !ok {
		list = bson.A{v}
	}
	if len(list) == 0 {
		return nil, failf(codeFailedToParse, "$type must match at least one type")
	}
	wanted := make(map[int64]bool)
	for _, v := range list {
		switch v := v.(type) {
		case string:
			if v == "number" {
				for _, n := range []int64{1, 16, 18, 19} {
					wanted[n] = true
				}
				continue
			}
			n, ok := typeAliases[v]
			if !ok {
				return nil, failf(codeBadValue, "Unknown type name alias: %s", v)
			}
			wanted[n] = true
		default:
			n, ok := integral(v)
			if !ok || (n != -1 && n != 127 && (n < 1 || n > 19)) {
				return nil, failf(codeBadValue, "Invalid numerical type code: %v", v)
			}
			wanted[n] = true
		}
	}
	return f.anyAt(path, func(x any) bool { return wanted[typeCode(x)] }), nil
}
