package mongotest

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// statements runs a write command's statements one after the other. An
// ordered command ends at its first failure.
func statements(n int, ordered bool, run func(i int) error) (failed bson.A) {
	for i := range n {
		if err := run(i); err != nil {
			failed = append(failed, asServerError(err).writeError(i))
			if ordered {
				break
			}
		}
	}
	return failed
}

func checkBatch(n int) error {
	if n < 1 || n > int(maxWriteBatchSize) {
		return failf(codeInvalidLength, "Write batch sizes must be between 1 and %d. Got %d operations.", maxWriteBatchSize, n)
	}
	return nil
}

func withWriteErrors(reply bson.D, failed bson.A) bson.D {
	if len(failed) > 0 {
		reply = append(reply, bson.E{Key: "writeErrors", Value: failed})
	}
	return reply
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
	n := int32(0)
	failed := statements(len(docs), ordered, func(i int) error {
		doc, err := storable(docs[i])
		if err != nil {
			return err
		}
		s := r.node.store
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.ensureLocked(ns).insert(doc); err != nil {
			return err
		}
		n++
		return nil
	})
	return withWriteErrors(bson.D{{Key: "n", Value: n}}, failed), nil
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
	n, modified := int32(0), int32(0)
	var upserted bson.A
	failed := statements(len(list), ordered, func(i int) error {
		if meaningless[i] != nil {
			return meaningless[i]
		}
		res, err := r.node.store.update(ns, parsed[i])
		n += res.matched
		modified += res.modified
		if res.upserted != nil {
			n++
			upserted = append(upserted, bson.D{{Key: "index", Value: int32(i)}, {Key: "_id", Value: res.upserted[0].Value}})
		}
		return err
	})
	reply := bson.D{{Key: "n", Value: n}}
	if len(upserted) > 0 {
		reply = append(reply, bson.E{Key: "upserted", Value: upserted})
	}
	reply = append(reply, bson.E{Key: "nModified", Value: modified})
	return withWriteErrors(reply, failed), nil
}

type updateResult struct {
	matched, modified int32
	upserted          bson.D // the new document
}

// update runs one statement. The whole of it happens under the lock, so no
// other write comes between the match and the change.
func (s *store) update(ns namespace, st updateStatement) (res updateResult, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.collectionLocked(ns); c != nil {
		for _, rec := range c.candidates(st.filter) {
			if !st.filter.matches(rec.doc) {
				continue
			}
			changed, err := c.change(rec, st.update)
			if err != nil {
				return res, err
			}
			res.matched++
			if changed {
				res.modified++
			}
			if !st.multi {
				break
			}
		}
	}
	if res.matched > 0 || !st.upsert {
		return res, nil
	}
	doc, err := st.update.newDocument(st.filter)
	if err != nil {
		return res, err
	}
	if err := s.ensureLocked(ns).insert(doc); err != nil {
		return res, err
	}
	res.upserted = doc
	return res, nil
}

// change applies an update to one record and tells whether that made a
// difference.
func (c *collection) change(rec *record, u *update) (bool, error) {
	doc, changed, err := u.apply(rec.doc, false)
	if err != nil || !changed {
		return false, err
	}
	return true, c.replace(rec, doc)
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
	n := int32(0)
	failed := statements(len(list), ordered, func(i int) error {
		f, err := parseFilter(queries[i])
		if err != nil {
			return err
		}
		n += r.node.store.delete(ns, f, limits[i] == 1)
		return nil
	})
	return withWriteErrors(bson.D{{Key: "n", Value: n}}, failed), nil
}

func (s *store) delete(ns namespace, f *filter, one bool) (n int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
