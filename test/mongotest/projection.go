package mongotest

import (
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// projection is a parsed projection document; the zero value keeps all.
type projection struct {
	kind   projectionKind
	dropID bool
	keepID bool
	fields *fieldTree // nil: nothing named
	extras []extra
}

// projectionKind is 0 as long as no field has decided it.
type projectionKind int

const (
	inclusion projectionKind = iota + 1
	exclusion
)

// fieldTree holds the named paths; a node without children is a whole field.
type fieldTree struct{ children map[string]*fieldTree }

// extra is $slice or $elemMatch on one path.
type extra struct {
	path []string
	// slice is nil for $elemMatch.
	slice func(bson.A) bson.A
	match func(any) bool
}

func parseProjection(d bson.D) (*projection, error) {
	p := &projection{}
	for _, e := range d {
		if err := checkProjectionPath(e.Key); err != nil {
			return nil, err
		}
		if ops, ok := e.Value.(bson.D); ok {
			if err := p.addOperator(e.Key, ops); err != nil {
				return nil, err
			}
			continue
		}
		if rank(e.Value) != 10 && rank(e.Value) != 40 {
			return nil, unsupported("a projection that computes a field: " + e.Key)
		}
		on := truthy(e.Value)
		if e.Key == "_id" {
			p.keepID, p.dropID = on, !on
			continue
		}
		if err := p.setKind(on, e.Key); err != nil {
			return nil, err
		}
		if err := p.add(e.Key); err != nil {
			return nil, err
		}
	}
	if p.kind == 0 && p.keepID {
		p.kind = inclusion // {_id: 1} alone
	}
	return p, nil
}

// setKind refuses a mix: all fields but _id are either kept or dropped.
func (p *projection) setKind(keep bool, path string) error {
	kind := exclusion
	if keep {
		kind = inclusion
	}
	switch {
	case p.kind == 0 || p.kind == kind:
		p.kind = kind
		return nil
	case keep:
		return failf(31253, "Cannot do inclusion on field %s in exclusion projection", path)
	}
	return failf(31254, "Cannot do exclusion on field %s in inclusion projection", path)
}

func checkProjectionPath(path string) error {
	if path == "" {
		return failf(40352, "FieldPath cannot be constructed with empty string")
	}
	if strings.HasSuffix(path, ".") {
		return failf(40353, "FieldPath must not end with a '.': '%s'", path)
	}
	for _, part := range splitPath(path) {
		switch {
		case part == "":
			return failf(15998, "FieldPath field names may not be empty strings: '%s'", path)
		case part == "$":
			return unsupported("the positional operator in a projection")
		case strings.HasPrefix(part, "$"):
			return failf(16410, "FieldPath field names may not start with '$': '%s'", path)
		}
	}
	return nil
}

func (p *projection) add(path string) error {
	if p.fields == nil {
		p.fields = &fieldTree{}
	}
	node := p.fields
	parts := splitPath(path)
	for i, part := range parts {
		if node.children == nil {
			if i > 0 {
				return failf(31249, "Path collision at %s", path)
			}
			node.children = make(map[string]*fieldTree)
		}
		next := node.children[part]
		switch {
		case next == nil:
			next = &fieldTree{}
			if i < len(parts)-1 {
				next.children = make(map[string]*fieldTree)
			}
			node.children[part] = next
		case i == len(parts)-1:
			return failf(31250, "Path collision at %s", path)
		}
		node = next
	}
	return nil
}

func (p *projection) addOperator(path string, ops bson.D) error {
	if len(ops) != 1 {
		return unsupported("a nested projection of " + path)
	}
	x := extra{path: splitPath(path)}
	switch arg := ops[0].Value; ops[0].Key {
	case "$slice":
		var err error
		if x.slice, err = parseSlice(arg); err != nil {
			return err
		}
	case "$elemMatch":
		query, ok := arg.(bson.D)
		if !ok {
			return failf(31274, "elemMatch: Invalid argument, object required, but got %s", typeName(arg))
		}
		if len(x.path) > 1 {
			return failf(31275, "Cannot use $elemMatch projection on a nested field: %s", path)
		}
		var err error
		if x.match, err = elementTest(query); err != nil {
			return err
		}
		// It includes its field.
		if err := p.setKind(true, path); err != nil {
			return err
		}
	default:
		if !strings.HasPrefix(ops[0].Key, "$") {
			return unsupported("a nested projection of " + path)
		}
		return unsupported("projection operator " + ops[0].Key)
	}
	p.extras = append(p.extras, x)
	return nil
}

// parseSlice reads n, or [skip, n].
func parseSlice(arg any) (func(bson.A) bson.A, error) {
	list, isPair := arg.(bson.A)
	if !isPair {
		n, ok := integral(arg)
		if !ok {
			return nil, failf(28667, "Invalid $slice syntax: the argument must be a whole number or an array of two")
		}
		if n < 0 {
			return func(a bson.A) bson.A { return a[len(a)-int(min(-max(n, -math.MaxInt64), int64(len(a)))):] }, nil
		}
		return func(a bson.A) bson.A { return window(a, 0, n)[:min(n, int64(len(a)))] }, nil
	}
	if len(list) != 2 {
		return nil, failf(28667, "Invalid $slice syntax: the array must be [skip, limit]")
	}
	skip, ok1 := integral(list[0])
	n, ok2 := integral(list[1])
	if !ok1 || !ok2 || n <= 0 {
		return nil, failf(28724, "Invalid $slice syntax: [skip, limit] must be whole numbers, limit above 0")
	}
	return func(a bson.A) bson.A {
		from := skip
		if from < 0 {
			from = max(0, int64(len(a))+max(from, -math.MaxInt32))
		}
		return window(a, from, n)
	}, nil
}

func (p *projection) apply(d bson.D) bson.D {
	out := make(bson.D, 0, len(d))
	for _, e := range d {
		v, keep := p.field(e)
		if keep {
			out = append(out, bson.E{Key: e.Key, Value: v})
		}
	}
	return out
}

func (p *projection) field(e bson.E) (any, bool) {
	if e.Key == "_id" && p.named("_id") == nil {
		return e.Value, !p.dropID
	}
	v, keep := e.Value, p.kind != inclusion
	if node := p.named(e.Key); node != nil {
		v, keep = p.project(v, node)
	}
	for _, x := range p.extras {
		if x.path[0] != e.Key {
			continue
		}
		if x.match != nil {
			return x.elementOf(e.Value)
		}
		if !keep {
			v, keep = e.Value, true // $slice brings its field back in
		}
		v = sliceAt(v, x.path[1:], x.slice)
	}
	return v, keep
}

func (p *projection) named(key string) *fieldTree {
	if p.fields == nil {
		return nil
	}
	return p.fields.children[key]
}

// project keeps or drops the named parts of a value; of an array, those of
// its documents.
func (p *projection) project(v any, node *fieldTree) (any, bool) {
	if node.children == nil {
		return v, p.kind == inclusion
	}
	switch v := v.(type) {
	case bson.D:
		out := make(bson.D, 0, len(v))
		for _, e := range v {
			child := node.children[e.Key]
			if child == nil {
				if p.kind != inclusion {
					out = append(out, e)
				}
				continue
			}
			if x, keep := p.project(e.Value, child); keep {
				out = append(out, bson.E{Key: e.Key, Value: x})
			}
		}
		return out, true
	case bson.A:
		out := make(bson.A, 0, len(v))
		for _, elem := range v {
			if x, keep := p.project(elem, node); keep {
				out = append(out, x)
			}
		}
		return out, true
	}
	return v, p.kind != inclusion
}

// elementOf keeps the first matching element, or no field at all.
func (x extra) elementOf(v any) (any, bool) {
	array, _ := v.(bson.A)
	for _, elem := range array {
		if x.match(elem) {
			return bson.A{elem}, true
		}
	}
	return nil, false
}

func sliceAt(v any, path []string, slice func(bson.A) bson.A) any {
	switch v := v.(type) {
	case bson.A:
		if len(path) == 0 {
			return slice(v)
		}
		out := make(bson.A, len(v))
		for i := range v {
			out[i] = v[i]
			if _, ok := v[i].(bson.D); ok {
				out[i] = sliceAt(v[i], path, slice)
			}
		}
		return out
	case bson.D:
		if len(path) == 0 {
			return v
		}
		out := make(bson.D, len(v))
		for i, e := range v {
			if e.Key == path[0] {
				e.Value = sliceAt(e.Value, path[1:], slice)
			}
			out[i] = e
		}
		return out
	}
	return v
}
