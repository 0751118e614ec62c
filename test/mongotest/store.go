package mongotest

import (
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

type namespace struct{ db, collection string }

func (n namespace) String() string { return n.db + "." + n.collection }

// store holds all documents. Documents are never changed, only replaced, so
// what a reader took under the lock stays valid after it.
//
// insert, change and remove of a collection are the only ways by which a
// document changes.
type store struct {
	// mu is held for the whole of one statement, from looking for a document
	// to storing its new form: that is what makes an update atomic. Nothing
	// is read from or written to a connection under it.
	mu      sync.Mutex
	dbs     map[string]map[string]*collection
	retries retries
	journal *journal // nil: in memory only, or not replayed yet
	noted   bson.A   // what the statement under way has changed, for the journal
	broken  error    // the journal could not be written
}

func newStore() *store {
	return &store{dbs: make(map[string]map[string]*collection), retries: make(retries)}
}

// close is called when nothing uses the store any more.
func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.journal == nil {
		return nil
	}
	err := s.journal.close()
	s.journal = nil
	return err
}

type collection struct {
	store   *store
	ns      namespace
	uuid    bson.Binary
	records []*record // in the order of insertion
	indexes []*index  // the first is that of _id
}

// record is a document's place in its collection, which it keeps over updates.
type record struct{ doc bson.D }

// collectionLocked returns nil where there is none.
func (s *store) collectionLocked(ns namespace) *collection {
	return s.dbs[ns.db][ns.collection]
}

func (s *store) ensureLocked(ns namespace) *collection {
	if c := s.collectionLocked(ns); c != nil {
		return c
	}
	c := &collection{store: s, ns: ns, uuid: newUUID(), indexes: []*index{idIndex()}}
	if s.dbs[ns.db] == nil {
		s.dbs[ns.db] = make(map[string]*collection)
	}
	s.dbs[ns.db][ns.collection] = c
	s.noteLocked(func() bson.D { return createEntry(c) })
	return c
}

func (s *store) dropLocked(ns namespace) {
	delete(s.dbs[ns.db], ns.collection)
	if len(s.dbs[ns.db]) == 0 {
		delete(s.dbs, ns.db)
	}
}

// documents is the collection's present content, in natural order; of it only
// what the filter can match.
func (s *store) documents(ns namespace, f *filter) []bson.D {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.collectionLocked(ns)
	if c == nil {
		return nil
	}
	candidates := c.candidates(f)
	docs := make([]bson.D, len(candidates))
	for i, r := range candidates {
		docs[i] = r.doc
	}
	return docs
}

// find returns the matching documents. Matching runs outside the lock.
func (s *store) find(ns namespace, f *filter) []bson.D {
	docs := s.documents(ns, f)
	return slices.DeleteFunc(docs, func(d bson.D) bool { return !f.matches(d) })
}

// candidates are the records that the filter can match: one at most when it
// asks for one _id. The slice may be changed by the caller.
func (c *collection) candidates(f *filter) []*record {
	if id, ok := f.id(); ok {
		if r := c.indexes[0].lookup(id); r != nil {
			return []*record{r}
		}
		// A scalar condition on _id can only match an equal _id: arrays cannot
		// be one.
		return nil
	}
	return slices.Clone(c.records)
}

// insert adds a document that has its _id in front.
func (c *collection) insert(doc bson.D) error {
	r := &record{doc: doc}
	if err := c.claim(r, doc); err != nil {
		return err
	}
	c.records = append(c.records, r)
	c.store.noteLocked(func() bson.D { return insertEntry(c.ns, doc) })
	return nil
}

// change applies an update to one record and tells whether that made a
// difference.
func (c *collection) change(r *record, u *update, now time.Time) (bool, error) {
	doc, changed, err := u.apply(r.doc, false, now)
	if err != nil || !changed {
		return false, err
	}
	if err := c.replace(r, doc); err != nil {
		return false, err
	}
	c.store.noteLocked(func() bson.D { return updateEntry(c.ns, doc, u, now) })
	return true, nil
}

// replace notes nothing: change does.
func (c *collection) replace(r *record, doc bson.D) error {
	if err := c.claim(r, doc); err != nil {
		return err
	}
	for _, ix := range c.indexes {
		ix.move(r, r.doc, doc)
	}
	r.doc = doc
	return nil
}

func (c *collection) remove(r *record) {
	for _, ix := range c.indexes {
		ix.move(r, r.doc, nil)
	}
	if i := slices.Index(c.records, r); i >= 0 {
		c.records = slices.Delete(c.records, i, i+1)
	}
	c.store.noteLocked(func() bson.D { return removeEntry(c.ns, r.doc) })
}
