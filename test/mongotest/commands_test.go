package mongotest_test

import (
	"fmt"
	"slices"
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

func TestProjections(t *testing.T) {
	d := doc("_id", 1, "a", 1, "b", doc("x", 1, "y", 2), "l", list(1, 2, 3, 4), "r", list(doc("x", 1, "y", 2), 7, doc("x", 3)))
	tests := []struct {
		name       string
		projection bson.D
		want       bson.D
	}{
		{"nothing", doc(), d},
		{"inclusion keeps _id", doc("a", 1), doc("_id", 1, "a", 1)},
		{"inclusion without _id", doc("a", true, "_id", false), doc("a", 1)},
		{"inclusion keeps the document's order", doc("b", 1, "a", 1), doc("_id", 1, "a", 1, "b", doc("x", 1, "y", 2))},
		{"inclusion of a nested field", doc("b.x", 1), doc("_id", 1, "b", doc("x", 1))},
		{"inclusion in documents of an array", doc("r.x", 1), doc("_id", 1, "r", list(doc("x", 1), doc("x", 3)))},
		{"inclusion of what is not there", doc("q", 1), doc("_id", 1)},
		{"inclusion below a plain value", doc("a.q", 1), doc("_id", 1)},
		{"only _id", doc("_id", 1), doc("_id", 1)},
		{"exclusion", doc("b", 0, "l", 0, "r", 0), doc("_id", 1, "a", 1)},
		{"exclusion of _id", doc("_id", 0, "b", 0, "l", 0, "r", 0), doc("a", 1)},
		{"exclusion of a nested field", doc("b.x", 0, "l", 0, "r", 0), doc("_id", 1, "a", 1, "b", doc("y", 2))},
		{"exclusion in documents of an array", doc("r.x", 0, "b", 0, "l", 0), doc("_id", 1, "a", 1, "r", list(doc("y", 2), 7, doc()))},
		{"$slice keeps the other fields", doc("l", doc("$slice", 1), "b", 0, "r", 0), doc("_id", 1, "a", 1, "l", list(1))},
		{"$slice from the end", doc("l", doc("$slice", -2), "a", 1), doc("_id", 1, "a", 1, "l", list(3, 4))},
		{"$slice skip and limit", doc("l", doc("$slice", list(1, 2)), "a", 1), doc("_id", 1, "a", 1, "l", list(2, 3))},
		{"$slice from the end and limit", doc("l", doc("$slice", list(-3, 2)), "a", 1), doc("_id", 1, "a", 1, "l", list(2, 3))},
		{"$slice beyond", doc("l", doc("$slice", list(9, 2)), "a", 1), doc("_id", 1, "a", 1, "l", list())},
		{"$elemMatch keeps the first that matches", doc("r", doc("$elemMatch", doc("x", doc("$gt", 0)))), doc("_id", 1, "r", list(doc("x", 1, "y", 2)))},
		{"$elemMatch on values", doc("l", doc("$elemMatch", doc("$gt", 2))), doc("_id", 1, "l", list(3))},
		{"$elemMatch without a match drops the field", doc("l", doc("$elemMatch", doc("$gt", 9)), "a", 1), doc("_id", 1, "a", 1)},
	}
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, d)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				reply := s.mustRun(t, doc("find", c, "projection", test.projection))
				wantSame(t, "document", at(reply, "cursor", "firstBatch"), list(test.want))
			})
		}
		refused := []struct {
			projection bson.D
			code       int32
		}{
			{doc("a", 1, "b", 0), 31254},
			{doc("a", 0, "b", 1), 31253},
			{doc("", 1), 40352},
			{doc("b..x", 1), 15998},
			{doc("b.", 1), 40353},
			{doc("$a", 1), 16410},
			{doc("b", 1, "b.x", 1), 31249},
			{doc("b.x", 1, "b", 1), 31250},
			{doc("l", doc("$slice", "x")), 28667},
			{doc("r", doc("$elemMatch", 1)), 31274},
			{doc("b.l", doc("$elemMatch", doc("x", 1))), 31275},
		}
		for _, test := range refused {
			wantCode(t, s.run(t, doc("find", c, "projection", test.projection)), test.code)
		}
		if s.own {
			for _, p := range []bson.D{doc("a", "$b"), doc("a", doc("$add", list(1, 2))), doc("l.$", 1), doc("a", doc("b", 1))} {
				wantCode(t, s.run(t, doc("find", c, "projection", p)), 238)
			}
		}
	})
}

func TestCursors(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t)
		docs := list()
		for i := range 250 {
			docs = append(docs, doc("_id", i))
		}
		s.mustRun(t, doc("insert", c, "documents", docs))
		batch := func(reply bson.D, name string) int { return len(at(reply, "cursor", name).(bson.A)) }
		id := func(reply bson.D) int64 { return at(reply, "cursor", "id").(int64) }

		t.Run("a first batch is 101 documents, the next is the rest", func(t *testing.T) {
			reply := s.mustRun(t, doc("find", c))
			if n := batch(reply, "firstBatch"); n != 101 || id(reply) == 0 {
				t.Errorf("%d documents, cursor %d", n, id(reply))
			}
			wantSame(t, "ns", at(reply, "cursor", "ns"), s.db+"."+c)
			reply = s.mustRun(t, doc("getMore", id(reply), "collection", c))
			if n := batch(reply, "nextBatch"); n != 149 || id(reply) != 0 {
				t.Errorf("%d documents, cursor %d", n, id(reply))
			}
		})
		t.Run("batchSize, skip and limit", func(t *testing.T) {
			reply := s.mustRun(t, doc("find", c, "sort", doc("_id", -1), "skip", 10, "limit", 25, "batchSize", 10))
			wantSame(t, "first", at(at(reply, "cursor", "firstBatch").(bson.A)[0], "_id"), int32(239))
			cursor := id(reply)
			for _, want := range []int{10, 5} {
				reply = s.mustRun(t, doc("getMore", cursor, "collection", c, "batchSize", 10))
				if n := batch(reply, "nextBatch"); n != want {
					t.Errorf("%d documents, want %d", n, want)
				}
			}
			wantCode(t, s.run(t, doc("getMore", cursor, "collection", c)), 43)
		})
		t.Run("a cursor shows the documents as they were found", func(t *testing.T) {
			c := s.collection(t, doc("_id", 1, "a", 1))
			reply := s.mustRun(t, doc("find", c, "batchSize", 0))
			reply = s.mustRun(t, doc("getMore", id(reply), "collection", c))
			wantSame(t, "documents", at(reply, "cursor", "nextBatch"), list(doc("_id", 1, "a", 1)))
		})
		t.Run("singleBatch leaves no cursor", func(t *testing.T) {
			if n := id(s.mustRun(t, doc("find", c, "batchSize", 2, "singleBatch", true))); n != 0 {
				t.Errorf("cursor %d", n)
			}
		})
		t.Run("a killed cursor is gone", func(t *testing.T) {
			cursor := id(s.mustRun(t, doc("find", c, "batchSize", 2)))
			reply := s.mustRun(t, doc("killCursors", c, "cursors", list(cursor, int64(12345))))
			wantSame(t, "killed", at(reply, "cursorsKilled"), list(cursor))
			wantSame(t, "not found", at(reply, "cursorsNotFound"), list(int64(12345)))
			wantCode(t, s.run(t, doc("getMore", cursor, "collection", c)), 43)
		})
		t.Run("a cursor belongs to its collection", func(t *testing.T) {
			cursor := id(s.mustRun(t, doc("find", c, "batchSize", 2)))
			wantCode(t, s.run(t, doc("getMore", cursor, "collection", "other")), 13)
			s.mustRun(t, doc("killCursors", c, "cursors", list(cursor)))
		})
		wantCode(t, s.run(t, doc("getMore", 1, "collection", c)), 14)
		wantCode(t, s.run(t, doc("getMore", int64(1))), 40414)
		wantCode(t, s.run(t, doc("getMore", int64(1), "collection", c, "batchSize", -1)), 51024)
		wantCode(t, s.run(t, doc("killCursors", c, "cursors", list(1))), 14)
		wantCode(t, s.run(t, doc("find", c, "limit", -1)), 51024)
		wantCode(t, s.run(t, doc("find", c, "skip", -1)), 51024)
	})
}

func TestCountDistinctAndAggregate(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, doc("_id", 1, "a", 2), doc("_id", 2, "a", list(1, 2.0, "x")), doc("_id", 3, "b", 1), doc("_id", 4, "a", nil))
		for _, test := range []struct {
			command bson.D
			n       int32
		}{
			{doc(), 4},
			{doc("query", doc("a", 2)), 2},
			{doc("query", doc(), "skip", 3), 1},
			{doc("limit", 2), 2},
			{doc("limit", -3), 3},
		} {
			wantSame(t, "count", at(s.mustRun(t, append(doc("count", c), test.command...)), "n"), test.n)
		}
		wantSame(t, "count of nothing", at(s.mustRun(t, doc("count", "none")), "n"), int32(0))

		reply := s.mustRun(t, doc("distinct", c, "key", "a"))
		wantSame(t, "distinct", at(reply, "values"), list(nil, 1, 2, "x"))
		reply = s.mustRun(t, doc("distinct", c, "key", "a", "query", doc("_id", 1)))
		wantSame(t, "distinct with a query", at(reply, "values"), list(2))
		wantCode(t, s.run(t, doc("distinct", c)), 40414)

		for _, test := range []struct {
			name     string
			pipeline bson.A
			want     bson.A
		}{
			{"no stage", list(), s.documents(t, c)},
			{"how drivers count", list(doc("$match", doc("a", 2)), doc("$group", doc("_id", 1, "n", doc("$sum", 1)))), list(doc("_id", 1, "n", 2))},
			{"a group of nothing", list(doc("$match", doc("a", 9)), doc("$group", doc("_id", 1, "n", doc("$sum", 1)))), list()},
			{"$sum of a double", list(doc("$group", doc("_id", nil, "n", doc("$sum", 0.5)))), list(doc("_id", nil, "n", 2.0))},
			{"$count", list(doc("$skip", 1), doc("$count", "n")), list(doc("n", 3))},
			{"$count of nothing", list(doc("$match", doc("a", 9)), doc("$count", "n")), list()},
			{"$sort, $skip, $limit, $project", list(doc("$sort", doc("_id", -1)), doc("$skip", 1), doc("$limit", 1), doc("$project", doc("b", 1, "_id", 0))), list(doc("b", 1))},
		} {
			t.Run(test.name, func(t *testing.T) {
				reply := s.mustRun(t, doc("aggregate", c, "pipeline", test.pipeline, "cursor", doc()))
				wantSame(t, test.name, at(reply, "cursor", "firstBatch"), test.want)
			})
		}
		for _, test := range []struct {
			stage any
			code  int32
		}{
			{doc("$foo", 1), 40324},
			{doc("$match", doc(), "$skip", 1), 40323},
			{1, 14},
			{doc("$match", 1), 15959},
			{doc("$match", doc("a", doc("$foo", 1))), 2},
			{doc("$limit", 0), 15958},
			{doc("$limit", -1), 5107201},
			{doc("$skip", -1), 5107200},
			{doc("$count", ""), 40157},
			{doc("$count", "$n"), 40158},
			{doc("$count", "a.b"), 40160},
			{doc("$sort", doc()), 15976},
			{doc("$sort", doc("a", 2)), 15975},
			{doc("$group", doc("n", doc("$sum", 1))), 15955},
			{doc("$group", doc("_id", 1, "n", 1)), 40234},
			{doc("$project", doc()), 51272},
		} {
			wantCode(t, s.run(t, doc("aggregate", c, "pipeline", list(test.stage), "cursor", doc())), test.code)
		}
		wantCode(t, s.run(t, doc("aggregate", c, "pipeline", list())), 9)
		if s.own {
			for _, stage := range []bson.D{
				doc("$lookup", doc()), doc("$unwind", "$a"), doc("$group", doc("_id", "$a")),
				doc("$group", doc("_id", 1, "n", doc("$sum", "$a"))), doc("$group", doc("_id", 1, "n", doc("$avg", 1))),
				doc("$project", doc("n", doc("$add", list(1, 2)))), doc("$project", doc("n", "$a")),
			} {
				wantCode(t, s.run(t, doc("aggregate", c, "pipeline", list(stage), "cursor", doc())), 238)
			}
		}
	})
}

func TestCatalog(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		names := func() []string {
			var found []string
			for _, d := range at(s.mustRun(t, doc("listCollections", 1, "nameOnly", true)), "cursor", "firstBatch").(bson.A) {
				found = append(found, at(d, "name").(string))
			}
			slices.Sort(found)
			return found
		}
		databases := func() string {
			reply := s.runOn(t, "admin", doc("listDatabases", 1, "nameOnly", true, "filter", doc("name", s.db)))
			return show(at(reply, "databases"))
		}
		if got := databases(); got != "[]" {
			t.Errorf("databases before: %s", got)
		}
		s.mustRun(t, doc("create", "made"))
		wantCode(t, s.run(t, doc("create", "made")), 48)
		s.mustRun(t, doc("insert", "written", "documents", list(doc("_id", 1))))
		wantSame(t, "collections", names(), []string{"made", "written"})
		wantSame(t, "databases", databases(), show(list(doc("name", s.db))))
		one := s.mustRun(t, doc("listCollections", 1, "filter", doc("name", "made")))
		entry := at(one, "cursor", "firstBatch").(bson.A)[0]
		wantSame(t, "type", at(entry, "type"), "collection")
		wantSame(t, "idIndex", at(entry, "idIndex"), doc("v", 2, "key", doc("_id", 1), "name", "_id_"))

		reply := s.mustRun(t, doc("drop", "made"))
		wantSame(t, "ns", at(reply, "ns"), s.db+".made")
		s.mustRun(t, doc("drop", "made")) // no error since MongoDB 7.0
		wantSame(t, "collections", names(), []string{"written"})
		wantSame(t, "dropped", at(s.mustRun(t, doc("dropDatabase", 1)), "dropped"), s.db)
		wantSame(t, "collections", names(), []string(nil))
		wantCode(t, s.run(t, doc("listDatabases", 1)), 13)
		if s.own {
			wantCode(t, s.run(t, doc("create", "x", "capped", true, "size", 1)), 238)
		}
	})
}

func TestUniqueIndexes(t *testing.T) {
	index := func(name string, key bson.D, unique bool) bson.D {
		d := doc("key", key, "name", name)
		if unique {
			d = append(d, bson.E{Key: "unique", Value: true})
		}
		return d
	}
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t)
		reply := s.mustRun(t, doc("createIndexes", c, "indexes", list(index("job", doc("job_id", 1), true))))
		wantSame(t, "before", at(reply, "numIndexesBefore"), int32(1))
		wantSame(t, "after", at(reply, "numIndexesAfter"), int32(2))
		wantSame(t, "created", at(reply, "createdCollectionAutomatically"), true)
		reply = s.mustRun(t, doc("createIndexes", c, "indexes", list(index("job", doc("job_id", 1), true))))
		wantSame(t, "again", at(reply, "numIndexesAfter"), int32(2))

		insert := func(d bson.D) bson.D { return s.run(t, doc("insert", c, "documents", list(d))) }
		update := func(id int, u bson.D) bson.D {
			return s.run(t, doc("update", c, "updates", list(doc("q", doc("_id", id), "u", u, "upsert", true))))
		}
		wantCode(t, insert(doc("_id", 1, "job_id", "a")), 0)
		reply = insert(doc("_id", 2, "job_id", "a"))
		wantCode(t, reply, 11000)
		wantSame(t, "keyValue", at(at(reply, "writeErrors").(bson.A)[0], "keyValue"), doc("job_id", "a"))
		wantCode(t, insert(doc("_id", 2)), 0)
		wantCode(t, insert(doc("_id", 3)), 11000) // a missing field counts as null
		wantCode(t, insert(doc("_id", 3, "job_id", list("b", "c"))), 0)
		wantCode(t, insert(doc("_id", 4, "job_id", "c")), 11000) // each element counts
		wantCode(t, update(2, doc("$set", doc("job_id", "a"))), 11000)
		wantCode(t, update(5, doc("$set", doc("job_id", "a"))), 11000)
		wantCode(t, s.run(t, doc("findAndModify", c, "query", doc("_id", 2), "update", doc("$set", doc("job_id", "b")))), 11000)
		wantCode(t, update(1, doc("$set", doc("job_id", "z"))), 0)
		wantCode(t, update(2, doc("$set", doc("job_id", "a"))), 0) // free since the update before
		wantCode(t, s.run(t, doc("delete", c, "deletes", list(doc("q", doc("_id", 2), "limit", 1)))), 0)
		wantCode(t, insert(doc("_id", 9, "job_id", "a")), 0) // free since the delete

		two := s.collection(t, doc("_id", 1, "a", 1, "b", 1), doc("_id", 2, "a", 1, "b", 2))
		wantCode(t, s.run(t, doc("createIndexes", two, "indexes", list(index("a", doc("a", 1), true)))), 11000)
		s.mustRun(t, doc("createIndexes", two, "indexes", list(index("ab", doc("a", 1, "b", -1), true))))
		wantCode(t, s.run(t, doc("insert", two, "documents", list(doc("a", 1, "b", 2)))), 11000)
		wantCode(t, s.run(t, doc("insert", two, "documents", list(doc("a", list(1), "b", list(2))))), 171)

		for _, test := range []struct {
			indexes bson.A
			code    int32
		}{
			{list(), 2},
			{list(doc("key", doc("x", 1))), 9},
			{list(doc("name", "x")), 9},
			{list(doc("key", doc("x", 1), "name", "")), 67},
			{list(doc("key", doc(), "name", "x")), 67},
			{list(doc("key", doc("x", 0), "name", "x")), 67},
			{list(doc("key", doc("x", 1), "name", "x", "foo", 1)), 197},
			{list(doc("key", doc("_id", 1), "name", "_id_", "unique", true)), 197},
			{list(index("x", doc("x", 1), false), index("x", doc("x", 1), false)), 68},
			{list(index("job2", doc("job_id", 1), true)), 85},
			{list(index("job", doc("other", 1), true)), 86},
		} {
			wantCode(t, s.run(t, doc("createIndexes", c, "indexes", test.indexes)), test.code)
		}
		if s.own {
			for _, spec := range []bson.D{
				doc("key", doc("x", "text"), "name", "x"),
				doc("key", doc("x", 1), "name", "x", "sparse", true),
				doc("key", doc("x", 1), "name", "x", "expireAfterSeconds", 1),
			} {
				wantCode(t, s.run(t, doc("createIndexes", c, "indexes", list(spec))), 238)
			}
		}
	})
}

func TestWhatEveryCommandChecks(t *testing.T) {
	lsid := doc("id", bson.Binary{Subtype: 4, Data: make([]byte, 16)})
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, doc("_id", 1))
		insert := func(more ...any) bson.D {
			return append(doc("insert", c, "documents", list(doc("a", 1))), doc(more...)...)
		}
		for _, test := range []struct {
			name    string
			command bson.D
			code    int32
		}{
			{"an unknown command", doc("frobnicate", 1), 59},
			{"a command is known by its exact name", doc("Find", c), 59},
			{"an unknown field", doc("find", c, "frob", 1), 40415},
			{"an unknown field of a statement", doc("update", c, "updates", list(doc("q", doc(), "u", doc("$set", doc("a", 1)), "frob", 1))), 40415},
			{"a missing field", doc("insert", c), 40414},
			{"a field given twice", append(doc("find", c, "limit", 1), doc("limit", 2)...), 40413},
			{"a field of the wrong type", doc("find", c, "filter", 1), 14},
			{"an option of the wrong type", doc("find", c, "limit", "1"), 14},
			{"a flag of the wrong type", insert("ordered", "yes"), 14},
			{"a collection that is no name", doc("find", 1), 73},
			{"an empty name", doc("find", ""), 73},
			{"a comment", doc("find", c, "comment", doc("why", 1)), 0},
			{"a time limit", doc("find", c, "maxTimeMS", 1000), 0},
			{"a time limit below zero", doc("find", c, "maxTimeMS", -1), 2},
			{"a time limit that is no number", doc("find", c, "maxTimeMS", "1"), 2},
			{"a read concern", doc("find", c, "readConcern", doc("level", "local")), 0},
			{"an unknown read concern", doc("find", c, "readConcern", doc("level", "foo")), 2},
			{"write concern majority and journal", insert("writeConcern", doc("w", "majority", "j", true)), 0},
			{"write concern 1", insert("writeConcern", doc("w", 1, "wtimeout", 1000)), 0},
			{"write concern 2 on a standalone", insert("writeConcern", doc("w", 2)), 2},
			{"a write concern for a read", doc("find", c, "writeConcern", doc("w", 1)), 72},
			{"the stable API", doc("find", c, "apiVersion", "1"), 0},
			{"an unknown version of it", doc("find", c, "apiVersion", "2"), 322},
			{"a transaction number on a standalone", insert("lsid", lsid, "txnNumber", int64(1)), 20},
		} {
			t.Run(test.name, func(t *testing.T) {
				if !s.own && test.code == 20 {
					t.Skip("the server may be no standalone")
				}
				wantCode(t, s.run(t, test.command), test.code)
			})
		}
		for _, command := range []string{"ping", "buildInfo", "connectionStatus", "serverStatus", "hello", "isMaster", "ismaster"} {
			wantSame(t, command, at(s.mustRun(t, doc(command, 1)), "ok"), 1.0)
		}
		s.mustRun(t, doc("endSessions", list(lsid)))
	})
}

func TestHelloSaysWhatDriversWant(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		if !s.own {
			t.Skip("values of this server")
		}
		for command, primary := range map[string]string{"hello": "isWritablePrimary", "isMaster": "ismaster"} {
			reply := s.mustRun(t, doc(command, 1, "helloOk", true, "unheardOf", 1))
			for _, want := range doc(primary, true, "helloOk", true, "maxBsonObjectSize", 16777216, "maxMessageSizeBytes", 48000000,
				"maxWriteBatchSize", 100000, "logicalSessionTimeoutMinutes", 30, "minWireVersion", 0, "maxWireVersion", 21, "readOnly", false) {
				wantSame(t, want.Key, at(reply, want.Key), want.Value)
			}
			for _, field := range []string{"localTime", "connectionId", "topologyVersion"} {
				if at(reply, field) == nil {
					t.Errorf("%s has no %s", command, field)
				}
			}
		}
		version := at(s.mustRun(t, doc("buildInfo", 1)), "version")
		wantSame(t, "version", fmt.Sprint(version)[:2], "7.")
		wantCode(t, s.run(t, doc("hello", 1, "maxAwaitTimeMS", 1)), 31368)
	})
}
