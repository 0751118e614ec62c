package mongotest

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

const (
	// maxDocumentSize is maxBsonObjectSize, 16 MiB, MongoDB's limit for a
	// document that a user stores.
	maxDocumentSize = 16 << 20
	// maxInternalSize is MongoDB's limit for any document in a message: 16 KiB
	// more, so that a command can carry a document of the full size.
	maxInternalSize = maxDocumentSize + 16<<10
	// maxDepth is MongoDB's default limit for nested documents and arrays in a
	// message (its parameter maxBSONDepth), maxStoredDepth that for a document
	// at rest.
	maxDepth       = 200
	maxStoredDepth = maxDepth - 20
)

// decode reads one BSON document into values that are never changed
// afterwards: documents are bson.D, arrays bson.A, null is nil.
//
// Depth is checked before anything else, because validation and decoding are
// recursive and a message can nest millions of levels.
func decode(raw []byte) (bson.D, error) {
	if len(raw) > maxInternalSize {
		return nil, failf(codeObjectTooLarge, "BSON document of %d bytes; at most %d are allowed", len(raw), maxInternalSize)
	}
	if err := checkDepth(raw, 1); err != nil {
		return nil, err
	}
	if err := bsoncore.Document(raw).Validate(); err != nil {
		return nil, failf(codeInvalidBSON, "invalid BSON: %v", err)
	}
	var d bson.D
	if err := bson.Unmarshal(raw, &d); err != nil {
		return nil, failf(codeInvalidBSON, "invalid BSON: %v", err)
	}
	if d == nil {
		d = bson.D{}
	}
	return d, nil
}

func checkDepth(raw []byte, depth int) error {
	if depth > maxDepth {
		return failf(codeOverflow, "document is nested deeper than %d levels", maxDepth)
	}
	length, rest, ok := bsoncore.ReadLength(raw)
	if !ok || int(length) != len(raw) || length < 5 {
		return failf(codeInvalidBSON, "invalid BSON: document length %d in %d bytes", length, len(raw))
	}
	for len(rest) > 1 {
		elem, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			return failf(codeInvalidBSON, "invalid BSON: element at byte %d is cut short", len(raw)-len(rest))
		}
		rest = after
		v, err := elem.ValueErr()
		if err != nil {
			return failf(codeInvalidBSON, "invalid BSON: %v", err)
		}
		var nested []byte
		switch v.Type {
		case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
			nested = v.Data
		case bsoncore.TypeCodeWithScope:
			_, scope, ok := v.CodeWithScopeOK()
			if !ok {
				return failf(codeInvalidBSON, "invalid BSON: code with scope is cut short")
			}
			nested = scope
		default:
			continue
		}
		if err := checkDepth(nested, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// lookup returns the first field of that name.
func lookup(d bson.D, name string) (any, bool) {
	for i := range d {
		if d[i].Key == name {
			return d[i].Value, true
		}
	}
	return nil, false
}

func position(d bson.D, name string) int {
	for i := range d {
		if d[i].Key == name {
			return i
		}
	}
	return -1
}

// size is the number of bytes that the document takes as BSON, without
// encoding it: an update of a large document is checked on every write.
func size(d bson.D) int {
	n := 5
	for i := range d {
		n += 2 + len(d[i].Key) + valueSize(d[i].Value)
	}
	return n
}

func arraySize(a bson.A) int {
	n := 5
	digits, next := 1, 10
	for i, v := range a {
		if i == next {
			digits, next = digits+1, next*10
		}
		n += 2 + digits + valueSize(v)
	}
	return n
}

func valueSize(v any) int {
	switch v := v.(type) {
	case nil, bson.Null, bson.Undefined, bson.MinKey, bson.MaxKey:
		return 0
	case bool:
		return 1
	case int32:
		return 4
	case int64, float64, bson.DateTime, bson.Timestamp:
		return 8
	case bson.ObjectID:
		return 12
	case bson.Decimal128:
		return 16
	case string:
		return 5 + len(v)
	case bson.Symbol:
		return 5 + len(v)
	case bson.JavaScript:
		return 5 + len(v)
	case bson.Binary:
		if v.Subtype == bson.TypeBinaryBinaryOld {
			return 9 + len(v.Data)
		}
		return 5 + len(v.Data)
	case bson.Regex:
		return 2 + len(v.Pattern) + len(v.Options)
	case bson.DBPointer:
		return 17 + len(v.DB)
	case bson.CodeWithScope:
		scope, _ := v.Scope.(bson.D)
		return 9 + len(v.Code) + size(scope)
	case bson.D:
		return size(v)
	case bson.A:
		return arraySize(v)
	}
	panic("mongotest: a value that no BSON decodes to")
}

// depth is how many levels of documents and arrays a value has.
func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case bson.D:
		for i := range v {
			deepest = max(deepest, depth(v[i].Value))
		}
		return deepest + 1
	case bson.A:
		for i := range v {
			deepest = max(deepest, depth(v[i]))
		}
		return deepest + 1
	}
	return 0
}
