package mongotest

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func knownModifier(op string) bool {
	switch op {
	case "$set", "$setOnInsert", "$unset", "$inc", "$mul", "$min", "$max", "$push", "$addToSet",
		"$pull", "$pop", "$currentDate", "$rename":
		return true
	}
	return false
}

func newModifier(op, path string, arg any) (modifier, error) {
	switch op {
	case "$set":
		return set{arg}, nil
	case "$setOnInsert":
		return setOnInsert{arg}, nil
	case "$unset":
		return unset{}, nil
	case "$inc", "$mul":
		if !isNumber(arg) {
			return nil, failf(codeTypeMismatch, "Cannot apply %s with non-numeric argument: {%s: %v}", op, path, arg)
		}
		return arithmetic{op, arg}, nil
	case "$min":
		return extreme{arg, -1}, nil
	case "$max":
		return extreme{arg, 1}, nil
	case "$push":
		return newPush(arg)
	case "$addToSet":
		return newAddToSet(arg)
	case "$pull":
		return newPull(arg)
	case "$pop":
		return newPop(path, arg)
	case "$currentDate":
		return newCurrentDate(arg)
	}
	return newRename(path, arg)
}

type set struct{ value any }

func (m set) change(any, changeContext) (any, error)        { return m.value, nil }
func (m set) create(changeContext) (any, bool, error)       { return m.value, true, nil }
func (unset) change(any, changeContext) (any, error)        { return missing, nil }
func (unset) create(changeContext) (any, bool, error)       { return nil, false, nil }
func (rename) change(old any, _ changeContext) (any, error) { return old, nil }
func (rename) create(changeContext) (any, bool, error)      { return nil, false, nil }

type unset struct{}

type setOnInsert struct{ value any }

func (m setOnInsert) change(old any, at changeContext) (any, error) {
	if at.upsert {
		return m.value, nil
	}
	return old, nil
}

func (m setOnInsert) create(at changeContext) (any, bool, error) {
	return m.value, at.upsert, nil
}

// rename is carried out by updater.rename: it needs the whole document.
type rename struct{ from, to string }

func newRename(path string, arg any) (modifier, error) {
	to, ok := arg.(string)
	if !ok {
		return nil, failf(codeBadValue, "The 'to' field for $rename must be a string: %s: %v", path, arg)
	}
	if overlaps(path, to) {
		return nil, failf(codeBadValue, "The source and target field for $rename must not be on the same path: %s", path)
	}
	return rename{path, to}, nil
}

func overlaps(a, b string) bool {
	return a == b || strings.HasPrefix(b, a+".") || strings.HasPrefix(a, b+".")
}

// extreme is $min and $max, in BSON's order over all types.
type extreme struct {
	value any
	sign  int
}

func (m extreme) change(old any, _ changeContext) (any, error) {
	if compare(m.value, old)*m.sign > 0 {
		return m.value, nil
	}
	return old, nil
}

func (m extreme) create(changeContext) (any, bool, error) { return m.value, true, nil }

type currentDate struct{ timestamp bool }

func newCurrentDate(arg any) (modifier, error) {
	switch v := arg.(type) {
	case bool:
		return currentDate{}, nil
	case bson.D:
		for _, e := range v {
			if e.Key != "$type" {
				return nil, failf(codeBadValue, "Unrecognized $currentDate option: %s", e.Key)
			}
			switch e.Value {
			case "date":
				return currentDate{}, nil
			case "timestamp":
				return currentDate{timestamp: true}, nil
			}
		}
	default:
		return nil, failf(codeBadValue, "%s is not valid type for $currentDate; use true or a $type expression", typeName(arg))
	}
	return nil, failf(codeBadValue, "The '$type' string field is required to be 'date' or 'timestamp'")
}

func (m currentDate) value(at changeContext) any {
	if m.timestamp {
		return bson.Timestamp{T: uint32(at.now.Unix()), I: 1}
	}
	return bson.NewDateTimeFromTime(at.now)
}

func (m currentDate) change(_ any, at changeContext) (any, error) { return m.value(at), nil }

func (m currentDate) create(at changeContext) (any, bool, error) { return m.value(at), true, nil }

// arithmetic is $inc and $mul.
type arithmetic struct {
	op  string
	arg any
}

func (m arithmetic) change(old any, at changeContext) (any, error) {
	if !isNumber(old) {
		return nil, failf(codeTypeMismatch, "Cannot apply %s to a value of non-numeric type. The field '%s' is of type %s", m.op, at.path, typeName(old))
	}
	v, err := calculate(m.op, old, m.arg)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, failf(codeBadValue, "Failed to apply %s operations to current value (%v) of field '%s': the result does not fit 64 bits", m.op, old, at.path)
	}
	return v, nil
}

// create multiplies a missing field as zero of the argument's type.
func (m arithmetic) create(changeContext) (any, bool, error) {
	if m.op == "$inc" {
		return m.arg, true, nil
	}
	v, err := calculate(m.op, int32(0), m.arg)
	return v, true, err
}
