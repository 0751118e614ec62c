package mongotest_test

import (
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

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
		values := at(reply, "values").(bson.A) // in no order that MongoDB promises
		slices.SortFunc(values, func(a, b any) int { return strings.Compare(show(a), show(b)) })
		wantSame(t, "distinct", values, list("x", nil, 1, 2))
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
