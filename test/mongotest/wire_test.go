package mongotest_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gvpocr/worker/test/mongotest"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// frame is a message with a header of request id 7.
func frame(opCode uint32, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	b = binary.LittleEndian.AppendUint32(b, 7)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, opCode)
	return append(b, body...)
}

func msg(t *testing.T, flags uint32, command bson.D) []byte {
	t.Helper()
	raw, err := bson.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	body := binary.LittleEndian.AppendUint32(nil, flags)
	body = append(body, 0)
	return frame(2013, append(body, raw...))
}

func send(t *testing.T, nc net.Conn, flags uint32, command bson.D) {
	t.Helper()
	if _, err := nc.Write(msg(t, flags, command)); err != nil {
		t.Fatal(err)
	}
}

// message is a reply as it came.
type message struct {
	opCode, responseTo, requestID, flags uint32
	raw                                  []byte
	doc                                  bson.D
}

func receive(t *testing.T, nc net.Conn) message {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	head := make([]byte, 16)
	if _, err := io.ReadFull(nc, head); err != nil {
		t.Fatal("no reply:", err)
	}
	body := make([]byte, binary.LittleEndian.Uint32(head)-16)
	if _, err := io.ReadFull(nc, body); err != nil {
		t.Fatal("half a reply:", err)
	}
	m := message{
		requestID:  binary.LittleEndian.Uint32(head[4:]),
		responseTo: binary.LittleEndian.Uint32(head[8:]),
		opCode:     binary.LittleEndian.Uint32(head[12:]),
		flags:      binary.LittleEndian.Uint32(body),
		raw:        append(head, body...),
	}
	start := 5
	if m.opCode == 1 {
		start = 20
	}
	end := start + int(binary.LittleEndian.Uint32(body[start:]))
	if err := bson.Unmarshal(body[start:end], &m.doc); err != nil {
		t.Fatal(err)
	}
	return m
}

// ping sends a command, ping unless another is given, and returns the reply.
func ping(t *testing.T, nc net.Conn, command ...any) bson.D {
	t.Helper()
	if command == nil {
		command = []any{"ping", 1}
	}
	send(t, nc, 0, append(doc(command...), doc("$db", "admin")...))
	return receive(t, nc).doc
}

func wantClosed(t *testing.T, nc net.Conn) {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := nc.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is open: %d bytes, %v", n, err)
	}
}

func dial(t *testing.T) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", start(t, mongotest.Config{}).Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

func TestOpMsg(t *testing.T) {
	t.Run("a reply names its request", func(t *testing.T) {
		nc := dial(t)
		send(t, nc, 0, doc("ping", 1, "$db", "admin"))
		if m := receive(t, nc); m.opCode != 2013 || m.responseTo != 7 || m.flags != 0 {
			t.Errorf("%+v", m)
		}
	})
	t.Run("a document sequence is a field of the command", func(t *testing.T) {
		nc := dial(t)
		body, err := bson.Marshal(doc("insert", "c", "$db", "d"))
		if err != nil {
			t.Fatal(err)
		}
		seq := []byte("documents\x00")
		for i := range 3 {
			d, err := bson.Marshal(doc("_id", i))
			if err != nil {
				t.Fatal(err)
			}
			seq = append(seq, d...)
		}
		m := []byte{0, 0, 0, 0, 1}
		m = binary.LittleEndian.AppendUint32(m, uint32(4+len(seq)))
		m = append(append(m, seq...), 0)
		if _, err := nc.Write(frame(2013, append(m, body...))); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "n", at(receive(t, nc).doc, "n"), int32(3))
	})
	t.Run("a checksum is verified and answered with one", func(t *testing.T) {
		nc := dial(t)
		castagnoli := crc32.MakeTable(crc32.Castagnoli)
		m := msg(t, 1, doc("ping", 1, "$db", "admin"))
		binary.LittleEndian.PutUint32(m, uint32(len(m)+4))
		m = binary.LittleEndian.AppendUint32(m, crc32.Checksum(m, castagnoli))
		if _, err := nc.Write(m); err != nil {
			t.Fatal(err)
		}
		reply := receive(t, nc).raw
		cut := len(reply) - 4
		if binary.LittleEndian.Uint32(reply[cut:]) != crc32.Checksum(reply[:cut], castagnoli) {
			t.Error("the reply's checksum is wrong")
		}
		m[len(m)-1] ^= 1
		if _, err := nc.Write(m); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, nc)
	})
	t.Run("moreToCome wants no reply", func(t *testing.T) {
		nc := dial(t)
		send(t, nc, 2, doc("insert", "c", "documents", list(doc("_id", 1)), "$db", "d", "writeConcern", doc("w", 0)))
		send(t, nc, 2, doc("insert", "c", "documents", list(doc("_id", 2)), "$db", "d", "writeConcern", doc("w", 0)))
		send(t, nc, 2, doc("frobnicate", 1, "$db", "d"))
		send(t, nc, 0, doc("count", "c", "$db", "d"))
		wantSame(t, "n", at(receive(t, nc).doc, "n"), int32(2))
	})
	t.Run("a content that makes no sense is refused, and the connection goes on", func(t *testing.T) {
		nc := dial(t)
		deep := any(1)
		for range 250 {
			deep = doc("a", deep)
		}
		for code, command := range map[int32]bson.D{
			15:    doc("find", "c", "filter", deep, "$db", "d"),
			40414: doc("ping", 1),
			73:    doc("ping", 1, "$db", "a.b"),
			59:    doc("$db", "d"),
		} {
			send(t, nc, 0, command)
			wantCode(t, receive(t, nc).doc, code)
		}
		for code, sections := range map[int32]string{
			17: "\x02\x05\x00\x00\x00\x00",                         // unknown kind
			22: "\x00\x0a\x00\x00\x00\x08a\x00\x07\x00",            // a boolean of 7
			9:  "\x00\x05\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00", // two bodies
		} {
			if code == 9 {
				code = 17
			}
			if _, err := nc.Write(frame(2013, append(make([]byte, 4), sections...))); err != nil {
				t.Fatal(err)
			}
			wantCode(t, receive(t, nc).doc, code)
		}
		wantCode(t, ping(t, nc), 0)
	})
}

func TestLegacyHello(t *testing.T) {
	query := func(collection string, command bson.D) []byte {
		raw, err := bson.Marshal(command)
		if err != nil {
			t.Fatal(err)
		}
		b := append(make([]byte, 4), collection+"\x00"...)
		b = append(b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
		return frame(2004, append(b, raw...))
	}
	nc := dial(t)
	for _, command := range []bson.D{doc("isMaster", 1, "helloOk", true), doc("hello", 1, "helloOk", true), doc("$query", doc("ismaster", 1, "helloOk", true))} {
		if _, err := nc.Write(query("admin.$cmd", command)); err != nil {
			t.Fatal(err)
		}
		m := receive(t, nc)
		if m.opCode != 1 || m.responseTo != 7 {
			t.Errorf("op code %d to %d", m.opCode, m.responseTo)
		}
		wantSame(t, "helloOk", at(m.doc, "helloOk"), true)
	}
	for _, q := range [][]byte{query("admin.$cmd", doc("find", "c")), query("d.c", doc())} {
		if _, err := nc.Write(q); err != nil {
			t.Fatal(err)
		}
		wantCode(t, receive(t, nc).doc, 352)
	}
}

func TestMessagesThatEndAConnection(t *testing.T) {
	compressed := frame(2012, append(binary.LittleEndian.AppendUint32(nil, 2013), 0, 0, 0, 0, 1))
	t.Run("a compressed one is answered first", func(t *testing.T) {
		nc := dial(t)
		if _, err := nc.Write(compressed); err != nil {
			t.Fatal(err)
		}
		wantCode(t, receive(t, nc).doc, 17)
		wantClosed(t, nc)
	})
	huge := frame(2013, nil)
	binary.LittleEndian.PutUint32(huge, 48_000_001)
	for name, bytes := range map[string][]byte{
		"a length beyond the limit": huge,
		"a length below the header": {15, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0},
		"an unknown op code":        frame(2010, make([]byte, 8)),
		"an unknown required flag":  frame(2013, []byte{4, 0, 0, 0, 0, 5, 0, 0, 0, 0}),
		"no flags":                  frame(2013, []byte{0}),
		"half a query":              frame(2004, []byte("\x00\x00\x00\x00admin.$cmd\x00\x00")),
	} {
		t.Run(name, func(t *testing.T) {
			nc := dial(t)
			if _, err := nc.Write(bytes); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, nc)
		})
	}
}

// TestStreamedHello is how drivers watch a server: one request, and a reply
// whenever the topology has changed or the time is over.
func TestStreamedHello(t *testing.T) {
	const exhaustAllowed, moreToCome = 1 << 16, 2
	nc := dial(t)
	version := at(ping(t, nc, "hello", 1), "topologyVersion")
	send(t, nc, exhaustAllowed, doc("hello", 1, "$db", "admin", "topologyVersion", version, "maxAwaitTimeMS", 1))
	last := uint32(7)
	for range 3 {
		m := receive(t, nc)
		if m.flags&moreToCome == 0 || m.responseTo != last {
			t.Errorf("flags %#x, response to %d, want %d", m.flags, m.responseTo, last)
		}
		wantSame(t, "topologyVersion", at(m.doc, "topologyVersion"), version)
		last = m.requestID
	}

	nc = dial(t)
	version = at(ping(t, nc, "hello", 1), "topologyVersion")
	old := doc("processId", bson.NewObjectID(), "counter", int64(9))
	for name, test := range map[string]struct {
		command bson.D
		code    int32
	}{
		"a version of another process is answered at once": {doc("topologyVersion", old, "maxAwaitTimeMS", 60_000), 0},
		"a version of the future":                          {doc("topologyVersion", append(version.(bson.D)[:1:1], bson.E{Key: "counter", Value: int64(9)}), "maxAwaitTimeMS", 1), 31382},
		"a version without a time":                         {doc("topologyVersion", version), 31368},
		"a time without a version":                         {doc("maxAwaitTimeMS", 1), 31368},
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, ping(t, nc, append([]any{"hello", 1}, pairs(test.command)...)...), test.code)
		})
	}
	send(t, nc, exhaustAllowed, doc("hello", 1, "$db", "admin"))
	wantCode(t, receive(t, nc).doc, 51756)
}

func pairs(d bson.D) []any {
	var out []any
	for _, e := range d {
		out = append(out, e.Key, e.Value)
	}
	return out
}
