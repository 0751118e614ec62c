package mongotest_test

import (
	"testing"

	"github.com/gvpocr/worker/test/mongotest"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// numbered is a command as a driver sends it when it may send it again.
func numbered(session byte, number int64, command bson.D) bson.D {
	id := make([]byte, 16)
	id[0] = session
	return append(command, doc("lsid", doc("id", bson.Binary{Subtype: 4, Data: id}), "txnNumber", number, "$db", "d")...)
}

// A driver sends a write again when it has lost the answer: with the same
// number, to whoever is primary then.
func TestARetriedWriteIsAnsweredAndNotDoneAgain(t *testing.T) {
	cfg := setOfThree(t)
	srv := start(t, cfg)
	m := connectMembers(t, srv)
	ask := func(member int, command bson.D) bson.D {
		t.Helper()
		send(t, m.conns[member], 0, command)
		return receive(t, m.conns[member]).doc
	}
	commands := []bson.D{
		doc("insert", "c", "documents", list(doc("_id", 1, "n", 0), doc("_id", 2, "n", 0))),
		doc("update", "c", "updates", list(
			doc("q", doc("_id", 1), "u", doc("$inc", doc("n", 1))),
			doc("q", doc("_id", 3), "u", doc("$inc", doc("n", 1)), "upsert", true),
			doc("q", doc("_id", 1), "u", doc("$set", doc("x", 1))))),
		doc("findAndModify", "c", "query", doc("_id", 1), "update", doc("$inc", doc("n", 10)), "new", true, "fields", doc("n", 1)),
		doc("findAndModify", "c", "query", doc("_id", 1), "update", doc("$inc", doc("n", 10)), "fields", doc("n", 1)),
		doc("findAndModify", "c", "query", doc("n", 0), "remove", true),
		doc("insert", "c", "documents", list(doc("_id", 2, "n", 0))),
		doc("delete", "c", "deletes", list(doc("q", doc("_id", 2), "limit", 1))),
	}
	replies := make([]bson.D, len(commands))
	for i, command := range commands {
		replies[i] = ask(0, numbered(byte(i), 5, command))
		wantCode(t, replies[i], 0)
	}
	state := ask(0, doc("find", "c", "sort", doc("_id", 1), "$db", "d"))
	wantSame(t, "after the first tries", at(state, "cursor", "firstBatch"), list(doc("_id", 1, "n", 21, "x", 1), doc("_id", 3, "n", 1)))

	again := func(what string, member int) {
		t.Helper()
		for i, command := range commands {
			reply := ask(member, numbered(byte(i), 5, command))
			for _, field := range []string{"n", "nModified", "upserted", "lastErrorObject", "value", "writeErrors"} {
				wantSame(t, what+": "+command[0].Key+": "+field, at(reply, field), at(replies[i], field))
			}
			if at(reply, "retriedStmtIds") == nil && at(reply, "retriedStmtId") == nil {
				t.Errorf("%s: %s does not say that it was a retry: %s", what, command[0].Key, show(reply))
			}
		}
		now := ask(member, doc("find", "c", "sort", doc("_id", 1), "$db", "d", "$readPreference", doc("mode", "nearest")))
		wantSame(t, what, at(now, "cursor", "firstBatch"), at(state, "cursor", "firstBatch"))
	}
	again("on the same primary", 0)
	srv.Kill()
	waitPrimary(t, srv)
	again("on the next primary", 1)
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Members = srv.Members()
	m = connectMembers(t, start(t, cfg))
	again("after a restart", 0)

	wantCode(t, ask(0, numbered(0, 4, commands[0])), 225) // older than what the session has done
	wantCode(t, ask(0, numbered(0, 6, commands[0])), 11000)
}

// Only what has done something is remembered: what matched nothing may match
// when it is tried again.
func TestARetryOfAWriteThatDidNothingIsDone(t *testing.T) {
	srv := start(t, mongotest.Config{ReplicaSet: "rs0"})
	m := connectMembers(t, srv)
	ask := func(command bson.D) bson.D {
		send(t, m.conns[0], 0, command)
		return receive(t, m.conns[0]).doc
	}
	update := numbered(1, 1, doc("update", "c", "updates", list(doc("q", doc("_id", 1), "u", doc("$inc", doc("n", 1))))))
	wantSame(t, "n", at(ask(update), "n"), int32(0))
	wantCode(t, ask(doc("insert", "c", "documents", list(doc("_id", 1)), "$db", "d")), 0)
	wantSame(t, "n", at(ask(update), "n"), int32(1))
	wantSame(t, "retried", at(ask(update), "retriedStmtIds"), list(0))
}

func TestWhatIsNoRetryableWrite(t *testing.T) {
	srv := start(t, mongotest.Config{ReplicaSet: "rs0"})
	m := connectMembers(t, srv)
	insert := func() bson.D { return doc("insert", "c", "documents", list(doc("a", 1)), "$db", "d") }
	lsid := doc("lsid", doc("id", bson.Binary{Subtype: 4, Data: make([]byte, 16)}))
	for name, test := range map[string]struct {
		command bson.D
		code    int32
	}{
		"many updates":        {numbered(1, 1, doc("update", "c", "updates", list(doc("q", doc(), "u", doc("$set", doc("a", 1)), "multi", true)))), 72},
		"many deletes":        {numbered(1, 1, doc("delete", "c", "deletes", list(doc("q", doc(), "limit", 0)))), 72},
		"a read":              {numbered(1, 1, doc("find", "c")), 50768},
		"no session":          {append(insert(), doc("txnNumber", int64(1))...), 72},
		"a number below zero": {numbered(1, -1, doc("insert", "c", "documents", list(doc()))), 72},
		"no long":             {append(append(insert(), lsid...), doc("txnNumber", 1)...), 14},
		"a transaction":       {append(numbered(1, 1, doc("insert", "c", "documents", list(doc()))), doc("startTransaction", true, "autocommit", false)...), 238},
	} {
		t.Run(name, func(t *testing.T) {
			send(t, m.conns[0], 0, test.command)
			wantCode(t, receive(t, m.conns[0]).doc, test.code)
		})
	}
}

// Drivers retry what the server labels, and only that.
func TestARefusedRetryableWriteIsLabelled(t *testing.T) {
	srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree()})
	m := connectMembers(t, srv)
	send(t, m.conns[1], 0, numbered(1, 1, doc("insert", "c", "documents", list(doc()))))
	reply := receive(t, m.conns[1]).doc
	wantCode(t, reply, 10107)
	wantSame(t, "errorLabels", at(reply, "errorLabels"), list("RetryableWriteError"))
	if at(reply, "topologyVersion", "counter") == nil {
		t.Error("no topologyVersion")
	}
}

func TestAWriteConcernThatCannotBeFulfilledIsToldBesideTheWrite(t *testing.T) {
	srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree()})
	m := connectMembers(t, srv)
	insert := func(concern bson.D) bson.D {
		return m.ask(0, "insert", "c", "documents", list(doc()), "writeConcern", concern)
	}
	for w := range 4 {
		wantSame(t, "n", at(insert(doc("w", w)), "n"), int32(1))
	}
	reply := insert(doc("w", 4))
	wantSame(t, "n", at(reply, "n"), int32(1))
	wantSame(t, "code", at(reply, "writeConcernError", "code"), int32(100))
	wantSame(t, "errorLabels", at(reply, "errorLabels"), nil)
	wantCode(t, insert(doc("w", "a tag")), 238)
	wantSame(t, "n", at(m.ask(0, "count", "c"), "n"), int32(5))
}
