package mongotest

import (
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// cursorIdle is how long a cursor lives unused; MongoDB's default.
const cursorIdle = 10 * time.Minute

// cursors keeps the rest of what has not fitted into a first batch.
type cursors struct {
	mu   sync.Mutex
	byID map[int64]*cursor
}

type cursor struct {
	ns   namespace
	rest []bson.D
	used time.Time
}

func newCursors() *cursors { return &cursors{byID: make(map[int64]*cursor)} }

// open answers with a first batch, and with a cursor for the rest unless the
// client wants none.
func (cs *cursors) open(ns namespace, docs []bson.D, batch int64, single bool) (bson.D, error) {
	first, rest := cutBatch(docs, batch)
	id := int64(0)
	if !single && (len(rest) > 0 || batch == 0) {
		id = cs.add(&cursor{ns: ns, rest: rest, used: time.Now()})
	}
	return cursorReply(id, ns.String(), "firstBatch", first), nil
}

func (cs *cursors) add(c *cursor) int64 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for id, old := range cs.byID {
		if c.used.Sub(old.used) > cursorIdle {
			delete(cs.byID, id)
		}
	}
	for {
		id := rand.Int64N(1<<62) + 1
		if _, taken := cs.byID[id]; !taken {
			cs.byID[id] = c
			return id
		}
	}
}

// next takes a cursor's next batch; a limit of 0 is none. The cursor is gone
// when nothing is left.
func (cs *cursors) next(id int64, ns namespace, limit int64) ([]bson.D, int64, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byID[id]
	if c == nil {
		return nil, 0, failf(codeCursorNotFound, "cursor id %d not found", id)
	}
	if c.ns != ns {
		return nil, 0, failf(codeUnauthorized, "Requested getMore on namespace '%s', but cursor belongs to a different namespace %s", ns, c.ns)
	}
	batch, rest := cutBatch(c.rest, limit)
	c.rest, c.used = rest, time.Now()
	if len(rest) == 0 {
		delete(cs.byID, id)
		id = 0
	}
	return batch, id, nil
}

func (cs *cursors) kill(id int64, ns namespace) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byID[id]
	if c == nil || c.ns != ns {
		return false
	}
	delete(cs.byID, id)
	return true
}

// cutBatch takes at most limit documents, and no more than one reply holds:
// the first whatever its size, then up to 16 MiB.
func cutBatch(docs []bson.D, limit int64) (batch, rest []bson.D) {
	bytes := 0
	for i, d := range docs {
		bytes += size(d) + 2 + len(indexName(i))
		if int64(i) == limit || (i > 0 && bytes > maxDocumentSize) {
			return docs[:i], docs[i:]
		}
	}
	return docs, nil
}

func cursorReply(id int64, ns, batchName string, docs []bson.D) bson.D {
	batch := make(bson.A, len(docs))
	for i, d := range docs {
		batch[i] = d
	}
	return bson.D{{Key: "cursor", Value: bson.D{
		{Key: batchName, Value: batch},
		{Key: "id", Value: id},
		{Key: "ns", Value: ns},
	}}}
}

func (r *request) getMore() (bson.D, error) {
	v, _ := r.take(r.command)
	id, ok := v.(int64)
	if !ok {
		r.wrongType(r.command, v, "long")
	}
	ns := r.named(r.db, r.required("collection"))
	limit := r.integer("batchSize", 0, 0)
	r.refuse("term", "lastKnownCommittedOpTime")
	if err := r.end(); err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = noLimit
	}
	batch, id, err := r.node.cursors.next(id, ns, limit)
	if err != nil {
		return nil, err
	}
	return cursorReply(id, ns.String(), "nextBatch", batch), nil
}

const noLimit = 1<<63 - 1

func (r *request) killCursors() (bson.D, error) {
	ns := r.collection(r.db)
	ids := r.array("cursors")
	if ids == nil {
		r.missing("cursors")
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	killed, unknown := bson.A{}, bson.A{}
	for _, v := range ids {
		id, ok := v.(int64)
		switch {
		case !ok:
			return nil, failf(codeTypeMismatch, "BSON field 'killCursors.cursors' must hold longs, not %s", typeName(v))
		case r.node.cursors.kill(id, ns):
			killed = append(killed, id)
		default:
			unknown = append(unknown, id)
		}
	}
	return bson.D{
		{Key: "cursorsKilled", Value: killed},
		{Key: "cursorsNotFound", Value: unknown},
		{Key: "cursorsAlive", Value: bson.A{}},
		{Key: "cursorsUnknown", Value: bson.A{}},
	}, nil
}
