package mongotest_test

import (
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

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
