package mongotest

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// outcome is what one statement of a write command has come to. It is kept for
// a retry of the statement.
type outcome struct {
	n, modified int32
	upserted    bson.D // {_id: …} of a new document, or nil
	last, value bson.D // the reply of a findAndModify
}

// statement runs one statement of a write command, or what a retry of it is
// owed. All of it happens under the store's lock, so no other write comes
// between a match and its change; and when it returns, the change is in the
// journal.
func (s *store) statement(r *request, number int32, do func() (outcome, error)) (o outcome, retried bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.stillPrimary(); err != nil {
		return outcome{}, false, err
	}
	if r.txn == nil {
		o, err = do()
		return o, false, s.commitLocked(err)
	}
	session, err := s.retries.begin(*r.txn)
	if err != nil {
		return outcome{}, false, err
	}
	if saved, ok := session.outcomes[number]; ok {
		return saved, true, nil
	}
	// One that has done nothing is not kept, as in MongoDB: a retry may find
	// something.
	if o, err = do(); err == nil && o.n > 0 {
		session.outcomes[number] = o
		s.noteLocked(func() bson.D { return retryEntry(*r.txn, number, o) })
	}
	return o, false, s.commitLocked(err)
}

// change runs a command that changes the catalog.
func (s *store) change(r *request, do func() (bson.D, error)) (reply bson.D, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.stillPrimary(); err != nil {
		return nil, err
	}
	reply, err = do()
	if err := s.commitLocked(err); err != nil {
		return nil, err
	}
	return reply, nil
}

// noteLocked adds an entry to what the statement under way has changed. It is
// only made where it is kept.
func (s *store) noteLocked(entry func() bson.D) {
	if s.journal != nil {
		s.noted = append(s.noted, entry())
	}
}

// commitLocked writes what the statement under way has changed, also where it
// has failed half-way. Its own error replaces the statement's: the journal
// lacks then what the documents say, and nothing more is read or written.
func (s *store) commitLocked(err error) error {
	entries := s.noted
	s.noted = nil
	switch {
	case s.broken != nil:
		return s.broken
	case len(entries) == 0:
		return err
	}
	// A write into the system's cache; it stays under the lock, since the
	// journal's order is the changes'.
	if failed := s.journal.append(bson.D{{Key: "entries", Value: entries}}); failed != nil {
		s.broken = &serverError{code: codeInternalError, message: "mongotest: write the journal: " + failed.Error(), whole: true}
		return s.broken
	}
	return err
}

// failure is why the store can't be used any more.
func (s *store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}
