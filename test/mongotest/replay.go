package mongotest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// openStore returns a store with what the journal in dir holds, which it goes
// on writing.
func openStore(dir string) (*store, error) {
	s := newStore()
	j, err := openJournal(dir, s.replay, s.snapshot)
	if err != nil {
		return nil, err
	}
	s.journal = j
	return s, nil
}

// replay does the entries of one record again.
func (s *store) replay(record bson.D) error {
	a := newArgs("journal", record)
	entries := a.documents("entries")
	if err := a.end(); err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.replayEntry(e); err != nil {
			return err
		}
	}
	return nil
}

// An entry says what to do, in which collection, and with what.
func journalEntry(what string, ns namespace, more ...bson.E) bson.D {
	return append(bson.D{{Key: "do", Value: what}, {Key: "db", Value: ns.db}, {Key: "collection", Value: ns.collection}}, more...)
}

func insertEntry(ns namespace, doc bson.D) bson.D {
	return journalEntry("insert", ns, bson.E{Key: "document", Value: doc})
}

func createEntry(c *collection) bson.D {
	return journalEntry("create", c.ns, bson.E{Key: "uuid", Value: c.uuid})
}

func indexEntry(ns namespace, ix *index) bson.D {
	return journalEntry("index", ns, bson.E{Key: "name", Value: ix.name}, bson.E{Key: "key", Value: ix.keys}, bson.E{Key: "unique", Value: ix.unique})
}

func removeEntry(ns namespace, doc bson.D) bson.D {
	return journalEntry("remove", ns, bson.E{Key: "_id", Value: doc[0].Value})
}

// updateEntry has the operators and not the document that they made: a job's
// document grows with each result, and would be written whole every time. A
// replacement has the document, whose empty timestamps are filled.
func updateEntry(ns namespace, doc bson.D, u *update, now time.Time) bson.D {
	if u.replacement != nil {
		return journalEntry("replace", ns, bson.E{Key: "document", Value: doc})
	}
	return journalEntry("update", ns, bson.E{Key: "_id", Value: doc[0].Value}, bson.E{Key: "update", Value: u.operators},
		bson.E{Key: "now", Value: bson.NewDateTimeFromTime(now)})
}

func (s *store) replayEntry(e bson.D) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := newArgs("journal.entries", e)
	what := a.text("do")
	if what == "retry" {
		return s.retries.replay(a)
	}
	ns := namespace{a.text("db"), a.text("collection")}
	c := s.collectionLocked(ns)
	switch what {
	case "create":
		c = s.ensureLocked(ns)
		id, _ := a.take("uuid")
		c.uuid, _ = id.(bson.Binary)
		return a.end()
	case "dropDatabase":
		delete(s.dbs, ns.db)
		return a.end()
	}
	if c == nil {
		return fmt.Errorf("%q of a collection that is not there, %s: %w", what, ns, errDamaged)
	}
	switch what {
	case "drop":
		s.dropLocked(ns)
		return a.end()
	case "index":
		ix := newIndex(a.text("name"), a.document("key"), a.flag("unique", false))
		if err := a.end(); err != nil {
			return err
		}
		return c.addIndex(ix)
	case "insert":
		doc := a.document("document")
		if err := a.end(); err != nil {
			return err
		}
		return c.insert(doc)
	}
	return c.replayEntry(what, a)
}

// replayEntry does an entry that changes a document that is there.
func (c *collection) replayEntry(what string, a *args) error {
	doc := a.document("document")
	id, _ := a.take("_id")
	if len(doc) > 0 {
		id = doc[0].Value
	}
	operators, _ := a.take("update")
	now, _ := a.take("now")
	if err := a.end(); err != nil {
		return err
	}
	r := c.indexes[0].lookup(id)
	if r == nil {
		return fmt.Errorf("%q of a document that is not there, %v in %s: %w", what, id, c.ns, errDamaged)
	}
	switch what {
	case "replace":
		return c.replace(r, doc)
	case "remove":
		c.remove(r)
		return nil
	case "update":
		u, err := parseUpdate(operators)
		if err != nil {
			return err
		}
		at, _ := now.(bson.DateTime)
		_, err = c.change(r, u, at.Time())
		return err
	}
	return fmt.Errorf("%q is unknown: %w", what, errDamaged)
}

// snapshot writes the records that make the present content.
func (s *store) snapshot(write func(bson.D) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := func(e bson.D) error { return write(bson.D{{Key: "entries", Value: bson.A{e}}}) }
	for _, db := range slices.Sorted(maps.Keys(s.dbs)) {
		for _, name := range slices.Sorted(maps.Keys(s.dbs[db])) {
			if err := s.dbs[db][name].snapshot(one); err != nil {
				return err
			}
		}
	}
	return s.retries.entries(one)
}

func (c *collection) snapshot(write func(bson.D) error) error {
	if err := write(createEntry(c)); err != nil {
		return err
	}
	for _, ix := range c.indexes[1:] { // the first is that of _id
		if err := write(indexEntry(c.ns, ix)); err != nil {
			return err
		}
	}
	for _, r := range c.records {
		if err := write(insertEntry(c.ns, r.doc)); err != nil {
			return err
		}
	}
	return nil
}
