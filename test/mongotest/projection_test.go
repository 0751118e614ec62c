package mongotest_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

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
