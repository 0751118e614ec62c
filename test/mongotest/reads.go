package mongotest

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// firstBatch is how many documents a find returns at once when its batchSize
// does not say; the number is MongoDB's.
const firstBatch = 101

func (r *request) find() (bson.D, error) {
	ns := r.collection(r.db)
	query := r.document("filter")
	order := r.document("sort")
	fields := r.document("projection")
	skip := r.integer("skip", 0, 0)
	limit := r.integer("limit", 0, 0)
	batch := r.integer("batchSize", firstBatch, 0)
	single := r.flag("singleBatch", false)
	r.ignore("allowDiskUse", "allowPartialResults", "noCursorTimeout", "oplogReplay")
	r.refuse("hint", "collation", "min", "max", "let", "returnKey", "showRecordId", "tailable", "awaitData")
	if err := r.end(); err != nil {
		return nil, err
	}
	f, err := parseFilter(query)
	if err != nil {
		return nil, err
	}
	by, err := parseSort(order)
	if err != nil {
		return nil, err
	}
	p, err := parseProjection(fields)
	if err != nil {
		return nil, err
	}
	docs := r.node.store.find(ns, f)
	if err := by.apply(docs); err != nil {
		return nil, err
	}
	docs = window(docs, skip, limit)
	for i := range docs {
		docs[i] = p.apply(docs[i])
	}
	return r.node.cursors.open(ns, docs, batch, single)
}

// window cuts to skip and limit; a limit of 0 is none.
func window[T any](list []T, skip, limit int64) []T {
	list = list[min(skip, int64(len(list))):]
	if limit > 0 {
		list = list[:min(limit, int64(len(list)))]
	}
	return list
}

func (r *request) count() (bson.D, error) {
	ns := r.collection(r.db)
	query := r.document("query")
	skip := r.integer("skip", 0, 0)
	limit := r.integer("limit", 0, minInt64)
	r.refuse("hint", "collation")
	r.ignore("fields")
	if err := r.end(); err != nil {
		return nil, err
	}
	f, err := parseFilter(query)
	if err != nil {
		return nil, err
	}
	n := len(window(r.node.store.find(ns, f), skip, max(limit, -limit)))
	return bson.D{{Key: "n", Value: int32(n)}}, nil
}

// minInt64 is no limit downwards; count takes a negative limit as its amount.
const minInt64 = -1 << 63

func (r *request) distinct() (bson.D, error) {
	ns := r.collection(r.db)
	key := r.required("key")
	query := r.document("query")
	r.refuse("collation", "hint")
	if err := r.end(); err != nil {
		return nil, err
	}
	f, err := parseFilter(query)
	if err != nil {
		return nil, err
	}
	values := bson.A{}
	seen := make(map[string]bool)
	for _, d := range r.node.store.find(ns, f) {
		anyValue(d, splitPath(key), itself, func(v any) bool {
			list, ok := v.(bson.A)
			switch {
			case isMissing(v):
				return false
			case !ok:
				list = bson.A{v}
			}
			for _, v := range list {
				if k := indexKey(v); !seen[k] {
					seen[k] = true
					values = append(values, v)
				}
			}
			return false
		})
	}
	return bson.D{{Key: "values", Value: values}}, nil
}
