package mongotest

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func (r *request) findAndModify() (bson.D, error) {
	ns := r.collection(r.db)
	query := r.document("query")
	order := r.document("sort")
	remove := r.flag("remove", false)
	u, hasUpdate := r.take("update")
	returnNew := r.flag("new", false)
	fields := r.document("fields")
	upsert := r.flag("upsert", false)
	r.ignore("bypassDocumentValidation")
	r.refuse("arrayFilters", "collation", "hint", "let")
	if err := r.end(); err != nil {
		return nil, err
	}
	switch {
	case remove && hasUpdate:
		return nil, failf(codeFailedToParse, "Cannot specify both an update and remove=true")
	case !remove && !hasUpdate:
		return nil, failf(codeFailedToParse, "Either an update or remove=true must be specified")
	case remove && upsert:
		return nil, failf(codeFailedToParse, "Cannot specify both upsert=true and remove=true")
	case remove && returnNew:
		return nil, failf(codeFailedToParse, "Cannot specify both new=true and remove=true; 'remove' always returns the deleted document")
	}
	m := modification{upsert: upsert, returnNew: returnNew}
	var err error
	if hasUpdate {
		if m.update, err = parseUpdate(u); err != nil {
			return nil, err
		}
	}
	if m.filter, err = parseFilter(query); err != nil {
		return nil, err
	}
	if m.order, err = parseSort(order); err != nil {
		return nil, err
	}
	p, err := parseProjection(fields)
	if err != nil {
		return nil, err
	}
	o, retried, err := r.node.store.statement(r, 0, func() (outcome, error) {
		last, value, err := r.node.store.findAndModifyLocked(ns, m)
		if err != nil {
			return outcome{}, err
		}
		o := outcome{n: last[0].Value.(int32), last: last}
		if value != nil {
			o.value = p.apply(value)
		}
		return o, nil
	})
	if err != nil {
		return nil, err
	}
	reply := bson.D{{Key: "lastErrorObject", Value: o.last}, {Key: "value", Value: orNull(o.value)}}
	if retried {
		reply = append(reply, bson.E{Key: "retriedStmtId", Value: int32(0)})
	}
	return reply, nil
}

// modification is a findAndModify; without an update it removes.
type modification struct {
	filter            *filter
	order             sortOrder
	update            *update
	upsert, returnNew bool
}

func (s *store) findAndModifyLocked(ns namespace, m modification) (last, value bson.D, err error) {
	c := s.collectionLocked(ns)
	var rec *record
	if c != nil {
		if rec, err = c.first(m.filter, m.order); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case rec == nil && m.upsert:
		doc, err := m.update.newDocument(m.filter)
		if err != nil {
			return nil, nil, err
		}
		if err := s.ensureLocked(ns).insert(doc); err != nil {
			return nil, nil, err
		}
		last = bson.D{{Key: "n", Value: int32(1)}, {Key: "updatedExisting", Value: false}, {Key: "upserted", Value: doc[0].Value}}
		if m.returnNew {
			value = doc
		}
		return last, value, nil
	case rec == nil && m.update == nil:
		return bson.D{{Key: "n", Value: int32(0)}}, nil, nil
	case rec == nil:
		return bson.D{{Key: "n", Value: int32(0)}, {Key: "updatedExisting", Value: false}}, nil, nil
	case m.update == nil:
		c.remove(rec)
		return bson.D{{Key: "n", Value: int32(1)}}, rec.doc, nil
	}
	value = rec.doc
	if _, err := c.change(rec, m.update, clock()); err != nil {
		return nil, nil, err
	}
	if m.returnNew {
		value = rec.doc
	}
	return bson.D{{Key: "n", Value: int32(1)}, {Key: "updatedExisting", Value: true}}, value, nil
}

// first is the matching record that sorts before all others.
func (c *collection) first(f *filter, order sortOrder) (*record, error) {
	found := slices.DeleteFunc(c.candidates(f), func(r *record) bool { return !f.matches(r.doc) })
	if len(found) == 0 {
		return nil, nil
	}
	if len(order) == 1 && order[0].natural {
		if order[0].sign < 0 {
			slices.Reverse(found)
		}
		return found[0], nil
	}
	for _, r := range found {
		if err := order.sortable(r.doc); err != nil {
			return nil, err
		}
	}
	return slices.MinFunc(found, func(a, b *record) int { return order.compare(a.doc, b.doc) }), nil
}
