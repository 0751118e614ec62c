package mongotest

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func (r *request) aggregate() (bson.D, error) {
	v, _ := r.take(r.command)
	name, ok := v.(string)
	if !ok {
		return nil, unsupported("an aggregation over a whole database")
	}
	ns := r.named(r.db, name)
	pipeline := r.array("pipeline")
	if pipeline == nil {
		r.missing("pipeline")
	}
	options := r.document("cursor")
	r.ignore("allowDiskUse", "bypassDocumentValidation")
	r.refuse("hint", "collation", "let", "explain", "fromMongos")
	if err := r.end(); err != nil {
		return nil, err
	}
	if options == nil {
		return nil, failf(codeFailedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
	}
	a := newArgs("aggregate.cursor", options)
	batch := a.integer("batchSize", firstBatch, 0)
	if err := a.end(); err != nil {
		return nil, err
	}
	stages, err := parsePipeline(pipeline)
	if err != nil {
		return nil, err
	}
	everything, err := parseFilter(nil)
	if err != nil {
		return nil, err
	}
	docs := r.node.store.documents(ns, everything)
	for _, run := range stages {
		if docs, err = run(docs); err != nil {
			return nil, err
		}
	}
	return r.node.cursors.open(ns, docs, batch, false)
}

// stage turns the documents of the one before it into its own.
type stage func([]bson.D) ([]bson.D, error)

func parsePipeline(pipeline bson.A) ([]stage, error) {
	var stages []stage
	for _, v := range pipeline {
		d, ok := v.(bson.D)
		if !ok {
			return nil, failf(codeTypeMismatch, "Each element of the 'pipeline' array must be an object")
		}
		if len(d) != 1 {
			return nil, failf(40323, "A pipeline stage specification object must contain exactly one field.")
		}
		s, err := parseStage(d[0].Key, d[0].Value)
		if err != nil {
			return nil, err
		}
		stages = append(stages, s)
	}
	return stages, nil
}

func parseStage(name string, v any) (stage, error) {
	switch name {
	case "$match":
		return matchStage(v)
	case "$sort":
		return sortStage(v)
	case "$project":
		return projectStage(v)
	case "$skip":
		n, ok := integral(v)
		if !ok || n < 0 {
			return nil, failf(5107200, "invalid argument to $skip stage: expected a non-negative number")
		}
		return func(docs []bson.D) ([]bson.D, error) { return window(docs, n, 0), nil }, nil
	case "$limit":
		n, ok := integral(v)
		switch {
		case !ok || n < 0:
			return nil, failf(5107201, "invalid argument to $limit stage: expected a non-negative number")
		case n == 0:
			return nil, failf(15958, "the limit must be positive")
		}
		return func(docs []bson.D) ([]bson.D, error) { return window(docs, 0, n), nil }, nil
	case "$count":
		return countStage(v)
	case "$group":
		return groupStage(v)
	case "$addFields", "$bucket", "$bucketAuto", "$changeStream", "$collStats", "$densify", "$documents", "$facet",
		"$fill", "$geoNear", "$graphLookup", "$indexStats", "$lookup", "$merge", "$out", "$redact", "$replaceRoot",
		"$replaceWith", "$sample", "$search", "$set", "$setWindowFields", "$sortByCount", "$unionWith", "$unset", "$unwind",
		"$currentOp", "$listSessions", "$listLocalSessions", "$planCacheStats":
		return nil, unsupported("aggregation stage " + name)
	}
	return nil, failf(40324, "Unrecognized pipeline stage name: '%s'", name)
}

func matchStage(v any) (stage, error) {
	query, ok := v.(bson.D)
	if !ok {
		return nil, failf(15959, "the match filter must be an expression in an object")
	}
	f, err := parseFilter(query)
	if err != nil {
		return nil, err
	}
	return func(docs []bson.D) ([]bson.D, error) {
		var out []bson.D
		for _, d := range docs {
			if f.matches(d) {
				out = append(out, d)
			}
		}
		return out, nil
	}, nil
}

func sortStage(v any) (stage, error) {
	d, ok := v.(bson.D)
	switch {
	case !ok:
		return nil, failf(15973, "the $sort key specification must be an object")
	case len(d) == 0:
		return nil, failf(15976, "$sort stage must have at least one sort key")
	}
	order, err := parseSort(d)
	if err != nil {
		return nil, err
	}
	return func(docs []bson.D) ([]bson.D, error) {
		return docs, order.apply(docs)
	}, nil
}

func projectStage(v any) (stage, error) {
	d, ok := v.(bson.D)
	if !ok || len(d) == 0 {
		return nil, failf(51272, "$project specification must be an object with at least one field")
	}
	for _, e := range d {
		if _, ok := e.Value.(bson.D); ok {
			return nil, unsupported("an expression in $project")
		}
	}
	p, err := parseProjection(d)
	if err != nil {
		return nil, err
	}
	return func(docs []bson.D) ([]bson.D, error) {
		out := make([]bson.D, len(docs))
		for i, d := range docs {
			out[i] = p.apply(d)
		}
		return out, nil
	}, nil
}

func countStage(v any) (stage, error) {
	name, ok := v.(string)
	switch {
	case !ok:
		return nil, failf(40156, "the count field must be a non-empty string")
	case name == "":
		return nil, failf(40157, "the count field must be a non-empty string")
	case strings.HasPrefix(name, "$"):
		return nil, failf(40158, "the count field cannot be a $-prefixed path")
	case strings.Contains(name, "."):
		return nil, failf(40160, "the count field cannot contain '.'")
	}
	return func(docs []bson.D) ([]bson.D, error) {
		if len(docs) == 0 {
			return nil, nil
		}
		return []bson.D{{{Key: name, Value: int32(len(docs))}}}, nil
	}, nil
}

// groupStage knows groups by a constant, with $sum of constants, which is what
// drivers count documents with.
func groupStage(v any) (stage, error) {
	d, ok := v.(bson.D)
	if !ok {
		return nil, failf(15947, "a group's fields must be specified in an object")
	}
	id, ok := lookup(d, "_id")
	if !ok {
		return nil, failf(15955, "a group specification must include an _id")
	}
	if !constant(id) {
		return nil, unsupported("$group by anything but a constant")
	}
	var sums bson.D
	for _, e := range d {
		if e.Key == "_id" {
			continue
		}
		if strings.Contains(e.Key, ".") {
			return nil, failf(40235, "The field name '%s' cannot contain '.'", e.Key)
		}
		acc, ok := e.Value.(bson.D)
		if !ok {
			return nil, failf(40234, "The field '%s' must be an accumulator object", e.Key)
		}
		if len(acc) != 1 {
			return nil, failf(40238, "The field '%s' must specify one accumulator", e.Key)
		}
		if acc[0].Key != "$sum" || !constant(acc[0].Value) {
			return nil, unsupported("an accumulator other than $sum of a constant")
		}
		sums = append(sums, bson.E{Key: e.Key, Value: acc[0].Value})
	}
	return func(docs []bson.D) ([]bson.D, error) {
		if len(docs) == 0 {
			return nil, nil
		}
		out := bson.D{{Key: "_id", Value: id}}
		for _, e := range sums {
			var total any = int32(0)
			for range docs {
				if !isNumber(e.Value) {
					break // what is no number counts as nothing
				}
				var err error
				if total, err = calculate("$inc", total, e.Value); err != nil {
					return nil, err
				}
				if total == nil {
					return nil, unsupported("a $sum beyond 64 bits")
				}
			}
			out = append(out, bson.E{Key: e.Key, Value: total})
		}
		return []bson.D{out}, nil
	}, nil
}

// constant tells a value from an expression. Documents and arrays may hold
// expressions, so they do not count.
func constant(v any) bool {
	switch v := v.(type) {
	case bson.D:
		return len(v) == 0
	case bson.A:
		return false
	case string:
		return !strings.HasPrefix(v, "$")
	}
	return true
}
