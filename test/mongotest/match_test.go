package mongotest_test

import (
	"math"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestFiltersFindWhatMongoDBFinds gives each filter a collection and the _ids
// that it must find there.
func TestFiltersFindWhatMongoDBFinds(t *testing.T) {
	scalars := []bson.D{
		doc("_id", "missing"),
		doc("_id", "null", "a", nil),
		doc("_id", "int", "a", 5),
		doc("_id", "long", "a", int64(5)),
		doc("_id", "double", "a", 5.0),
		doc("_id", "more", "a", 6.5),
		doc("_id", "text", "a", "5"),
		doc("_id", "true", "a", true),
		doc("_id", "false", "a", false),
		doc("_id", "date", "a", bson.DateTime(5)),
		doc("_id", "nan", "a", math.NaN()),
		doc("_id", "empty", "a", list()),
		doc("_id", "list", "a", list(1, 5, 9)),
		doc("_id", "nested", "a", list(list(5))),
		doc("_id", "doc", "a", doc("b", 5)),
		doc("_id", "docs", "a", list(doc("b", 5), doc("b", 7, "c", 1), doc("c", 2))),
	}
	all := []string{"missing", "null", "int", "long", "double", "more", "text", "true", "false", "date", "nan", "empty", "list", "nested", "doc", "docs"}
	without := func(ids ...string) []string {
		var rest []string
		for _, id := range all {
			skip := false
			for _, x := range ids {
				skip = skip || x == id
			}
			if !skip {
				rest = append(rest, id)
			}
		}
		return rest
	}
	fives := []string{"int", "long", "double", "list"}

	tests := []struct {
		name   string
		filter bson.D
		want   []string
	}{
		{"an empty filter finds all", doc(), all},
		{"a number equals itself in every type and inside an array", doc("a", 5), fives},
		{"a long equals an int", doc("a", int64(5)), fives},
		{"$eq is equality", doc("a", doc("$eq", 5)), fives},
		{"a text is no number", doc("a", "5"), []string{"text"}},
		{"null finds null and missing", doc("a", nil), []string{"missing", "null"}},
		{"NaN equals itself", doc("a", math.NaN()), []string{"nan"}},
		{"an array equals itself", doc("a", list(1, 5, 9)), []string{"list"}},
		{"an array equals an element that is that array", doc("a", list(5)), []string{"nested"}},
		{"an array in another order is another array", doc("a", list(9, 5, 1)), nil},
		{"an empty array equals itself", doc("a", list()), []string{"empty"}},
		{"a document equals one with the same fields", doc("a", doc("b", 5)), []string{"doc", "docs"}},
		{"a document is another with its fields in another order", doc("a", doc("c", 1, "b", 7)), nil},
		{"a dotted path goes into documents and arrays of them", doc("a.b", 5), []string{"doc", "docs"}},
		{"a dotted path picks an element by its index", doc("a.1", 5), []string{"list"}},
		{"an index and a field", doc("a.1.b", 7), []string{"docs"}},
		{"an indexed element that is an array stands for itself", doc("a.0", 5), nil},
		{"an indexed element that is an array equals that array", doc("a.0", list(5)), []string{"nested"}},
		{"a dotted path is missing in plain values, but not in arrays of them", doc("a.b", nil),
			[]string{"missing", "null", "int", "long", "double", "more", "text", "true", "false", "date", "nan", "docs"}},

		{"$ne is the opposite of equality, missing fields included", doc("a", doc("$ne", 5)), without(fives...)},
		{"$ne null", doc("a", doc("$ne", nil)), without("missing", "null")},
		{"$gt looks at numbers only", doc("a", doc("$gt", 5)), []string{"more", "list"}},
		{"$gte takes all types of numbers", doc("a", doc("$gte", 5)), []string{"int", "long", "double", "more", "list"}},
		{"$lt", doc("a", doc("$lt", 5)), []string{"list"}},
		{"$lte", doc("a", doc("$lte", 5)), fives},
		{"$gte NaN finds only NaN", doc("a", doc("$gte", math.NaN())), []string{"nan"}},
		{"$gt compares texts with texts", doc("a", doc("$gt", "4")), []string{"text"}},
		{"$lt compares dates with dates", doc("a", doc("$lt", bson.DateTime(6))), []string{"date"}},
		{"$gt compares booleans with booleans", doc("a", doc("$gt", false)), []string{"true"}},
		{"$gte null finds null and missing", doc("a", doc("$gte", nil)), []string{"missing", "null"}},
		{"$gt null finds nothing", doc("a", doc("$gt", nil)), nil},
		{"$gt compares arrays with arrays", doc("a", doc("$gt", list(1, 5))), []string{"list", "nested", "docs"}},
		{"two bounds may be met by two elements", doc("a", doc("$gt", 8, "$lt", 2)), []string{"list"}},
		{"$elemMatch wants both bounds of one element", doc("a", doc("$elemMatch", doc("$gt", 8, "$lt", 2))), nil},

		{"$in", doc("a", doc("$in", list("5", true))), []string{"text", "true"}},
		{"$in null finds missing", doc("a", doc("$in", list(nil))), []string{"missing", "null"}},
		{"$in takes regular expressions", doc("a", doc("$in", list(bson.Regex{Pattern: "^5"}))), []string{"text"}},
		{"$in nothing finds nothing", doc("a", doc("$in", list())), nil},
		{"$nin is the opposite of $in", doc("a", doc("$nin", list(5, "5"))), without("int", "long", "double", "list", "text")},
		{"$exists true", doc("a", doc("$exists", true)), without("missing")},
		{"$exists false", doc("a", doc("$exists", false)), []string{"missing"}},
		{"$exists takes a number", doc("a", doc("$exists", 0)), []string{"missing"}},
		{"$exists on a dotted path", doc("a.c", doc("$exists", true)), []string{"docs"}},

		{"$and", doc("$and", list(doc("a", doc("$gt", 4)), doc("a", doc("$lt", 6)))), []string{"int", "long", "double", "list"}},
		{"$or", doc("$or", list(doc("a", "5"), doc("a", true))), []string{"text", "true"}},
		{"$nor", doc("$nor", list(doc("a", doc("$exists", true)))), []string{"missing"}},
		{"$not of an operator finds missing fields too", doc("a", doc("$not", doc("$gte", 5))), without("int", "long", "double", "more", "list")},
		{"$not of a regular expression", doc("a", doc("$not", bson.Regex{Pattern: "5"})), without("text")},
		{"$not of $regex", doc("a", doc("$not", doc("$regex", "5"))), without("text")},

		{"$elemMatch on values", doc("a", doc("$elemMatch", doc("$eq", 5))), []string{"list"}},
		{"$elemMatch on fields", doc("a", doc("$elemMatch", doc("b", 7, "c", 1))), []string{"docs"}},
		{"$elemMatch on fields wants them of one element", doc("a", doc("$elemMatch", doc("b", 5, "c", 1))), nil},
		{"$elemMatch with $or looks at fields", doc("a", doc("$elemMatch", doc("$or", list(doc("b", 9), doc("c", 2))))), []string{"docs"}},
		{"$elemMatch within $elemMatch", doc("a", doc("$elemMatch", doc("$elemMatch", doc("$eq", 5)))), []string{"nested"}},
		{"$size", doc("a", doc("$size", 3)), []string{"list", "docs"}},
		{"$size 0", doc("a", doc("$size", 0)), []string{"empty"}},
		{"$size takes a whole double", doc("a", doc("$size", 1.0)), []string{"nested"}},
		{"$all", doc("a", doc("$all", list(9, 1))), []string{"list"}},
		{"$all of one is equality", doc("a", doc("$all", list(5))), fives},
		{"$all of nothing finds nothing", doc("a", doc("$all", list())), nil},
		{"$all with $elemMatch", doc("a", doc("$all", list(doc("$elemMatch", doc("b", 5)), doc("$elemMatch", doc("c", 2))))), []string{"docs"}},

		{"$type by name", doc("a", doc("$type", "int")), []string{"int", "list"}},
		{"$type by number", doc("a", doc("$type", 18)), []string{"long"}},
		{"$type number", doc("a", doc("$type", "number")), []string{"int", "long", "double", "more", "nan", "list"}},
		{"$type array", doc("a", doc("$type", "array")), []string{"empty", "list", "nested", "docs"}},
		{"$type null does not find missing fields", doc("a", doc("$type", "null")), []string{"null"}},
		{"$type of several", doc("a", doc("$type", list("bool", "date"))), []string{"true", "false", "date"}},
		{"$type object", doc("a", doc("$type", "object")), []string{"doc", "docs"}},

		{"$comment is no condition", doc("a", "5", "$comment", "why"), []string{"text"}},
		{"a DBRef is a value, not an operator", doc("a", doc("$ref", "c", "$id", 1)), nil},
		{"_id is found by value", doc("_id", "int"), []string{"int"}},
		{"_id and another condition", doc("_id", "int", "a", 6), nil},
		{"_id with $in", doc("_id", doc("$in", list("int", "text"))), []string{"int", "text"}},
	}
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, scalars...)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				reply := s.run(t, doc("find", c, "filter", test.filter, "projection", doc("_id", 1)))
				wantSame(t, show(test.filter), ids(t, reply), test.want)
			})
		}
	})
}

func ids(t *testing.T, reply bson.D) []string {
	t.Helper()
	batch, ok := at(reply, "cursor", "firstBatch").(bson.A)
	if !ok {
		t.Fatalf("no documents: %s", show(reply))
	}
	var found []string
	for _, d := range batch {
		found = append(found, at(d, "_id").(string))
	}
	return found
}

func TestRegularExpressionsMatchAsInMongoDB(t *testing.T) {
	texts := []bson.D{
		doc("_id", "lower", "a", "page one"),
		doc("_id", "upper", "a", "PAGE TWO"),
		doc("_id", "lines", "a", "first\nsecond"),
		doc("_id", "newline", "a", "last\n"),
		doc("_id", "list", "a", list("x", "page three")),
		doc("_id", "regex", "a", bson.Regex{Pattern: "^page"}),
		doc("_id", "number", "a", 1),
	}
	tests := []struct {
		name   string
		filter any
		want   []string
	}{
		{"a pattern matches texts, elements, and itself", bson.Regex{Pattern: "^page"}, []string{"lower", "list", "regex"}},
		{"$regex with a text", doc("$regex", "^page"), []string{"lower", "list", "regex"}},
		{"the flag i", doc("$regex", "^page", "$options", "i"), []string{"lower", "upper", "list"}},
		{"the flag m", doc("$regex", "^second", "$options", "m"), []string{"lines"}},
		{"no flag m", doc("$regex", "^second"), nil},
		{"the flag s", doc("$regex", "first.second", "$options", "s"), []string{"lines"}},
		{"no flag s", doc("$regex", "first.second"), nil},
		{"options before the pattern", doc("$options", "i", "$regex", "two$"), []string{"upper"}},
		{"the end is before a last newline too", doc("$regex", "^last$"), []string{"newline"}},
		{"the end may stand in a group", doc("$regex", "(one|last)$"), []string{"lower", "newline"}},
	}
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, texts...)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				wantSame(t, test.name, ids(t, s.run(t, doc("find", c, "filter", doc("a", test.filter)))), test.want)
			})
		}
	})
}

func TestFiltersThatMeanNothingAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		filter bson.D
		code   int32
	}{
		{"an unknown operator", doc("a", doc("$foo", 1)), 2},
		{"an unknown operator at the top", doc("$foo", 1), 2},
		{"an unknown operator after a known one", doc("a", doc("$gt", 1, "foo", 1)), 2},
		{"$expr on a field", doc("a", doc("$expr", 1)), 2},
		{"$and without an array", doc("$and", doc("a", 1)), 2},
		{"$and of nothing", doc("$and", list()), 2},
		{"$or of values", doc("$or", list(1)), 2},
		{"$in without an array", doc("a", doc("$in", 1)), 2},
		{"$nin without an array", doc("a", doc("$nin", 1)), 2},
		{"$in with an operator in it", doc("a", doc("$in", list(doc("$gt", 1)))), 2},
		{"$all without an array", doc("a", doc("$all", 1)), 2},
		{"$all mixing $elemMatch and values", doc("a", doc("$all", list(doc("$elemMatch", doc("b", 1)), 2))), 2},
		{"$not of a value", doc("a", doc("$not", 1)), 2},
		{"$not of nothing", doc("a", doc("$not", doc())), 2},
		{"$elemMatch of a value", doc("a", doc("$elemMatch", 1)), 2},
		{"$size of a text", doc("a", doc("$size", "x")), 2},
		{"$size below zero", doc("a", doc("$size", -1)), 2},
		{"$size of a fraction", doc("a", doc("$size", 1.5)), 2},
		{"$type of an unknown name", doc("a", doc("$type", "number8")), 2},
		{"$type of an unknown number", doc("a", doc("$type", 20)), 2},
		{"$type of nothing", doc("a", doc("$type", list())), 9},
		{"$regex of a number", doc("a", doc("$regex", 1)), 2},
		{"$options alone", doc("a", doc("$options", "i")), 2},
		{"an unknown flag", doc("a", doc("$regex", "x", "$options", "q")), 51108},
		{"flags given twice", doc("a", doc("$regex", bson.Regex{Pattern: "x", Options: "i"}, "$options", "m")), 51075},
		{"a broken pattern", doc("a", doc("$regex", "(")), 51091},
		{"$ne with a regular expression", doc("a", doc("$ne", bson.Regex{Pattern: "x"})), 2},
		{"$gt with a regular expression", doc("a", doc("$gt", bson.Regex{Pattern: "x"})), 2},
	}
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, doc("_id", 1, "a", 1))
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				wantCode(t, s.run(t, doc("find", c, "filter", test.filter)), test.code)
				wantCode(t, s.run(t, doc("delete", c, "deletes", list(doc("q", test.filter, "limit", 0)))), test.code)
			})
		}
		wantSame(t, "documents afterwards", s.documents(t, c), list(doc("_id", 1, "a", 1)))
	})
}

// What MongoDB knows and mongotest does not is refused with NotImplemented.
func TestFiltersBeyondMongotestAreRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		if !s.own {
			t.Skip("MongoDB knows these")
		}
		c := s.collection(t, doc("_id", 1, "a", 1))
		for _, filter := range []bson.D{
			doc("$expr", doc("$eq", list("$a", 1))),
			doc("$where", "true"),
			doc("$text", doc("$search", "x")),
			doc("$jsonSchema", doc()),
			doc("a", doc("$mod", list(2, 1))),
			doc("a", doc("$bitsAllSet", 1)),
			doc("a", doc("$near", list(1, 1))),
			doc("a", doc("$gt", bson.MinKey{})),
			doc("a", doc("$regex", "x", "$options", "x")),
			doc("a", doc("$regex", "a$b")),
		} {
			wantCode(t, s.run(t, doc("find", c, "filter", filter)), 238)
		}
	})
}

func TestSortFollowsTheOrderOfTypes(t *testing.T) {
	id := bson.ObjectID{1}
	inOrder := []any{
		bson.MinKey{}, list(), nil, math.NaN(), math.Inf(-1), -1, int64(0), 0.5, 1, math.MaxInt64, "", "a", "b",
		doc("a", 1), doc("a", 2), bson.Binary{Data: []byte{1}}, bson.Binary{Data: []byte{1, 0}}, id, false, true,
		bson.DateTime(-1), bson.DateTime(1), bson.Timestamp{T: 1}, bson.Regex{Pattern: "a"}, bson.MaxKey{},
	}
	everywhere(t, func(t *testing.T, s *session) {
		var docs []bson.D
		for i := range inOrder {
			i := (i * 7) % len(inOrder) // any other order
			v := inOrder[i]
			if n, ok := v.(int); ok {
				v = int64(n)
			}
			docs = append(docs, doc("_id", i, "a", v))
		}
		c := s.collection(t, docs...)
		for _, direction := range []int{1, -1} {
			reply := s.run(t, doc("find", c, "sort", doc("a", direction), "projection", doc("_id", 1)))
			var want bson.A
			for i := range inOrder {
				if direction < 0 {
					i = len(inOrder) - 1 - i
				}
				want = append(want, doc("_id", i))
			}
			wantSame(t, "order", at(reply, "cursor", "firstBatch"), want)
		}
	})
}

func TestSortOfArraysAndSeveralKeys(t *testing.T) {
	docs := []bson.D{
		doc("_id", "a", "n", list(1, 9), "k", 1),
		doc("_id", "b", "n", list(3, 4), "k", 1),
		doc("_id", "c", "n", 2, "k", 2),
		doc("_id", "d", "k", 0),
	}
	tests := []struct {
		name string
		sort bson.D
		want []string
	}{
		{"upwards an array counts as its least element", doc("n", 1), []string{"d", "a", "c", "b"}},
		{"downwards as its greatest", doc("n", -1), []string{"a", "b", "c", "d"}},
		{"a second key decides between equals", doc("k", 1, "_id", -1), []string{"d", "b", "a", "c"}},
		{"$natural downwards", doc("$natural", -1), []string{"d", "c", "b", "a"}},
	}
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, docs...)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				wantSame(t, test.name, ids(t, s.run(t, doc("find", c, "sort", test.sort))), test.want)
			})
		}
		for code, sort := range map[int32]bson.D{15974: doc("n", "up"), 15975: doc("n", 2), 15998: doc("n..m", 1), 40353: doc("n.", 1)} {
			wantCode(t, s.run(t, doc("find", c, "sort", sort)), code)
		}
		both := s.collection(t, doc("_id", 1, "a", list(1), "b", list(1)), doc("_id", 2))
		wantCode(t, s.run(t, doc("find", both, "sort", doc("a", 1, "b", 1))), 2)
	})
}
