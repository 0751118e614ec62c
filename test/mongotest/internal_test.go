package mongotest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

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

// threeNodes is a replica set without listeners: commands go to its nodes.
func threeNodes() (*replicaSet, []*node) {
	st, set := newStore(), newReplicaSet("rs0", []string{"a:1", "b:1", "c:1"}, 0)
	nodes := make([]*node, 3)
	for i := range nodes {
		nodes[i] = newNode(st, &users{}, set, i)
		set.join(i, nodes[i])
	}
	return set, nodes
}

func insertOne(t *testing.T, n *node, number int64) bson.D {
	t.Helper()
	reply, _ := (&conn{node: n}).run(t.Context(), &message{db: "d", body: bson.D{
		{Key: "insert", Value: "c"},
		{Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: number}}}},
		{Key: "lsid", Value: bson.D{{Key: "id", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: make([]byte, 16)}}}},
		{Key: "txnNumber", Value: number},
	}})
	return reply
}

func wantLabelled(t *testing.T, reply bson.D) {
	t.Helper()
	labels, _ := lookup(reply, "errorLabels")
	if list, ok := labels.(bson.A); !ok || len(list) != 1 || list[0] != "RetryableWriteError" {
		t.Errorf("no label: %v", reply)
	}
}

// A write that waits for its turn while its member steps down is not done.
func TestAWriteUnderWayWhenThePrimaryStepsDownIsInterrupted(t *testing.T) {
	set, nodes := threeNodes()
	r := &request{ctx: t.Context(), node: nodes[0], db: "d", txn: &txn{session: "s", number: 1}, args: newArgs("insert", bson.D{
		{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{bson.D{}}},
	})}
	if err := r.enter(commands["insert"]); err != nil {
		t.Fatal(err)
	}
	set.stepDown(0)
	set.elect()
	_, err := r.insert()
	refused := asServerError(err)
	if refused == nil || refused.code != codeInterruptedDueToReplState {
		t.Fatalf("error %v", err)
	}
	wantLabelled(t, r.refusal(refused))
	if docs := nodes[0].store.documents(namespace{"d", "c"}, &filter{}); len(docs) != 0 {
		t.Errorf("it is done: %v", docs)
	}
}

// A write that is done when its member steps down is not acknowledged, and its
// retry is not done again.
func TestAWriteDoneWhenThePrimaryStepsDownIsNotAcknowledged(t *testing.T) {
	set, nodes := threeNodes()
	commands["insertAndStepDown"] = command{write: true, retryable: true, run: func(r *request) (bson.D, error) {
		r.command, r.rest[0].Key = "insert", "insert"
		reply, err := r.insert()
		set.stepDown(0)
		set.elect()
		return reply, err
	}}
	defer delete(commands, "insertAndStepDown")
	reply, _ := (&conn{node: nodes[0]}).run(t.Context(), &message{db: "d", body: bson.D{
		{Key: "insertAndStepDown", Value: "c"},
		{Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: int64(1)}}}},
		{Key: "lsid", Value: bson.D{{Key: "id", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: make([]byte, 16)}}}},
		{Key: "txnNumber", Value: int64(1)},
	}})
	refused, _ := lookup(reply, "writeConcernError")
	if d, ok := refused.(bson.D); !ok || d[0].Value != int32(codePrimarySteppedDown) {
		t.Errorf("it is acknowledged: %v", reply)
	}
	wantLabelled(t, reply)
	retried := insertOne(t, nodes[1], 1)
	if n, _ := lookup(retried, "n"); n != int32(1) {
		t.Errorf("the retry: %v", retried)
	}
	if docs := nodes[0].store.documents(namespace{"d", "c"}, &filter{}); len(docs) != 1 {
		t.Errorf("%d documents", len(docs))
	}
}

// The journal's disk is full: nothing that is not in it may be answered.
func TestAJournalThatCannotBeWrittenEndsTheServersService(t *testing.T) {
	st, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(st, &users{}, nil, 0)
	ask := func(body bson.D) any {
		reply, _ := (&conn{node: n}).run(t.Context(), &message{db: "d", body: body})
		code, _ := lookup(reply, "code")
		return code
	}
	insert := bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{bson.D{}}}}
	if code := ask(insert); code != nil {
		t.Fatal(code)
	}
	if err := st.journal.file.Close(); err != nil {
		t.Fatal(err)
	}
	for _, body := range []bson.D{insert, {{Key: "find", Value: "c"}}} {
		if code := ask(body); code != int32(codeInternalError) {
			t.Errorf("%s after a failed write: code %v", body[0].Key, code)
		}
	}
	if err := st.close(); err == nil {
		t.Error("closing it is no error")
	}
}

// A hello that waits is answered when the server stops. One that is killed
// must have cut the connection by then, or a driver takes it for alive.
func TestConnectionsAreEndedBeforeWaitingHellosAre(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(newStore(), &users{}, nil, 0)
	s := serve(l, n)
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	hello, err := (&message{header: header{requestID: 1}}).encodeReply(1, bson.D{
		{Key: "hello", Value: 1}, {Key: "$db", Value: "admin"}, {Key: "topologyVersion", Value: n.topology.version()},
		{Key: "maxAwaitTimeMS", Value: int64(600_000)},
	}, false) // a reply has the form of a request
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(hello); err != nil {
		t.Fatal(err)
	}
	for len(s.snapshot(false)) == 0 {
		runtime.Gosched()
	}
	if err := s.end(func(c *conn) {
		client.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := client.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it is answered before it is cut: %d, %v", n, err)
		}
		c.Close()
	}); err != nil {
		t.Error(err)
	}
}
