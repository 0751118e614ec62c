package mongotest

import (
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

type namespace struct{ db, collection string }

func (n namespace) String() string { return n.db + "." + n.collection }

// store holds all documents. Documents are never changed, only replaced, so
// what a reader took under the lock stays valid after it.
//
// insert, replace and remove of a collection are the only ways by which a
// document changes.
type store struct {
	// mu is held for the whole of one statement, from looking for a document
	// to storing its new form: that is what makes an update atomic. Nothing
	// is read from or written to a connection under it.
	mu  sync.Mutex
	dbs map[string]map[string]*collection
}

func newStore() *store {
	return &store{dbs: make(map[string]map[string]*collection)}
}

type collection struct {
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
	c := &collection{ns: ns, uuid: newUUID(), indexes: []*index{idIndex()}}
	if s.dbs[ns.db] == nil {
		s.dbs[ns.db] = make(map[string]*collection)
	}
	s.dbs[ns.db][ns.collection] = c
	return c
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
	return nil
}

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
}
