package mongotest

import (
	"context"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// request is one command on its way through the server. Everything that a
// command may read stands in args; a field that it leaves there is an error.
type request struct {
	*args
	ctx  context.Context
	conn *conn
	node *node
	db   string
	txn  *txn  // nil: no retryable write
	term int64 // of the primary that took the command; 0 on a standalone server
	// unreplicated: the client does not wait for other members.
	unreplicated bool
	// unsatisfied is a write concern that can't be fulfilled: the write is
	// done all the same.
	unsatisfied *serverError
	// secondaryOK: the client takes the answer of a secondary.
	secondaryOK bool
	// exhaust: the client takes further replies to this request. A command
	// that has any sets more.
	exhaust, more bool
}

// command is an entry of the table below.
type command struct {
	run func(*request) (bson.D, error)
	// open commands need no authentication.
	open bool
	// write commands take a write concern, and only a primary takes them; read
	// commands take a read concern.
	write, read bool
	// retryable write commands may have a transaction number.
	retryable bool
	// optIn commands run on a secondary where the client has asked for one.
	optIn bool
}

// commands is filled in init: hello runs a saslStart of its own, which would
// otherwise be a cycle.
var commands map[string]command

func init() {
	commands = map[string]command{
		"hello":            {run: (*request).hello, open: true},
		"isMaster":         {run: (*request).isMaster, open: true},
		"ismaster":         {run: (*request).isMaster, open: true},
		"ping":             {run: (*request).ping, open: true},
		"buildInfo":        {run: (*request).buildInfo, open: true},
		"buildinfo":        {run: (*request).buildInfo, open: true},
		"connectionStatus": {run: (*request).connectionStatus, open: true},
		"saslStart":        {run: (*request).saslStart, open: true},
		"saslContinue":     {run: (*request).saslContinue, open: true},
		"logout":           {run: (*request).logout, open: true},
		"endSessions":      {run: (*request).endSessions},
		"serverStatus":     {run: (*request).serverStatus},

		"replSetStepDown": {run: (*request).replSetStepDown},

		"insert":        {run: (*request).insert, write: true, retryable: true},
		"update":        {run: (*request).update, write: true, retryable: true},
		"delete":        {run: (*request).delete, write: true, retryable: true},
		"findAndModify": {run: (*request).findAndModify, write: true, retryable: true},
		"findandmodify": {run: (*request).findAndModify, write: true, retryable: true},

		"find":        {run: (*request).find, read: true, optIn: true},
		"aggregate":   {run: (*request).aggregate, read: true, optIn: true},
		"count":       {run: (*request).count, read: true, optIn: true},
		"distinct":    {run: (*request).distinct, read: true, optIn: true},
		"getMore":     {run: (*request).getMore},
		"killCursors": {run: (*request).killCursors},

		"create":          {run: (*request).create, write: true},
		"createIndexes":   {run: (*request).createIndexes, write: true},
		"drop":            {run: (*request).drop, write: true},
		"dropDatabase":    {run: (*request).dropDatabase, write: true},
		"listCollections": {run: (*request).listCollections, optIn: true},
		"listDatabases":   {run: (*request).listDatabases, optIn: true},
	}
}

// run executes a command and returns its reply, and whether the client gets
// another one without asking.
func (c *conn) run(ctx context.Context, m *message) (bson.D, bool) {
	r := &request{ctx: ctx, conn: c, node: c.node, db: m.db, exhaust: m.exhaust}
	reply, err := r.dispatch(m)
	if err != nil {
		return r.refusal(asServerError(err)), false
	}
	return append(reply, bson.E{Key: "ok", Value: 1.0}), r.more
}

func (r *request) dispatch(m *message) (bson.D, error) {
	if len(m.body) == 0 {
		return nil, failf(codeCommandNotFound, "no such command: ''")
	}
	name := m.body[0].Key
	cmd, ok := commands[name]
	if !ok {
		return nil, failf(codeCommandNotFound, "no such command: '%s'", name)
	}
	if m.legacy && name != "hello" && !strings.EqualFold(name, "isMaster") {
		return nil, failf(codeUnsupportedOpQuery, "Unsupported OP_QUERY command: %s. The client driver may require an upgrade", name)
	}
	if !validDatabase(r.db) {
		return nil, failf(codeInvalidNamespace, "Invalid database name: '%s'", r.db)
	}
	if !cmd.open && !r.conn.authorized() {
		return nil, failf(codeUnauthorized, "Command %s requires authentication", name)
	}
	if cmd.write && r.node.users.role == roleReadAnyDatabase {
		return nil, failf(codeUnauthorized, "not authorized on %s to execute command %s", r.db, name)
	}
	r.args = newArgs(name, m.body)
	if err := r.generic(cmd); err != nil {
		return nil, err
	}
	if err := r.node.store.failure(); err != nil {
		return nil, err
	}
	if err := r.enter(cmd); err != nil {
		return nil, err
	}
	reply, err := cmd.run(r)
	if err != nil || !cmd.write {
		return reply, err
	}
	return r.acknowledge(reply), nil
}

func validDatabase(name string) bool {
	return name != "" && len(name) < 64 && !strings.ContainsAny(name, "/\\. \"$\x00")
}

// generic takes the fields that any command may have.
func (r *request) generic(cmd command) error {
	r.ignore("$db", "$clusterTime", "$configTime", "comment", "apiDeprecationErrors", "apiStrict", "lastCommittedOpTime")
	if v, ok := r.take("apiVersion"); ok && v != "1" {
		return failf(codeAPIVersionError, "API version must be \"1\"")
	}
	if v, ok := r.take("maxTimeMS"); ok {
		if err := checkMaxTime(v); err != nil {
			return err
		}
	}
	session := r.document("lsid")
	if session != nil {
		if err := checkSession(session); err != nil {
			return err
		}
	}
	if err := r.transaction(cmd, session); err != nil {
		return err
	}
	if err := r.readPreference(); err != nil {
		return err
	}
	if concern := r.document("readConcern"); concern != nil {
		if err := r.checkReadConcern(cmd, concern); err != nil {
			return err
		}
	}
	if concern := r.document("writeConcern"); concern != nil {
		if err := r.checkWriteConcern(cmd, concern); err != nil {
			return err
		}
	}
	return r.err
}

// checkMaxTime does no more than check: no command here takes a millisecond's
// wait for anything.
func checkMaxTime(v any) error {
	n, whole := int64(0), false
	if isNumber(v) {
		n, whole = integral(v)
	}
	if !whole || n < 0 || n > math.MaxInt32 {
		return failf(codeBadValue, "maxTimeMS must be a whole number from 0 to %d", math.MaxInt32)
	}
	return nil
}

func checkSession(id bson.D) error {
	a := newArgs("OperationSessionInfo.lsid", id)
	v, ok := a.take("id")
	if !ok {
		a.missing("id")
	} else if u, ok := v.(bson.Binary); !ok || u.Subtype != bson.TypeBinaryUUID || len(u.Data) != 16 {
		a.wrongType("id", v, "binData (UUID)")
	}
	a.ignore("uid")
	return a.end()
}
