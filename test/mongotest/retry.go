package mongotest

import (
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// txn names a retryable write: drivers number those of a session. A retry has
// the number of the first try.
type txn struct {
	session string // the 16 bytes of its id
	number  int64
}

// retries are the outcomes of each session's last write, so that a retry is
// answered and not done again.
type retries map[string]*sessionWrite

type sessionWrite struct {
	number   int64
	outcomes map[int32]outcome // by the statement's place in the command
	used     time.Time
}

const (
	// maxSessions bounds what is kept. MongoDB's limit is a million.
	maxSessions    = 10_000
	sessionTimeout = time.Duration(sessionTimeoutMinutes) * time.Minute
)

// begin returns what is known of a session's write, and forgets the one before
// it.
func (rs retries) begin(t txn) (*sessionWrite, error) {
	s := rs[t.session]
	if s == nil {
		if len(rs) >= maxSessions {
			maps.DeleteFunc(rs, func(_ string, s *sessionWrite) bool { return time.Since(s.used) > sessionTimeout })
		}
		if len(rs) >= maxSessions {
			return nil, &serverError{code: codeTooManyLogicalSessions, message: "too many sessions have retryable writes", whole: true}
		}
		s = &sessionWrite{number: -1}
		rs[t.session] = s
	}
	if t.number < s.number {
		err := failf(codeTransactionTooOld, "Retryable write with txnNumber %d is prohibited on session because a newer one with txnNumber %d has already started", t.number, s.number)
		asServerError(err).whole = true
		return nil, err
	}
	if t.number > s.number {
		s.number, s.outcomes = t.number, make(map[int32]outcome)
	}
	s.used = time.Now()
	return s, nil
}

// retryEntry is an outcome as the journal has it.
func retryEntry(t txn, statement int32, o outcome) bson.D {
	return bson.D{
		{Key: "do", Value: "retry"},
		{Key: "session", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte(t.session)}},
		{Key: "number", Value: t.number},
		{Key: "statement", Value: statement},
		{Key: "n", Value: o.n},
		{Key: "modified", Value: o.modified},
		{Key: "upserted", Value: orNull(o.upserted)},
		{Key: "last", Value: orNull(o.last)},
		{Key: "value", Value: orNull(o.value)},
	}
}

// orNull: a nil document is not an empty one.
func orNull(d bson.D) any {
	if d == nil {
		return nil
	}
	return d
}

// replay takes an entry of retryEntry back.
func (rs retries) replay(a *args) error {
	id, _ := a.take("session")
	session, ok := id.(bson.Binary)
	if !ok {
		a.wrongType("session", id, "binData")
	}
	t := txn{session: string(session.Data), number: a.integer("number", 0, 0)}
	statement := int32(a.integer("statement", 0, 0))
	o := outcome{
		n:        int32(a.integer("n", 0, 0)),
		modified: int32(a.integer("modified", 0, 0)),
		upserted: a.document("upserted"),
		last:     a.document("last"),
		value:    a.document("value"),
	}
	if err := a.end(); err != nil {
		return err
	}
	s, err := rs.begin(t)
	if err != nil {
		return err
	}
	s.outcomes[statement] = o
	return nil
}

// entries are all outcomes in the form of the journal.
func (rs retries) entries(write func(bson.D) error) error {
	for _, session := range slices.Sorted(maps.Keys(rs)) {
		s := rs[session]
		for _, statement := range slices.Sorted(maps.Keys(s.outcomes)) {
			if err := write(retryEntry(txn{session, s.number}, statement, s.outcomes[statement])); err != nil {
				return err
			}
		}
	}
	return nil
}
