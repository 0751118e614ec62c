package mongotest

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// predicate tells whether a document matches.
type predicate func(bson.D) bool

// filter is a parsed query.
type filter struct {
	matches predicate
	// equalities are the fields that the query fixes to one value, in the
	// order of the query. An upsert begins with them.
	equalities []equality
	// leaf is itself where the query looks at one array element: {$gt: 1} in
	// $elemMatch does not go into an element that is an array.
	leaf arrayAtEnd
}

type equality struct {
	path  string
	value any
}

// id is the _id that the query asks for, where it asks for exactly one.
func (f *filter) id() (any, bool) {
	for _, e := range f.equalities {
		if e.path == "_id" {
			return e.value, true
		}
	}
	return nil, false
}

func parseFilter(query bson.D) (*filter, error) {
	f := &filter{}
	var err error
	f.matches, err = f.parse(query, true)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// parse reads a query document. certain: every matching document fulfils it,
// so its equalities count; below $or and the like they do not.
func (f *filter) parse(query bson.D, certain bool) (predicate, error) {
	var all []predicate
	for _, e := range query {
		var p predicate
		var err error
		switch {
		case e.Key == "$comment":
			continue
		case len(e.Key) > 0 && e.Key[0] == '$':
			p, err = f.parseLogical(e.Key, e.Value, certain)
		default:
			p, err = f.parseField(e.Key, e.Value, certain)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return allOf(all), nil
}

func allOf(list []predicate) predicate {
	if len(list) == 1 {
		return list[0]
	}
	return func(d bson.D) bool {
		for _, p := range list {
			if !p(d) {
				return false
			}
		}
		return true
	}
}

func anyOf(list []predicate) predicate {
	return func(d bson.D) bool {
		for _, p := range list {
			if p(d) {
				return true
			}
		}
		return false
	}
}

func not(p predicate) predicate {
	return func(d bson.D) bool { return !p(d) }
}

func (f *filter) parseLogical(op string, v any, certain bool) (predicate, error) {
	switch op {
	case "$and", "$or", "$nor":
	case "$expr", "$where", "$text", "$jsonSchema", "$sampleRate", "$alwaysTrue", "$alwaysFalse":
		return nil, unsupported("query operator " + op)
	default:
		return nil, failf(codeBadValue, "unknown top level operator: %s", op)
	}
	list, ok := v.(bson.A)
	if !ok {
		return nil, failf(codeBadValue, "%s must be an array", op)
	}
	if len(list) == 0 {
		return nil, failf(codeBadValue, "%s must not be an empty array", op)
	}
	var branches []predicate
	for _, v := range list {
		query, ok := v.(bson.D)
		if !ok {
			return nil, failf(codeBadValue, "the entries of %s must be documents", op)
		}
		one := op == "$and" || (op == "$or" && len(list) == 1)
		p, err := f.parse(query, certain && one)
		if err != nil {
			return nil, err
		}
		branches = append(branches, p)
	}
	switch op {
	case "$and":
		return allOf(branches), nil
	case "$or":
		return anyOf(branches), nil
	}
	return not(anyOf(branches)), nil
}

// parseField reads one field of a query: a document of operators, or a value
// to be equal to.
func (f *filter) parseField(path string, v any, certain bool) (predicate, error) {
	if ops, ok := v.(bson.D); ok && isOperators(ops) {
		return f.parseOperators(path, ops, certain)
	}
	return f.parseEquality(path, v, certain)
}

// isOperators tells {$gt: 1} from a plain document. A DBRef, whose fields
// begin with a dollar too, is a plain one.
func isOperators(d bson.D) bool {
	if len(d) == 0 || len(d[0].Key) == 0 || d[0].Key[0] != '$' {
		return false
	}
	_, ref := lookup(d, "$ref")
	_, id := lookup(d, "$id")
	return !ref || !id
}

func (f *filter) parseEquality(path string, v any, certain bool) (predicate, error) {
	if r, ok := v.(bson.Regex); ok {
		test, err := regexTest(r.Pattern, r.Options)
		return f.anyAt(path, test), err
	}
	test, err := equalTo(v)
	if err == nil && certain {
		f.equalities = append(f.equalities, equality{path, v})
	}
	return f.anyAt(path, test), err
}

func (f *filter) anyAt(path string, test func(any) bool) predicate {
	parts := splitPath(path)
	return func(d bson.D) bool { return anyValue(d, parts, f.leaf, test) }
}

func arrayAt(path string, test func(bson.A) bool) predicate {
	parts := splitPath(path)
	return func(d bson.D) bool {
		return anyValue(d, parts, itself, func(v any) bool {
			a, ok := v.(bson.A)
			return ok && test(a)
		})
	}
}

func (f *filter) parseOperators(path string, ops bson.D, certain bool) (predicate, error) {
	var all []predicate
	for _, e := range ops {
		if e.Key == "$options" {
			if _, ok := lookup(ops, "$regex"); !ok {
				return nil, failf(codeBadValue, "$options needs a $regex")
			}
			continue
		}
		p, err := f.parseOperator(path, e.Key, e.Value, ops, certain)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return allOf(all), nil
}
