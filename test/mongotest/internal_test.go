package mongotest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strconv"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// everyValue has each BSON type, and the values that are equal in several.
func everyValue(t testing.TB) []any {
	one, err := bson.ParseDecimal128("1.0")
	if err != nil {
		t.Fatal(err)
	}
	third, err := bson.ParseDecimal128("0.1")
	if err != nil {
		t.Fatal(err)
	}
	inf, err := bson.ParseDecimal128("-Infinity")
	if err != nil {
		t.Fatal(err)
	}
	return []any{
		nil, true, false, int32(1), int64(1), 1.0, one, int32(-1), math.NaN(), math.Inf(1), math.Inf(-1), inf, 0.1, third, 0.0, math.Copysign(0, -1),
		int64(math.MaxInt64), float64(math.MaxInt64), int64(1 << 53), float64(1 << 53), int64(1<<53 + 1),
		"", "a", "a\x00b", bson.Symbol("a"), bson.D{}, bson.D{{Key: "a", Value: int32(1)}}, bson.D{{Key: "a", Value: 1.0}},
		bson.D{{Key: "b", Value: int32(1)}}, bson.D{{Key: "a", Value: bson.A{}}}, bson.A{}, bson.A{int32(1)}, bson.A{1.0, nil}, bson.A{bson.A{}},
		bson.Binary{Data: []byte{1}}, bson.Binary{Subtype: 2, Data: []byte{1, 2}}, bson.Binary{Subtype: 4, Data: make([]byte, 16)},
		bson.ObjectID{}, bson.NewObjectID(), bson.DateTime(0), bson.DateTime(-5), bson.Timestamp{T: 1, I: 2}, bson.Regex{Pattern: "a", Options: "i"},
		bson.Undefined{}, bson.MinKey{}, bson.MaxKey{}, bson.JavaScript("x"), bson.DBPointer{DB: "d"},
		bson.CodeWithScope{Code: "x", Scope: bson.D{{Key: "a", Value: int32(1)}}},
	}
}

func TestSizeIsTheEncodedSize(t *testing.T) {
	list := bson.A{}
	for _, v := range everyValue(t) {
		list = append(list, v, v, v)
		raw, err := bson.Marshal(bson.D{{Key: "v", Value: v}, {Key: "list", Value: list}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := size(d); got != len(raw) {
			t.Errorf("%T %v: size %d, encoded %d", v, v, got, len(raw))
		}
	}
}

func TestIndexKeysAreEqualWhereValuesAre(t *testing.T) {
	values := everyValue(t)
	for _, a := range values {
		for _, b := range values {
			if equal, same := compare(a, b) == 0, indexKey(a) == indexKey(b); equal != same {
				t.Errorf("%T %v and %T %v: equal %v, same key %v", a, a, b, b, equal, same)
			}
			if compare(a, b) != -compare(b, a) {
				t.Errorf("%T %v and %T %v: the order depends on the side", a, a, b, b)
			}
			if identical(a, b) && compare(a, b) != 0 {
				t.Errorf("%T %v and %T %v: identical and not equal", a, a, b, b)
			}
		}
	}
}

func TestCompareIsTransitive(t *testing.T) {
	values := everyValue(t)
	for _, a := range values {
		for _, b := range values {
			for _, c := range values {
				if compare(a, b) <= 0 && compare(b, c) <= 0 && compare(a, c) > 0 {
					t.Errorf("%v <= %v <= %v, but %v > %v", a, b, c, a, c)
				}
			}
		}
	}
}

// FuzzParseMessage: hostile bytes are refused, without a panic and without
// taking more memory than they have sent. What is understood can be run and
// answered.
func FuzzParseMessage(f *testing.F) {
	body := func(d bson.D) []byte {
		raw, err := bson.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		return raw
	}
	add := func(op int32, parts ...[]byte) {
		b := bytes.Join(parts, nil)
		h := header{length: int32(headerSize + len(b)), requestID: 1, opCode: op}
		f.Add(append(h.bytes(), b...))
	}
	hello := body(bson.D{{Key: "hello", Value: 1}, {Key: "$db", Value: "admin"}})
	insert := body(bson.D{{Key: "insert", Value: "c"}, {Key: "$db", Value: "d"}})
	sequence := append([]byte("documents\x00"), hello...)
	kind1 := append([]byte{1}, binary.LittleEndian.AppendUint32(nil, uint32(4+len(sequence)))...)
	zero := []byte{0, 0, 0, 0}
	add(opMsg, zero, []byte{0}, hello)
	add(opMsg, zero, kind1, sequence, []byte{0}, insert)
	add(opMsg, []byte{1, 0, 0, 0}, []byte{0}, hello, zero)
	add(opMsg, []byte{2, 0, 1, 0}, []byte{0}, hello)
	add(opQuery, zero, []byte("admin.$cmd\x00"), zero, []byte{255, 255, 255, 255}, hello)
	add(opCompressed, zero, zero)
	add(opReply, zero)
	for _, v := range everyValue(f) {
		add(opMsg, zero, []byte{0}, body(bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: v}}}}, {Key: "$db", Value: "d"}}))
		add(opMsg, zero, []byte{0}, body(bson.D{{Key: "find", Value: "c"}, {Key: "filter", Value: bson.D{{Key: "a", Value: bson.D{{Key: "$gt", Value: v}}}}}, {Key: "$db", Value: "d"}}))
		for _, op := range []string{"$set", "$inc", "$push", "$pull", "$addToSet", "$max", "$rename", "$pop"} {
			add(opMsg, zero, []byte{0}, body(bson.D{{Key: "findAndModify", Value: "c"}, {Key: "update", Value: bson.D{{Key: op, Value: bson.D{{Key: "a.0", Value: v}}}}}, {Key: "upsert", Value: true}, {Key: "$db", Value: "d"}}))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, b, err := readMessage(bytes.NewReader(raw))
		if err != nil {
			return
		}
		m, err := parseMessage(h, b)
		if _, refused := errors.AsType[*serverError](err); err != nil && !refused {
			return
		}
		reply := bson.D{}
		if err != nil {
			reply = asServerError(err).reply()
		} else if _, waits := lookup(m.body, "maxAwaitTimeMS"); !waits {
			c := &conn{node: newNode(newStore(), &users{}, nil, 0)}
			if len(m.body) > 0 {
				// Something for filters and updates to work on.
				values := bson.A{}
				for i, v := range everyValue(t) {
					values = append(values, bson.D{{Key: "_id", Value: strconv.Itoa(i)}, {Key: "a", Value: v}, {Key: "b", Value: bson.A{v, v}}})
				}
				c.run(t.Context(), &message{db: "d", body: bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: values}}})
			}
			reply, _ = c.run(t.Context(), m)
		}
		out, err := m.encodeReply(1, reply, false)
		if err != nil {
			t.Fatalf("reply: %v", err)
		}
		if got := int(binary.LittleEndian.Uint32(out)); got != len(out) {
			t.Fatalf("reply of %d bytes says it has %d", len(out), got)
		}
	})
}

func TestReadmeNamesEveryCommand(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range commands {
		if !bytes.Contains(readme, []byte("`"+name+"`")) {
			t.Errorf("README.md does not name %s", name)
		}
	}
}
