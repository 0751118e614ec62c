package mongotest_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

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
