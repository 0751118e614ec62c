package mongotest

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

// A command's way through a member of a replica set: it is refused where only
// a primary would take it, its writes are refused when the primary has changed
// meanwhile, and what is done then is not acknowledged.

// transaction reads the number of a retryable write.
func (r *request) transaction(cmd command, session bson.D) error {
	v, numbered := r.take("txnNumber")
	_, starts := r.take("startTransaction")
	_, commits := r.take("autocommit")
	number, isLong := v.(int64)
	switch {
	case !numbered && !starts && !commits:
		return nil
	case r.node.set == nil:
		return failf(codeIllegalOperation, "Transaction numbers are only allowed on a replica set member or mongos")
	case starts || commits:
		return unsupported("a transaction")
	case !isLong:
		return failf(codeTypeMismatch, "BSON field '%s.txnNumber' is the wrong type '%s', expected type 'long'", r.command, typeName(v))
	case number < 0:
		return failf(codeInvalidOptions, "Transaction number cannot be negative")
	case session == nil:
		return failf(codeInvalidOptions, "Transaction number requires a session ID to also be specified")
	case !cmd.retryable:
		return failf(codeNotRetryable, "txnNumber may only be provided for multi-document transactions and retryable write commands, and %s is none", r.command)
	}
	id, _ := lookup(session, "id")
	r.txn = &txn{session: string(id.(bson.Binary).Data), number: number} // checkSession has seen it
	return nil
}

// readPreference tells whether the client takes a secondary's answer.
func (r *request) readPreference() error {
	preference := r.document("$readPreference")
	if preference == nil || r.err != nil {
		return r.err
	}
	a := newArgs("$readPreference", preference)
	mode := a.required("mode")
	a.ignore("tags", "maxStalenessSeconds", "hedge") // they choose among members, and the client has chosen
	if err := a.end(); err != nil {
		return err
	}
	switch mode {
	case "primary":
	case "primaryPreferred", "secondary", "secondaryPreferred", "nearest":
		r.secondaryOK = true
	default:
		return failf(codeFailedToParse, "Could not parse $readPreference mode '%s'", mode)
	}
	return nil
}

// enter refuses what this member does not do, and remembers as whose command
// it does it.
func (r *request) enter(cmd command) error {
	if r.node.set == nil {
		return nil
	}
	now := r.node.set.role(r.node.member)
	r.term = now.term
	switch {
	case now.primary:
		return nil
	case cmd.write:
		return failf(codeNotWritablePrimary, "not primary")
	case cmd.optIn && !r.secondaryOK:
		return failf(codeNotPrimaryNoSecondaryOk, "not primary and secondaryOk=false")
	}
	return nil
}

func (r *request) primaryStill() bool {
	if r.node.set == nil {
		return true
	}
	now := r.node.set.role(r.node.member)
	return now.primary && now.term == r.term
}

// stillPrimary refuses a write that has waited for its turn while the primary
// changed.
func (r *request) stillPrimary() error {
	if r.primaryStill() {
		return nil
	}
	return &serverError{code: codeInterruptedDueToReplState, message: "operation was interrupted", whole: true}
}

// acknowledge adds to a write's reply that its concern is not fulfilled, if so:
// a primary that has stepped down can't know what the others have of its last
// writes.
func (r *request) acknowledge(reply bson.D) bson.D {
	failure := r.unsatisfied
	if failure == nil && !r.unreplicated && !r.primaryStill() {
		failure = &serverError{code: codePrimarySteppedDown, message: "Primary stepped down while waiting for replication"}
	}
	if failure == nil {
		return reply
	}
	reply = append(reply, bson.E{Key: "writeConcernError", Value: bson.D{
		{Key: "code", Value: int32(failure.code)},
		{Key: "codeName", Value: failure.code.name()},
		{Key: "errmsg", Value: failure.message},
		{Key: "errInfo", Value: bson.D{}},
	}})
	return append(reply, r.labels(failure.code)...)
}

// refusal is an error's reply. One that says that the primary has changed
// carries the version of the topology, by which drivers tell old news.
func (r *request) refusal(e *serverError) bson.D {
	reply := e.reply()
	if r.node.set == nil || !stateChange(e.code) {
		return reply
	}
	reply = append(reply, bson.E{Key: "topologyVersion", Value: r.node.topology.version()})
	return append(reply, r.labels(e.code)...)
}

// labels: drivers retry a write if the server says so.
func (r *request) labels(c code) bson.D {
	if r.txn == nil || !stateChange(c) {
		return nil
	}
	return bson.D{{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}}}
}

func stateChange(c code) bool {
	switch c {
	case codeNotWritablePrimary, codeInterruptedDueToReplState, codePrimarySteppedDown, codeNotPrimaryNoSecondaryOk:
		return true
	}
	return false
}

// replSetStepDown is [Server.StepDown] for clients. The time for which the
// member is not to be elected again has no meaning here: it is the last choice
// of the next election.
func (r *request) replSetStepDown() (bson.D, error) {
	r.integer(r.command, 60, 0)
	r.integer("secondaryCatchUpPeriodSecs", 10, 0)
	r.flag("force", false)
	if err := r.end(); err != nil {
		return nil, err
	}
	switch {
	case r.db != userDatabase:
		return nil, failf(codeUnauthorized, "replSetStepDown may only be run against the admin database.")
	case r.node.set == nil:
		return nil, failf(codeNoReplicationEnabled, "not running with --replSet")
	case !r.node.set.stepDown(r.node.member):
		return nil, failf(codeNotWritablePrimary, "not primary so can't step down")
	}
	return bson.D{}, nil
}
