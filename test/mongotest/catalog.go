package mongotest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func (r *request) create() (bson.D, error) {
	ns := r.collection(r.db)
	r.refuse("capped", "size", "max", "validator", "validationLevel", "validationAction", "storageEngine",
		"indexOptionDefaults", "viewOn", "pipeline", "collation", "timeseries", "expireAfterSeconds", "clusteredIndex",
		"changeStreamPreAndPostImages", "encryptedFields", "idIndex", "autoIndexId", "flags")
	if err := r.end(); err != nil {
		return nil, err
	}
	s := r.node.store
	return s.change(r, func() (bson.D, error) {
		if s.collectionLocked(ns) != nil {
			return nil, failf(codeNamespaceExists, "Collection %s already exists.", ns)
		}
		s.ensureLocked(ns)
		return bson.D{}, nil
	})
}

func (r *request) drop() (bson.D, error) {
	ns := r.collection(r.db)
	if err := r.end(); err != nil {
		return nil, err
	}
	s := r.node.store
	return s.change(r, func() (bson.D, error) {
		c := s.collectionLocked(ns)
		if c == nil {
			return bson.D{}, nil
		}
		s.dropLocked(ns)
		s.noteLocked(func() bson.D { return journalEntry("drop", ns) })
		return bson.D{{Key: "nIndexesWas", Value: int32(len(c.indexes))}, {Key: "ns", Value: ns.String()}}, nil
	})
}

func (r *request) dropDatabase() (bson.D, error) {
	r.ignore(r.command)
	if err := r.end(); err != nil {
		return nil, err
	}
	s := r.node.store
	return s.change(r, func() (bson.D, error) {
		if s.dbs[r.db] == nil {
			return bson.D{}, nil
		}
		delete(s.dbs, r.db)
		s.noteLocked(func() bson.D { return journalEntry("dropDatabase", namespace{db: r.db}) })
		return bson.D{{Key: "dropped", Value: r.db}}, nil
	})
}

func (r *request) listCollections() (bson.D, error) {
	r.ignore(r.command, "authorizedCollections")
	query := r.document("filter")
	nameOnly := r.flag("nameOnly", false)
	batch := int64(firstBatch)
	if options := r.document("cursor"); options != nil {
		a := newArgs("listCollections.cursor", options)
		batch = a.integer("batchSize", firstBatch, 0)
		if err := a.end(); err != nil {
			return nil, err
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	f, err := parseFilter(query)
	if err != nil {
		return nil, err
	}
	var docs []bson.D
	for _, d := range r.node.store.listCollections(r.db) {
		if !f.matches(d) {
			continue
		}
		if nameOnly {
			d = d[:2] // name and type
		}
		docs = append(docs, d)
	}
	return r.node.cursors.open(namespace{r.db, "$cmd.listCollections"}, docs, batch, false)
}

func (s *store) listCollections(db string) []bson.D {
	s.mu.Lock()
	defer s.mu.Unlock()
	var docs []bson.D
	for _, name := range slices.Sorted(maps.Keys(s.dbs[db])) {
		docs = append(docs, bson.D{
			{Key: "name", Value: name},
			{Key: "type", Value: "collection"},
			{Key: "options", Value: bson.D{}},
			{Key: "info", Value: bson.D{{Key: "readOnly", Value: false}, {Key: "uuid", Value: s.dbs[db][name].uuid}}},
			{Key: "idIndex", Value: bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}}},
		})
	}
	return docs
}

func (r *request) listDatabases() (bson.D, error) {
	r.ignore(r.command, "authorizedDatabases")
	query := r.document("filter")
	nameOnly := r.flag("nameOnly", false)
	if err := r.end(); err != nil {
		return nil, err
	}
	if r.db != "admin" {
		return nil, failf(codeUnauthorized, "listDatabases may only be run against the admin database.")
	}
	f, err := parseFilter(query)
	if err != nil {
		return nil, err
	}
	list, total := bson.A{}, int64(0)
	for _, d := range r.node.store.listDatabases() {
		if !f.matches(d) {
			continue
		}
		total += d[1].Value.(int64)
		if nameOnly {
			d = d[:1]
		}
		list = append(list, d)
	}
	reply := bson.D{{Key: "databases", Value: list}}
	if nameOnly {
		return reply, nil
	}
	return append(reply, bson.E{Key: "totalSize", Value: total}, bson.E{Key: "totalSizeMb", Value: total >> 20}), nil
}

func (s *store) listDatabases() []bson.D {
	s.mu.Lock()
	defer s.mu.Unlock()
	var docs []bson.D
	for _, name := range slices.Sorted(maps.Keys(s.dbs)) {
		bytes := int64(0)
		for _, c := range s.dbs[name] {
			for _, r := range c.records {
				bytes += int64(size(r.doc))
			}
		}
		docs = append(docs, bson.D{
			{Key: "name", Value: name},
			{Key: "sizeOnDisk", Value: bytes},
			{Key: "empty", Value: false},
		})
	}
	return docs
}

func (r *request) createIndexes() (bson.D, error) {
	ns := r.collection(r.db)
	specs := r.documents("indexes")
	r.refuse("commitQuorum")
	if err := r.end(); err != nil {
		return nil, err
	}
	if len(specs) == 0 {
		return nil, failf(codeBadValue, "Must specify at least one index to create")
	}
	wanted := make([]*index, len(specs))
	for i, spec := range specs {
		var err error
		if wanted[i], err = parseIndex(spec); err != nil {
			return nil, err
		}
		for _, other := range wanted[:i] {
			if other.name == wanted[i].name && compareDocuments(other.keys, wanted[i].keys) == 0 {
				return nil, failf(codeIndexAlreadyExists, "Identical index already exists: %s", other.name)
			}
		}
	}
	s := r.node.store
	return s.change(r, func() (bson.D, error) { return s.createIndexesLocked(ns, wanted) })
}

func (s *store) createIndexesLocked(ns namespace, wanted []*index) (bson.D, error) {
	created := s.collectionLocked(ns) == nil
	c := s.ensureLocked(ns)
	before := len(c.indexes)
	for _, ix := range wanted {
		exists, err := c.hasIndex(ix)
		if err == nil && !exists {
			err = c.addIndex(ix)
		}
		if err != nil {
			c.indexes = c.indexes[:before] // all or none
			return nil, err
		}
	}
	for _, ix := range c.indexes[before:] {
		s.noteLocked(func() bson.D { return indexEntry(ns, ix) })
	}
	reply := bson.D{{Key: "numIndexesBefore", Value: int32(before)}, {Key: "numIndexesAfter", Value: int32(len(c.indexes))}}
	if created {
		reply = append(reply, bson.E{Key: "createdCollectionAutomatically", Value: true})
	}
	if len(c.indexes) == before {
		reply = append(reply, bson.E{Key: "note", Value: "all indexes already exist"})
	}
	return reply, nil
}

func parseIndex(spec bson.D) (*index, error) {
	a := newArgs("createIndexes.indexes", spec)
	keys := a.document("key")
	hasName := position(spec, "name") >= 0
	name := a.text("name")
	unique := a.flag("unique", false)
	a.integer("v", 2, 1)
	a.ignore("background", "ns")
	a.refuse("sparse", "partialFilterExpression", "expireAfterSeconds", "hidden", "collation", "storageEngine", "weights",
		"default_language", "language_override", "textIndexVersion", "2dsphereIndexVersion", "bits", "min", "max",
		"wildcardProjection", "prepareUnique", "clustered")
	switch {
	case a.err != nil:
		return nil, a.err
	case len(a.rest) > 0:
		return nil, failf(codeInvalidIndexOption, "The field '%s' is not valid for an index specification.", a.rest[0].Key)
	case hasName && name == "":
		return nil, failf(codeCannotCreateIndex, "index name cannot be empty")
	case keys == nil || !hasName:
		return nil, failf(codeFailedToParse, "The 'key' and 'name' fields are required properties of an index specification")
	case len(keys) == 0:
		return nil, failf(codeCannotCreateIndex, "Index keys cannot be an empty object")
	}
	for _, k := range keys {
		_, ok := direction(k.Value)
		switch {
		case k.Key == "" || strings.HasPrefix(k.Key, "$") || slices.Contains(splitPath(k.Key), ""):
			return nil, failf(codeCannotCreateIndex, "Index key '%s' is not a valid path", k.Key)
		case strings.Contains(k.Key, "$**"):
			return nil, unsupported("a wildcard index")
		case !ok && rank(k.Value) == rank(""):
			return nil, unsupported(fmt.Sprintf("an index of type %v", k.Value))
		case !ok:
			return nil, failf(codeCannotCreateIndex, "Values in the index key pattern must be 1 or -1")
		}
	}
	if len(keys) == 1 && keys[0].Key == "_id" && position(spec, "unique") >= 0 {
		return nil, failf(codeInvalidIndexOption, "The field 'unique' is not valid for an _id index specification.")
	}
	return newIndex(name, keys, unique), nil
}

// hasIndex tells whether that very index is there; a similar one is an error.
func (c *collection) hasIndex(ix *index) (bool, error) {
	for _, old := range c.indexes {
		sameKeys, sameName := compareDocuments(old.keys, ix.keys) == 0, old.name == ix.name
		switch {
		case sameKeys && old.keys[0].Key == "_id" && len(old.keys) == 1:
			return true, nil
		case sameKeys && sameName && old.unique == ix.unique:
			return true, nil
		case sameKeys && !sameName:
			return false, failf(codeIndexOptionsConflict, "Index already exists with a different name: %s", old.name)
		case sameName:
			return false, failf(codeIndexKeySpecsConflict, "An existing index has the same name as the requested index: %s", ix.name)
		}
	}
	return false, nil
}
