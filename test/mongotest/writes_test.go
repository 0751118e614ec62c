package mongotest_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestInsert(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		t.Run("types and the order of fields are kept, _id comes first", func(t *testing.T) {
			c := s.collection(t)
			d := doc("z", 1, "long", int64(1), "double", 1.0, "date", bson.DateTime(1769860800123), "null", nil,
				"bin", bson.Binary{Subtype: 4, Data: make([]byte, 16)}, "list", list(1, "x", doc()), "doc", doc("b", 1, "a", 2), "_id", "id")
			s.mustRun(t, doc("insert", c, "documents", list(d)))
			want := append(doc("_id", "id"), d[:len(d)-1]...)
			wantSame(t, "document", s.documents(t, c), list(want))
		})
		t.Run("an _id is made where none is given", func(t *testing.T) {
			c := s.collection(t)
			s.mustRun(t, doc("insert", c, "documents", list(doc("a", 1))))
			d := s.documents(t, c)[0].(bson.D)
			if _, ok := d[0].Value.(bson.ObjectID); d[0].Key != "_id" || !ok {
				t.Errorf("no ObjectID in front: %s", show(d))
			}
		})
		t.Run("_id is unique, whatever the type of a number", func(t *testing.T) {
			c := s.collection(t, doc("_id", 1))
			reply := s.run(t, doc("insert", c, "documents", list(doc("_id", 1.0))))
			wantCode(t, reply, 11000)
			wantSame(t, "n", at(reply, "n"), int32(0))
			failed := at(reply, "writeErrors").(bson.A)[0]
			wantSame(t, "keyPattern", at(failed, "keyPattern"), doc("_id", 1))
			wantSame(t, "keyValue", at(failed, "keyValue"), doc("_id", 1.0))
		})
		t.Run("ordered ends at the first failure, unordered goes on", func(t *testing.T) {
			c := s.collection(t, doc("_id", 1))
			docs := list(doc("_id", 0), doc("_id", 1), doc("_id", 2))
			wantSame(t, "ordered", at(s.run(t, doc("insert", c, "documents", docs)), "n"), int32(1))
			docs = list(doc("_id", 3), doc("_id", 1), doc("_id", 4))
			reply := s.run(t, doc("insert", c, "documents", docs, "ordered", false))
			wantSame(t, "unordered", at(reply, "n"), int32(2))
			wantSame(t, "index", at(at(reply, "writeErrors").(bson.A)[0], "index"), int32(1))
		})
		t.Run("an empty timestamp is filled in", func(t *testing.T) {
			c := s.collection(t, doc("_id", 1, "t", bson.Timestamp{}))
			if at(s.documents(t, c)[0], "t") == (bson.Timestamp{}) {
				t.Error("it was kept empty")
			}
		})
		refused := []struct {
			name string
			docs bson.A
			code int32
		}{
			{"no documents", list(), 21},
			{"a value in place of a document", list(1), 14},
			{"an array as _id", list(doc("_id", list(1))), 53},
			{"a regular expression as _id", list(doc("_id", bson.Regex{Pattern: "x"})), 53},
			{"an operator in _id", list(doc("_id", doc("$a", 1))), 52},
			{"two _ids", list(bson.D{{Key: "_id", Value: 1}, {Key: "_id", Value: 2}}), 2},
		}
		for _, test := range refused {
			t.Run(test.name, func(t *testing.T) {
				c := s.collection(t)
				wantCode(t, s.run(t, doc("insert", c, "documents", test.docs)), test.code)
				wantSame(t, "documents", s.documents(t, c), list())
			})
		}
	})
}

func TestDelete(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		docs := []bson.D{doc("_id", 1, "a", 1), doc("_id", 2, "a", 1), doc("_id", 3, "a", 2)}
		c := s.collection(t, docs...)
		wantSame(t, "one", at(s.run(t, doc("delete", c, "deletes", list(doc("q", doc("a", 1), "limit", 1)))), "n"), int32(1))
		wantSame(t, "left", s.documents(t, c), list(docs[1], docs[2]))
		wantSame(t, "all", at(s.run(t, doc("delete", c, "deletes", list(doc("q", doc(), "limit", 0)))), "n"), int32(2))
		wantSame(t, "none", at(s.run(t, doc("delete", c, "deletes", list(doc("q", doc(), "limit", 0)))), "n"), int32(0))
		s.mustRun(t, doc("insert", c, "documents", list(docs[0]))) // the _id is free again
		wantCode(t, s.run(t, doc("delete", c, "deletes", list(doc("q", doc(), "limit", 2)))), 9)
		wantCode(t, s.run(t, doc("delete", c, "deletes", list(doc("q", doc())))), 40414)
		wantCode(t, s.run(t, doc("delete", c, "deletes", list(doc("limit", 0)))), 40414)
	})
}

func TestFindAndModify(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		set := doc("$set", doc("b", 1))
		docs := []bson.D{doc("_id", 1, "a", 1), doc("_id", 2, "a", 2)}
		tests := []struct {
			name    string
			command bson.D
			value   any
			last    bson.D
		}{
			{"the old document", doc("query", doc("a", 1), "update", set), doc("_id", 1, "a", 1), doc("n", 1, "updatedExisting", true)},
			{"the new document", doc("query", doc("a", 1), "update", set, "new", true), doc("_id", 1, "a", 1, "b", 1), doc("n", 1, "updatedExisting", true)},
			{"sort chooses", doc("query", doc(), "sort", doc("a", -1), "update", set), doc("_id", 2, "a", 2), doc("n", 1, "updatedExisting", true)},
			{"fields", doc("query", doc("a", 1), "update", set, "new", true, "fields", doc("b", 1, "_id", 0)), doc("b", 1), doc("n", 1, "updatedExisting", true)},
			{"nothing matches", doc("query", doc("a", 9), "update", set), nil, doc("n", 0, "updatedExisting", false)},
			{"an upsert has no old document", doc("query", doc("_id", 9), "update", set, "upsert", true), nil, doc("n", 1, "updatedExisting", false, "upserted", 9)},
			{"remove", doc("query", doc("a", 2), "remove", true), doc("_id", 2, "a", 2), doc("n", 1)},
			{"remove nothing", doc("query", doc("a", 9), "remove", true), nil, doc("n", 0)},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				c := s.collection(t, docs...)
				reply := s.mustRun(t, append(doc("findAndModify", c), test.command...))
				wantSame(t, "value", at(reply, "value"), test.value)
				wantSame(t, "lastErrorObject", at(reply, "lastErrorObject"), test.last)
			})
		}
		c := s.collection(t, docs...)
		for _, command := range []bson.D{
			doc("update", set, "remove", true),
			doc("query", doc()),
			doc("remove", true, "upsert", true),
			doc("remove", true, "new", true),
		} {
			wantCode(t, s.run(t, append(doc("findAndModify", c), command...)), 9)
		}
		wantSame(t, "documents", s.documents(t, c), list(docs[0], docs[1]))
	})
}
