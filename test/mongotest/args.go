package mongotest

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// args reads the fields of a command or of one statement in it. Each accessor
// takes its field out and remembers the first fault; end reports that fault,
// or else any field that nobody took.
type args struct {
	command string
	rest    bson.D
	err     error
}

func newArgs(command string, d bson.D) *args {
	return &args{command: command, rest: append(bson.D(nil), d...)}
}

func (a *args) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

func (a *args) take(name string) (any, bool) {
	i := position(a.rest, name)
	if i < 0 {
		return nil, false
	}
	v := a.rest[i].Value
	a.rest = append(a.rest[:i], a.rest[i+1:]...)
	if position(a.rest, name) >= 0 {
		a.fail(failf(codeDuplicateField, "BSON field '%s.%s' is a duplicate field", a.command, name))
	}
	return v, true
}

func (a *args) wrongType(name string, v any, want string) {
	a.fail(failf(codeTypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type '%s'", a.command, name, typeName(v), want))
}

func (a *args) missing(name string) {
	a.fail(failf(codeMissingField, "BSON field '%s.%s' is missing but a required field", a.command, name))
}

// document is nil when the field is not there. MongoDB takes null for absent.
func (a *args) document(name string) bson.D {
	v, _ := a.take(name)
	if v == nil {
		return nil
	}
	d, ok := v.(bson.D)
	if !ok {
		a.wrongType(name, v, "object")
	}
	return d
}

func (a *args) array(name string) bson.A {
	v, _ := a.take(name)
	if v == nil {
		return nil
	}
	list, ok := v.(bson.A)
	if !ok {
		a.wrongType(name, v, "array")
	}
	return list
}

// documents is a required array of documents.
func (a *args) documents(name string) []bson.D {
	list := a.array(name)
	if list == nil {
		a.missing(name)
	}
	docs := make([]bson.D, 0, len(list))
	for _, v := range list {
		d, ok := v.(bson.D)
		if !ok {
			a.wrongType(name, v, "object")
			return nil
		}
		docs = append(docs, d)
	}
	return docs
}

// required is a text that has to be there.
func (a *args) required(name string) string {
	if position(a.rest, name) < 0 {
		a.missing(name)
	}
	return a.text(name)
}

func (a *args) text(name string) string {
	v, _ := a.take(name)
	if v == nil {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		a.wrongType(name, v, "string")
	}
	return s
}

// flag takes numbers too: 0 is false.
func (a *args) flag(name string, absent bool) bool {
	v, _ := a.take(name)
	switch v := v.(type) {
	case nil:
		return absent
	case bool:
		return v
	}
	if !isNumber(v) {
		a.wrongType(name, v, "bool")
		return absent
	}
	return truthy(v)
}

// integer takes any number that is at least lowest; a fraction is cut off.
func (a *args) integer(name string, absent, lowest int64) int64 {
	v, _ := a.take(name)
	if v == nil {
		return absent
	}
	if !isNumber(v) {
		a.wrongType(name, v, "long")
		return absent
	}
	n := truncated(v)
	if n < lowest {
		a.fail(failf(51024, "BSON field '%s' value must be >= %d, actual value '%d'", name, lowest, n))
	}
	return n
}

// ignore takes fields that cannot change what this server answers.
func (a *args) ignore(names ...string) {
	for _, n := range names {
		a.take(n)
	}
}

// refuse takes fields that MongoDB knows and this server does not.
func (a *args) refuse(names ...string) {
	for _, n := range names {
		if _, ok := a.take(n); ok {
			a.fail(unsupported("option " + n + " of " + a.command))
		}
	}
}

func (a *args) end() error {
	if a.err == nil && len(a.rest) > 0 {
		a.fail(failf(codeUnknownField, "BSON field '%s.%s' is an unknown field.", a.command, a.rest[0].Key))
	}
	return a.err
}

// collection takes the command's own field, which names a collection.
func (a *args) collection(db string) namespace {
	v, _ := a.take(a.command)
	name, ok := v.(string)
	if !ok {
		a.fail(failf(codeInvalidNamespace, "collection name has invalid type %s", typeName(v)))
	}
	return a.named(db, name)
}

func (a *args) named(db, name string) namespace {
	if name == "" || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.ContainsAny(name, "$\x00") {
		a.fail(failf(codeInvalidNamespace, "Invalid namespace specified '%s.%s'", db, name))
	}
	return namespace{db, name}
}

// truthy is MongoDB's idea of a true value.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil, bson.Null, bson.Undefined:
		return false
	case bool:
		return v
	case int32, int64, float64, bson.Decimal128:
		return compareNumbers(v, int32(0)) != 0
	}
	return true
}
