package mongotest

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// statements runs a write command's statements one after the other. An
// ordered command ends at its first failure. Some errors are not a statement's
// but the whole command's; what it has done until then stays done.
func (r *request) statements(n int, ordered bool, run func(i int) (outcome, error)) (done batch, err error) {
	for i := range n {
		o, retried, err := r.node.store.statement(r, int32(i), func() (outcome, error) { return run(i) })
		done.add(i, o, retried)
		if err == nil {
			continue
		}
		refused := asServerError(err)
		if refused.whole {
			return done, refused
		}
		done.failed = append(done.failed, refused.writeError(i))
		if ordered {
			break
		}
	}
	return done, nil
}

// batch is what the statements of one write command have come to.
type batch struct {
	n, modified               int32
	upserted, failed, retried bson.A
}

func (b *batch) add(statement int, o outcome, retried bool) {
	b.n += o.n
	b.modified += o.modified
	if o.upserted != nil {
		b.upserted = append(b.upserted, append(bson.D{{Key: "index", Value: int32(statement)}}, o.upserted...))
	}
	if retried {
		b.retried = append(b.retried, int32(statement))
	}
}

// reply has n, what else the command says, and lists where they are not empty.
func (b *batch) reply(more ...bson.E) bson.D {
	reply := bson.D{{Key: "n", Value: b.n}}
	add := func(name string, list bson.A) {
		if len(list) > 0 {
			reply = append(reply, bson.E{Key: name, Value: list})
		}
	}
	add("upserted", b.upserted)
	reply = append(reply, more...)
	add("writeErrors", b.failed)
	add("retriedStmtIds", b.retried)
	return reply
}

func checkBatch(n int) error {
	if n < 1 || n > int(maxWriteBatchSize) {
		return failf(codeInvalidLength, "Write batch sizes must be between 1 and %d. Got %d operations.", maxWriteBatchSize, n)
	}
	return nil
}

func (r *request) insert() (bson.D, error) {
	ns := r.collection(r.db)
	docs := r.documents("documents")
	ordered := r.flag("ordered", true)
	r.ignore("bypassDocumentValidation")
	if err := r.end(); err != nil {
		return nil, err
	}
	if err := checkBatch(len(docs)); err != nil {
		return nil, err
	}
	done, err := r.statements(len(docs), ordered, func(i int) (outcome, error) {
		doc, err := storable(docs[i])
		if err == nil {
			err = r.node.store.ensureLocked(ns).insert(doc)
		}
		if err != nil {
			return outcome{}, err
		}
		return outcome{n: 1}, nil
	})
	if err != nil {
		return nil, err
	}
	return done.reply(), nil
}

// updateStatement is one entry of an update command.
type updateStatement struct {
	filter        *filter
	update        *update
	multi, upsert bool
}

// parseUpdateStatement has two kinds of errors: a malformed statement fails
// the command, a query or update that means nothing fails only the statement.
func parseUpdateStatement(d bson.D) (st updateStatement, malformed, meaningless error) {
	a := newArgs("update.updates", d)
	query := a.document("q")
	if query == nil {
		a.missing("q")
	}
	u, ok := a.take("u")
	if !ok {
		a.missing("u")
	}
	st.multi = a.flag("multi", false)
	st.upsert = a.flag("upsert", false)
	a.refuse("arrayFilters", "collation", "hint", "c", "sort", "sampleId")
	a.ignore("upsertSupplied")
	if err := a.end(); err != nil {
		return st, err, nil
	}
	if st.update, meaningless = parseUpdate(u); meaningless != nil {
		return st, nil, meaningless
	}
	if st.multi && st.update.replacement != nil {
		return st, nil, failf(codeFailedToParse, "multi update is not supported for replacement-style update")
	}
	st.filter, meaningless = parseFilter(query)
	return st, nil, meaningless
}

func (r *request) update() (bson.D, error) {
	ns := r.collection(r.db)
	list := r.documents("updates")
	ordered := r.flag("ordered", true)
	r.ignore("bypassDocumentValidation")
	r.refuse("let")
	if err := r.end(); err != nil {
		return nil, err
	}
	if err := checkBatch(len(list)); err != nil {
		return nil, err
	}
	parsed := make([]updateStatement, len(list))
	meaningless := make([]error, len(list))
	for i, d := range list {
		var malformed error
		if parsed[i], malformed, meaningless[i] = parseUpdateStatement(d); malformed != nil {
			return nil, malformed
		}
	}
	if r.txn != nil && slices.ContainsFunc(parsed, func(st updateStatement) bool { return st.multi }) {
		return nil, failf(codeInvalidOptions, "Cannot use retryable writes with multi=true")
	}
	done, err := r.statements(len(list), ordered, func(i int) (outcome, error) {
		if meaningless[i] != nil {
			return outcome{}, meaningless[i]
		}
		return r.node.store.updateLocked(ns, parsed[i])
	})
	if err != nil {
		return nil, err
	}
	return done.reply(bson.E{Key: "nModified", Value: done.modified}), nil
}

func (s *store) updateLocked(ns namespace, st updateStatement) (res outcome, err error) {
	if c := s.collectionLocked(ns); c != nil {
		for _, rec := range c.candidates(st.filter) {
			if !st.filter.matches(rec.doc) {
				continue
			}
			changed, err := c.change(rec, st.update, clock())
			if err != nil {
				return res, err
			}
			res.n++
			if changed {
				res.modified++
			}
			if !st.multi {
				break
			}
		}
	}
	if res.n > 0 || !st.upsert {
		return res, nil
	}
	doc, err := st.update.newDocument(st.filter)
	if err != nil {
		return res, err
	}
	if err := s.ensureLocked(ns).insert(doc); err != nil {
		return res, err
	}
	return outcome{n: 1, upserted: bson.D{{Key: "_id", Value: doc[0].Value}}}, nil
}

func (r *request) delete() (bson.D, error) {
	ns := r.collection(r.db)
	list := r.documents("deletes")
	ordered := r.flag("ordered", true)
	r.refuse("let")
	if err := r.end(); err != nil {
		return nil, err
	}
	if err := checkBatch(len(list)); err != nil {
		return nil, err
	}
	queries := make([]bson.D, len(list))
	limits := make([]int64, len(list))
	for i, d := range list {
		a := newArgs("delete.deletes", d)
		if queries[i] = a.document("q"); queries[i] == nil {
			a.missing("q")
		}
		if limits[i] = a.integer("limit", -1, 0); limits[i] < 0 {
			a.missing("limit")
		}
		a.refuse("collation", "hint", "sampleId")
		if err := a.end(); err != nil {
			return nil, err
		}
		if limits[i] > 1 {
			return nil, failf(codeFailedToParse, "The limit field in delete objects must be 0 or 1. Got %d", limits[i])
		}
	}
	if r.txn != nil && slices.Contains(limits, 0) {
		return nil, failf(codeInvalidOptions, "Cannot use retryable writes with limit=0")
	}
	done, err := r.statements(len(list), ordered, func(i int) (outcome, error) {
		f, err := parseFilter(queries[i])
		if err != nil {
			return outcome{}, err
		}
		return outcome{n: r.node.store.deleteLocked(ns, f, limits[i] == 1)}, nil
	})
	if err != nil {
		return nil, err
	}
	return done.reply(), nil
}

func (s *store) deleteLocked(ns namespace, f *filter, one bool) (n int32) {
	c := s.collectionLocked(ns)
	if c == nil {
		return 0
	}
	for _, rec := range c.candidates(f) {
		if !f.matches(rec.doc) {
			continue
		}
		c.remove(rec)
		n++
		if one {
			break
		}
	}
	return n
}
