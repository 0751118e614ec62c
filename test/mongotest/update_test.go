package mongotest_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestUpdatesChangeDocumentsAsMongoDBDoes gives each update a document and
// what becomes of it. An update that leaves it as it was must not count as a
// modification. Each goes through update and findAndModify.
func TestUpdatesChangeDocumentsAsMongoDBDoes(t *testing.T) {
	long := func(n int64) int64 { return n }
	tests := []struct {
		name          string
		before        bson.D
		update, after bson.D
	}{
		{"$set replaces in place", doc("a", 1, "b", 2), doc("$set", doc("a", "x")), doc("a", "x", "b", 2)},
		{"$set adds new fields at the end, by name", doc("m", 1), doc("$set", doc("z", 1, "b", 2)), doc("m", 1, "b", 2, "z", 1)},
		{"$set makes parents", doc(), doc("$set", doc("a.b.c", 1)), doc("a", doc("b", doc("c", 1)))},
		{"$set of an equal value changes nothing", doc("a", 1), doc("$set", doc("a", 1)), doc("a", 1)},
		{"$set of another type is a change", doc("a", 1), doc("$set", doc("a", long(1))), doc("a", long(1))},
		{"$set in an array by index", doc("a", list(1, 2)), doc("$set", doc("a.1", 9)), doc("a", list(1, 9))},
		{"$set behind the end of an array fills with null", doc("a", list(1)), doc("$set", doc("a.3", 9)), doc("a", list(1, nil, nil, 9))},
		{"$set in a document of an array", doc("a", list(doc("b", 1))), doc("$set", doc("a.0.b", 2)), doc("a", list(doc("b", 2)))},
		{"a new parent is a document even for a numeric part", doc(), doc("$set", doc("a.0", 1)), doc("a", doc("0", 1))},
		{"numeric parts go in order of their numbers", doc(), doc("$set", doc("a.10", 1, "a.9", 2)), doc("a", doc("9", 2, "10", 1))},
		{"$set keeps the order of a document", doc(), doc("$set", doc("a", doc("z", 1, "b", 2))), doc("a", doc("z", 1, "b", 2))},
		{"a text that begins with a dollar is a text", doc(), doc("$set", doc("a", "$b")), doc("a", "$b")},
		{"several operators at once", doc("n", 1, "l", list()), doc("$inc", doc("n", 1), "$push", doc("l", 1), "$set", doc("s", 1)), doc("n", 2, "l", list(1), "s", 1)},
		{"an operator without fields does nothing", doc("a", 1), doc("$set", doc()), doc("a", 1)},
		{"$setOnInsert does nothing to what is there", doc("a", 1), doc("$setOnInsert", doc("a", 2, "b", 3)), doc("a", 1)},

		{"$unset", doc("a", 1, "b", 2), doc("$unset", doc("a", "")), doc("b", 2)},
		{"$unset of a nested field", doc("a", doc("b", 1, "c", 2)), doc("$unset", doc("a.b", "")), doc("a", doc("c", 2))},
		{"$unset of what is not there", doc("a", 1), doc("$unset", doc("b.c", "")), doc("a", 1)},
		{"$unset below a plain value", doc("a", 1), doc("$unset", doc("a.b", "")), doc("a", 1)},
		{"$unset in an array leaves null", doc("a", list(1, 2)), doc("$unset", doc("a.0", "")), doc("a", list(nil, 2))},

		{"$inc of an int", doc("a", 1), doc("$inc", doc("a", 2)), doc("a", 3)},
		{"$inc by a negative number", doc("a", 1), doc("$inc", doc("a", -2)), doc("a", -1)},
		{"$inc of a missing field sets it", doc(), doc("$inc", doc("a.b", 2)), doc("a", doc("b", 2))},
		{"$inc of ints beyond 32 bits gives a long", doc("a", math.MaxInt32), doc("$inc", doc("a", 1)), doc("a", long(math.MaxInt32+1))},
		{"$inc by a long gives a long", doc("a", 1), doc("$inc", doc("a", long(1))), doc("a", long(2))},
		{"$inc by a double gives a double", doc("a", 1), doc("$inc", doc("a", 0.5)), doc("a", 1.5)},
		{"$inc of a double stays one", doc("a", 1.5), doc("$inc", doc("a", 1)), doc("a", 2.5)},
		{"$inc by zero changes nothing", doc("a", 1), doc("$inc", doc("a", 0)), doc("a", 1)},
		{"$mul", doc("a", 3), doc("$mul", doc("a", 4)), doc("a", 12)},
		{"$mul of ints beyond 32 bits gives a long", doc("a", 1<<20), doc("$mul", doc("a", 1<<20)), doc("a", long(1<<40))},
		{"$mul of a missing field is zero of the type", doc(), doc("$mul", doc("a", long(4))), doc("a", long(0))},
		{"$mul by a double", doc("a", 3), doc("$mul", doc("a", 0.5)), doc("a", 1.5)},
		{"$min lowers", doc("a", 3), doc("$min", doc("a", 2)), doc("a", 2)},
		{"$min without effect", doc("a", 3), doc("$min", doc("a", 4)), doc("a", 3)},
		{"$max raises", doc("a", 3), doc("$max", doc("a", 3.5)), doc("a", 3.5)},
		{"$max without effect", doc("a", 3), doc("$max", doc("a", 2)), doc("a", 3)},
		{"$max of an equal number keeps the type", doc("a", 3), doc("$max", doc("a", 3.0)), doc("a", 3)},
		{"$max sets a missing field", doc(), doc("$max", doc("a.b", 1)), doc("a", doc("b", 1))},
		{"$max follows the order of types", doc("a", 3), doc("$max", doc("a", "x")), doc("a", "x")},
		{"$max of dates", doc("a", bson.DateTime(1)), doc("$max", doc("a", bson.DateTime(2))), doc("a", bson.DateTime(2))},

		{"$push", doc("a", list(1)), doc("$push", doc("a", 2)), doc("a", list(1, 2))},
		{"$push makes the array", doc(), doc("$push", doc("a.b", 1)), doc("a", doc("b", list(1)))},
		{"$push of an array is one element", doc("a", list(1)), doc("$push", doc("a", list(2, 3))), doc("a", list(1, list(2, 3)))},
		{"$push of a document", doc("a", list()), doc("$push", doc("a", doc("file", "x", "n", 1))), doc("a", list(doc("file", "x", "n", 1)))},
		{"$push $each", doc("a", list(1)), doc("$push", doc("a", doc("$each", list(2, 3)))), doc("a", list(1, 2, 3))},
		{"$push $each of nothing makes the array", doc(), doc("$push", doc("a", doc("$each", list()))), doc("a", list())},
		{"$push $each of nothing changes nothing", doc("a", list(1)), doc("$push", doc("a", doc("$each", list()))), doc("a", list(1))},
		{"$push $position", doc("a", list(1, 2)), doc("$push", doc("a", doc("$each", list(8, 9), "$position", 1))), doc("a", list(1, 8, 9, 2))},
		{"$push $position counts from the end", doc("a", list(1, 2, 3)), doc("$push", doc("a", doc("$each", list(9), "$position", -1))), doc("a", list(1, 2, 9, 3))},
		{"$push $position beyond the end", doc("a", list(1)), doc("$push", doc("a", doc("$each", list(9), "$position", 7))), doc("a", list(1, 9))},
		{"$push $position before the start", doc("a", list(1)), doc("$push", doc("a", doc("$each", list(9), "$position", -7))), doc("a", list(9, 1))},
		{"$push $slice keeps the first", doc("a", list(1, 2)), doc("$push", doc("a", doc("$each", list(3), "$slice", 1))), doc("a", list(1))},
		{"$push $slice keeps the last", doc("a", list(1, 2)), doc("$push", doc("a", doc("$each", list(3), "$slice", -2))), doc("a", list(2, 3))},
		{"$push $slice 0 empties", doc("a", list(1, 2)), doc("$push", doc("a", doc("$each", list(), "$slice", 0))), doc("a", list())},
		{"$push $sort", doc("a", list(3, 1)), doc("$push", doc("a", doc("$each", list(2), "$sort", -1))), doc("a", list(3, 2, 1))},
		{"$push $sort by a field", doc("a", list(doc("n", 3), doc("n", 1))), doc("$push", doc("a", doc("$each", list(doc("n", 2)), "$sort", doc("n", 1)))), doc("a", list(doc("n", 1), doc("n", 2), doc("n", 3)))},
		{"$push adds, then sorts, then cuts", doc("a", list(5, 1)), doc("$push", doc("a", doc("$slice", 2, "$sort", 1, "$each", list(3)))), doc("a", list(1, 3))},
		{"$addToSet adds", doc("a", list(1)), doc("$addToSet", doc("a", 2)), doc("a", list(1, 2))},
		{"$addToSet of what is there", doc("a", list("x", "y")), doc("$addToSet", doc("a", "x")), doc("a", list("x", "y"))},
		{"$addToSet compares numbers by value", doc("a", list(1)), doc("$addToSet", doc("a", 1.0)), doc("a", list(1))},
		{"$addToSet makes the array", doc(), doc("$addToSet", doc("a.b", "x")), doc("a", doc("b", list("x")))},
		{"$addToSet $each", doc("a", list(1)), doc("$addToSet", doc("a", doc("$each", list(1, 2, 2, 3)))), doc("a", list(1, 2, 3))},
		{"$addToSet of documents looks at the order of fields", doc("a", list(doc("x", 1, "y", 2))), doc("$addToSet", doc("a", doc("y", 2, "x", 1))), doc("a", list(doc("x", 1, "y", 2), doc("y", 2, "x", 1)))},
		{"$pull a value", doc("a", list(1, 2, 1.0, 3)), doc("$pull", doc("a", 1)), doc("a", list(2, 3))},
		{"$pull by operators", doc("a", list(1, 5, 9)), doc("$pull", doc("a", doc("$gte", 5))), doc("a", list(1))},
		{"$pull by fields", doc("a", list(doc("b", 1, "c", 1), doc("b", 2), 1)), doc("$pull", doc("a", doc("b", 1))), doc("a", list(doc("b", 2), 1))},
		{"$pull by a regular expression", doc("a", list("page", "x")), doc("$pull", doc("a", bson.Regex{Pattern: "^p"})), doc("a", list("x"))},
		{"$pull of an array wants that array", doc("a", list(list(1, 2), 1)), doc("$pull", doc("a", list(1, 2))), doc("a", list(1))},
		{"$pull of what is not there", doc("a", list(1)), doc("$pull", doc("a", 2)), doc("a", list(1))},
		{"$pull of a missing field", doc(), doc("$pull", doc("a.b", 2)), doc()},
		{"$pop the last", doc("a", list(1, 2)), doc("$pop", doc("a", 1)), doc("a", list(1))},
		{"$pop the first", doc("a", list(1, 2)), doc("$pop", doc("a", -1)), doc("a", list(2))},
		{"$pop of an empty array", doc("a", list()), doc("$pop", doc("a", 1)), doc("a", list())},
		{"$pop of a missing field", doc(), doc("$pop", doc("a", 1)), doc()},

		{"$rename", doc("a", 1, "b", 2), doc("$rename", doc("a", "c")), doc("b", 2, "c", 1)},
		{"$rename onto a field that is there", doc("a", 1, "b", 2), doc("$rename", doc("a", "b")), doc("b", 1)},
		{"$rename into a new parent", doc("a", 1), doc("$rename", doc("a", "b.c")), doc("b", doc("c", 1))},
		{"$rename of a missing field", doc("b", 1), doc("$rename", doc("a", "b")), doc("b", 1)},

		{"a replacement keeps _id", doc("a", 1), doc("b", 2), doc("b", 2)},
		{"a replacement by nothing", doc("a", 1), doc(), doc()},
		{"a replacement by the same", doc("a", 1), doc("a", 1), doc("a", 1)},
		{"a replacement with the same _id", doc("a", 1), doc("_id", 1, "a", 2), doc("a", 2)},
		{"$set of the same _id", doc("a", 1), doc("$set", doc("_id", 1)), doc("a", 1)},
	}
	everywhere(t, func(t *testing.T, s *session) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				before := append(doc("_id", 1), test.before...)
				after := append(doc("_id", 1), test.after...)
				changed := int32(0)
				if show(before) != show(after) {
					changed = 1
				}

				c := s.collection(t, before)
				reply := s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u", test.update))))
				wantSame(t, "document", s.documents(t, c), list(after))
				wantSame(t, "n", at(reply, "n"), int32(1))
				wantSame(t, "nModified", at(reply, "nModified"), changed)

				c = s.collection(t, before)
				reply = s.run(t, doc("findAndModify", c, "query", doc(), "update", test.update, "new", true))
				wantSame(t, "value", at(reply, "value"), after)
				wantSame(t, "lastErrorObject", at(reply, "lastErrorObject"), doc("n", 1, "updatedExisting", true))
			})
		}
	})
}

// Every update here fails, and leaves the document as it was.
func TestUpdatesThatMeanNothingAreRefused(t *testing.T) {
	before := doc("_id", 1, "n", 1, "s", "x", "l", list(1, 2), "d", doc("x", 1), "big", int64(math.MaxInt64))
	deep := any(1)
	for range 170 {
		deep = doc("x", deep)
	}
	tests := []struct {
		name   string
		update any
		code   int32
	}{
		{"an unknown operator", doc("$foo", doc("a", 1)), 9},
		{"an operator that is no document", doc("$set", 1), 9},
		{"a field after operators", doc("$set", doc("a", 1), "b", 1), 9},
		{"an operator after fields", doc("a", 1, "$set", doc("b", 1)), 52},
		{"two operators on one path", doc("$set", doc("a", 1), "$inc", doc("a", 1)), 40},
		{"an operator below another", doc("$set", doc("a", doc()), "$inc", doc("a.b", 1)), 40},
		{"an operator above another", doc("$set", doc("a.b", 1), "$inc", doc("a", 1)), 40},
		{"an empty part", doc("$set", doc("a..b", 1)), 56},
		{"an empty path", doc("$set", doc("", 1)), 56},
		{"a part with a dollar", doc("$set", doc("a.$b", 1)), 52},
		{"$set below a plain value", doc("$set", doc("n.x", 1)), 28},
		{"$set of a name in an array", doc("$set", doc("l.x", 1)), 28},
		{"$inc below a text", doc("$inc", doc("s.x", 1)), 28},
		{"$inc of a text", doc("$inc", doc("s", 1)), 14},
		{"$inc by a text", doc("$inc", doc("n", "1")), 14},
		{"$inc beyond 64 bits", doc("$inc", doc("big", 1)), 2},
		{"$mul of a text", doc("$mul", doc("s", 1)), 14},
		{"$mul by a text", doc("$mul", doc("n", "1")), 14},
		{"$mul beyond 64 bits", doc("$mul", doc("big", 2)), 2},
		{"$push to a text", doc("$push", doc("s", 1)), 2},
		{"$push $each without an array", doc("$push", doc("l", doc("$each", 1))), 2},
		{"$push with an unknown clause", doc("$push", doc("l", doc("$each", list(1), "$foo", 1))), 2},
		{"$push $slice of a text", doc("$push", doc("l", doc("$each", list(1), "$slice", "1"))), 2},
		{"$push $position of a text", doc("$push", doc("l", doc("$each", list(1), "$position", "1"))), 2},
		{"$push $sort of 2", doc("$push", doc("l", doc("$each", list(1), "$sort", 2))), 2},
		{"$addToSet to a text", doc("$addToSet", doc("s", 1)), 2},
		{"$addToSet $each without an array", doc("$addToSet", doc("l", doc("$each", 1))), 14},
		{"$pull from a text", doc("$pull", doc("s", 1)), 2},
		{"$pull with an unknown operator", doc("$pull", doc("l", doc("$foo", 1))), 2},
		{"$pop from a text", doc("$pop", doc("s", 1)), 14},
		{"$pop of 2", doc("$pop", doc("l", 2)), 9},
		{"$currentDate of a text", doc("$currentDate", doc("a", "x")), 2},
		{"$currentDate of an unknown type", doc("$currentDate", doc("a", doc("$type", "x"))), 2},
		{"$rename to a number", doc("$rename", doc("n", 1)), 2},
		{"$rename to itself", doc("$rename", doc("n", "n")), 2},
		{"$rename below itself", doc("$rename", doc("n", "n.x")), 2},
		{"$rename from an array's element", doc("$rename", doc("l.0", "x")), 2},
		{"$rename from below a plain value", doc("$rename", doc("n.x", "x")), 28},
		{"$rename into an array", doc("$rename", doc("n", "l.0")), 2},
		{"$set of another _id", doc("$set", doc("_id", 2)), 66},
		{"$unset of _id", doc("$unset", doc("_id", 1)), 66},
		{"$inc of _id", doc("$inc", doc("_id", 1)), 66},
		{"$rename of _id", doc("$rename", doc("_id", "a")), 66},
		{"a replacement with another _id", doc("_id", 2), 66},
		{"an update that is no document", 1, 9},
		{"a document too deep to be stored", doc("$set", doc("a.b.c.d.e.f.g.h.i.j.k.l", deep)), 15},
	}
	everywhere(t, func(t *testing.T, s *session) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				c := s.collection(t, before)
				wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u", test.update)))), test.code)
				wantCode(t, s.run(t, doc("findAndModify", c, "update", test.update)), test.code)
				wantSame(t, "document", s.documents(t, c), list(before))
			})
		}
		c := s.collection(t, before)
		wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u", doc("a", 1), "multi", true)))), 9)
	})
}

func TestUpdatesBeyondMongotestAreRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		if !s.own {
			t.Skip("MongoDB knows these")
		}
		before := doc("_id", 1, "l", list(1))
		c := s.collection(t, before)
		for _, update := range []any{
			doc("$bit", doc("a", doc("and", 1))),
			doc("$pullAll", doc("l", list(1))),
			doc("$set", doc("l.$", 1)),
			doc("$set", doc("l.$[]", 1)),
			doc("$set", doc("l.$[x]", 1)),
			list(doc("$set", doc("a", 1))),
		} {
			wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc("l", 1), "u", update)))), 238)
		}
		u := doc("$set", doc("a", 1))
		wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u", u, "arrayFilters", list())))), 238)
		wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u", u, "collation", doc("locale", "de"))))), 238)
		d, _ := bson.ParseDecimal128("1")
		wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u", doc("$inc", doc("n", d)), "upsert", false)))), 0)
		wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u", doc("$inc", doc("n", 1)))))), 238)
	})
}

func TestCurrentDateIsTheServersTime(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, doc("_id", 1, "n", 1))
		early := time.Now().Add(-time.Hour)
		reply := s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u",
			doc("$currentDate", doc("date", true, "typed", doc("$type", "date"), "stamp", doc("$type", "timestamp")))))))
		wantSame(t, "nModified", at(reply, "nModified"), int32(1))
		d := s.documents(t, c)[0]
		for _, field := range []string{"date", "typed"} {
			if v, ok := at(d, field).(bson.DateTime); !ok || v.Time().Before(early) {
				t.Errorf("%s is %v, no BSON date of now", field, at(d, field))
			}
		}
		if v, ok := at(d, "stamp").(bson.Timestamp); !ok || int64(v.T) < early.Unix() {
			t.Errorf("stamp is %v, no timestamp of now", at(d, "stamp"))
		}
	})
}

// TestUpsertsBeginWithWhatTheFilterFixes gives each filter and update what is
// inserted where nothing matches. _id is 1 unless the filter has none.
func TestUpsertsBeginWithWhatTheFilterFixes(t *testing.T) {
	set := doc("$set", doc("z", 1))
	tests := []struct {
		name           string
		filter, update bson.D
		want           bson.D
	}{
		{"equality", doc("_id", 1, "a", 2), set, doc("_id", 1, "a", 2, "z", 1)},
		{"$eq", doc("_id", 1, "a", doc("$eq", 2)), set, doc("_id", 1, "a", 2, "z", 1)},
		{"a dotted path", doc("_id", 1, "a.b", 2), set, doc("_id", 1, "a", doc("b", 2), "z", 1)},
		{"$and", doc("$and", list(doc("_id", 1), doc("a", 2))), set, doc("_id", 1, "a", 2, "z", 1)},
		{"other operators fix nothing", doc("_id", 1, "a", doc("$gt", 2), "b", doc("$ne", 1)), set, doc("_id", 1, "z", 1)},
		{"$or of several fixes nothing", doc("_id", 1, "$or", list(doc("a", 1), doc("b", 1))), set, doc("_id", 1, "z", 1)},
		{"_id comes first", doc("a", 2, "_id", 1), set, doc("_id", 1, "a", 2, "z", 1)},
		{"_id by the update", doc("a", 2), doc("$set", doc("_id", 1)), doc("_id", 1, "a", 2)},
		{"_id by $setOnInsert", doc("a", 2), doc("$setOnInsert", doc("_id", 1, "b", 3)), doc("_id", 1, "a", 2, "b", 3)},
		{"an operator works on what the filter fixed", doc("_id", 1, "n", 2), doc("$inc", doc("n", 3)), doc("_id", 1, "n", 5)},
		{"$setOnInsert", doc("_id", 1), doc("$setOnInsert", doc("a", 1), "$set", doc("b", 2)), doc("_id", 1, "a", 1, "b", 2)},
		{"a replacement takes only _id", doc("_id", 1, "a", 2), doc("b", 3), doc("_id", 1, "b", 3)},
	}
	everywhere(t, func(t *testing.T, s *session) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				c := s.collection(t)
				statement := doc("q", test.filter, "u", test.update, "upsert", true)
				reply := s.run(t, doc("update", c, "updates", list(statement)))
				wantSame(t, "document", s.documents(t, c), list(test.want))
				wantSame(t, "n", at(reply, "n"), int32(1))
				wantSame(t, "nModified", at(reply, "nModified"), int32(0))
				wantSame(t, "upserted", at(reply, "upserted"), list(doc("index", 0, "_id", 1)))

				c = s.collection(t)
				reply = s.run(t, doc("findAndModify", c, "query", test.filter, "update", test.update, "upsert", true, "new", true))
				wantSame(t, "value", at(reply, "value"), test.want)
				wantSame(t, "lastErrorObject", at(reply, "lastErrorObject"), doc("n", 1, "updatedExisting", false, "upserted", 1))
			})
		}
		t.Run("an _id is made where none is given", func(t *testing.T) {
			c := s.collection(t)
			s.mustRun(t, doc("update", c, "updates", list(doc("q", doc("a", 1), "u", set, "upsert", true))))
			d := s.documents(t, c)[0].(bson.D)
			if _, ok := d[0].Value.(bson.ObjectID); d[0].Key != "_id" || !ok {
				t.Errorf("no ObjectID in front: %s", show(d))
			}
		})
		refused := []struct {
			name           string
			filter, update bson.D
			code           int32
		}{
			{"a field fixed twice", doc("a", 1, "$and", list(doc("a", 2))), set, 54},
			{"a field fixed above another", doc("a", doc("b", 1), "a.b", 1), set, 54},
			{"with a name between the two in order", doc("a", doc("b", 1), "a-b", 1, "a.b", 1), set, 54},
			{"another _id than the filter's", doc("_id", 1), doc("$set", doc("_id", 2)), 66},
			{"a replacement with another _id", doc("_id", 1), doc("_id", 2), 66},
		}
		for _, test := range refused {
			t.Run(test.name, func(t *testing.T) {
				c := s.collection(t)
				wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", test.filter, "u", test.update, "upsert", true)))), test.code)
				wantSame(t, "documents", s.documents(t, c), list())
			})
		}
	})
}

func TestUpdateStatements(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		inc := doc("$inc", doc("n", 1))
		t.Run("without multi the first match in natural order is updated", func(t *testing.T) {
			c := s.collection(t, doc("_id", 2, "n", 1), doc("_id", 1, "n", 1))
			s.mustRun(t, doc("update", c, "updates", list(doc("q", doc("n", 1), "u", inc))))
			wantSame(t, "documents", s.documents(t, c), list(doc("_id", 1, "n", 1), doc("_id", 2, "n", 2)))
		})
		t.Run("with multi all matches are", func(t *testing.T) {
			c := s.collection(t, doc("_id", 1, "n", 1), doc("_id", 2, "n", 1), doc("_id", 3, "n", 9))
			reply := s.mustRun(t, doc("update", c, "updates", list(doc("q", doc("n", 1), "u", doc("$max", doc("n", 2)), "multi", true))))
			wantSame(t, "n", at(reply, "n"), int32(2))
			wantSame(t, "nModified", at(reply, "nModified"), int32(2))
		})
		t.Run("an ordered command ends at its first failure", func(t *testing.T) {
			c := s.collection(t, doc("_id", 1, "n", 1, "s", "x"))
			bad := doc("q", doc(), "u", doc("$inc", doc("s", 1)))
			good := doc("q", doc(), "u", inc)
			reply := s.run(t, doc("update", c, "updates", list(good, bad, good)))
			wantSame(t, "n", at(reply, "n"), int32(1))
			wantSame(t, "index", at(at(reply, "writeErrors").(bson.A)[0], "index"), int32(1))
			reply = s.run(t, doc("update", c, "updates", list(good, bad, good), "ordered", false))
			wantSame(t, "n", at(reply, "n"), int32(2))
			wantSame(t, "documents", s.documents(t, c), list(doc("_id", 1, "n", 4, "s", "x")))
		})
		t.Run("a push counts as a modification even where the slice cuts it off", func(t *testing.T) {
			c := s.collection(t, doc("_id", 1, "l", list(1)))
			reply := s.mustRun(t, doc("update", c, "updates", list(doc("q", doc(), "u", doc("$push", doc("l", doc("$each", list(2), "$slice", 1)))))))
			wantSame(t, "nModified", at(reply, "nModified"), int32(1))
			wantSame(t, "documents", s.documents(t, c), list(doc("_id", 1, "l", list(1))))
		})
		t.Run("nothing matches", func(t *testing.T) {
			c := s.collection(t, doc("_id", 1, "n", 1))
			reply := s.mustRun(t, doc("update", c, "updates", list(doc("q", doc("n", 2), "u", inc))))
			wantSame(t, "n", at(reply, "n"), int32(0))
			wantSame(t, "nModified", at(reply, "nModified"), int32(0))
		})
	})
}

func TestDocumentsEndAt16MiB(t *testing.T) {
	const limit = 16 << 20
	everywhere(t, func(t *testing.T, s *session) {
		// {_id: int32, a: text} takes 5 + 9 + 8 bytes and the text.
		full := strings.Repeat("x", limit-22)
		c := s.collection(t, doc("_id", 1, "a", full))
		wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc(), "u", doc("$set", doc("b", 1)))))), 17419)
		wantCode(t, s.run(t, doc("findAndModify", c, "update", doc("$push", doc("l", 1)))), 17419)
		// Compared as Go values: the text of 16 MiB takes seconds to write.
		if d := s.documents(t, c)[0].(bson.D); len(d) != 2 || at(d, "a") != full {
			t.Error("a refused update changed the document")
		}
		s.mustRun(t, doc("update", c, "updates", list(doc("q", doc(), "u", doc("$set", doc("a", full[:9]))))))

		wantCode(t, s.run(t, doc("insert", c, "documents", list(doc("_id", 2, "a", full+"x")))), 2)
		wantCode(t, s.run(t, doc("update", c, "updates", list(doc("q", doc("_id", 2), "u", doc("$set", doc("a", full+"x")), "upsert", true)))), 17420)
	})
}
