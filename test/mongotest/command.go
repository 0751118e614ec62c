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
	// exhaust: the client takes further replies to this request. A command
	// that has any sets more.
	exhaust, more bool
}

// command is an entry of the table below.
type command struct {
	run func(*request) (bson.D, error)
	// open commands need no authentication.
	open bool
	// write commands take a write concern, read commands a read concern.
	write, read bool
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

		"insert":        {run: (*request).insert, write: true},
		"update":        {run: (*request).update, write: true},
		"delete":        {run: (*request).delete, write: true},
		"findAndModify": {run: (*request).findAndModify, write: true},
		"findandmodify": {run: (*request).findAndModify, write: true},

		"find":        {run: (*request).find, read: true},
		"aggregate":   {run: (*request).aggregate, read: true},
		"count":       {run: (*request).count, read: true},
		"distinct":    {run: (*request).distinct, read: true},
		"getMore":     {run: (*request).getMore},
		"killCursors": {run: (*request).killCursors},

		"create":          {run: (*request).create, write: true},
		"createIndexes":   {run: (*request).createIndexes, write: true},
		"drop":            {run: (*request).drop, write: true},
		"dropDatabase":    {run: (*request).dropDatabase, write: true},
		"listCollections": {run: (*request).listCollections},
		"listDatabases":   {run: (*request).listDatabases},
	}
}

// run executes a command and returns its reply, and whether the client gets
// another one without asking.
func (c *conn) run(ctx context.Context, m *message) (bson.D, bool) {
	r := &request{ctx: ctx, conn: c, node: c.node, db: m.db, exhaust: m.exhaust}
	reply, err := r.dispatch(m)
	if err != nil {
		return asServerError(err).reply(), false
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
	r.args = newArgs(name, m.body)
	if err := r.generic(cmd); err != nil {
		return nil, err
	}
	return cmd.run(r)
}

func validDatabase(name string) bool {
	return name != "" && len(name) < 64 && !strings.ContainsAny(name, "/\\. \"$\x00")
}

// generic takes the fields that any command may have.
func (r *request) generic(cmd command) error {
	r.ignore("$db", "$clusterTime", "$readPreference", "$configTime", "comment", "apiDeprecationErrors", "apiStrict", "lastCommittedOpTime")
	if v, ok := r.take("apiVersion"); ok && v != "1" {
		return failf(codeAPIVersionError, "API version must be \"1\"")
	}
	if v, ok := r.take("maxTimeMS"); ok {
		if err := checkMaxTime(v); err != nil {
			return err
		}
	}
	if id := r.document("lsid"); id != nil {
		if err := checkSession(id); err != nil {
			return err
		}
	}
	for _, field := range []string{"txnNumber", "startTransaction", "autocommit"} {
		if _, ok := r.take(field); ok {
			return failf(codeIllegalOperation, "Transaction numbers are only allowed on a replica set member or mongos")
		}
	}
	if concern := r.document("readConcern"); concern != nil {
		if err := checkReadConcern(r.command, cmd, concern); err != nil {
			return err
		}
	}
	if concern := r.document("writeConcern"); concern != nil {
		if err := checkWriteConcern(r.command, cmd, concern); err != nil {
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

func checkReadConcern(name string, cmd command, concern bson.D) error {
	a := newArgs("readConcern", concern)
	level := a.text("level")
	a.ignore("afterClusterTime", "provenance")
	if err := a.end(); err != nil {
		return err
	}
	switch level {
	case "", "local", "available", "majority":
		return nil
	case "linearizable", "snapshot":
		if !cmd.read {
			return failf(codeInvalidOptions, "Command %s does not support read concern level %s", name, level)
		}
		return failf(codeNotAReplicaSet, "node needs to be a replica set member to use read concern %s", level)
	}
	return failf(codeBadValue, "Enumeration value '%s' for field 'readConcern.level' is not a valid value.", level)
}

// checkWriteConcern accepts what a standalone server can fulfil; it has
// fulfilled it when it replies.
func checkWriteConcern(name string, cmd command, concern bson.D) error {
	if !cmd.write {
		return failf(codeInvalidOptions, "Command %s does not support writeConcern", name)
	}
	a := newArgs("writeConcern", concern)
	w, _ := a.take("w")
	a.flag("j", false)
	a.flag("fsync", false)
	a.integer("wtimeout", 0, 0)
	a.ignore("provenance")
	if err := a.end(); err != nil {
		return err
	}
	switch {
	case w == nil || w == "majority":
		return nil
	case isNumber(w):
		if n, ok := integral(w); !ok || n < 0 || n > 50 {
			return failf(codeFailedToParse, "w has to be a number between 0 and 50")
		} else if n > 1 {
			return failf(codeBadValue, "cannot use 'w' > 1 when a host is not replicated")
		}
		return nil
	}
	if _, ok := w.(string); ok {
		return failf(codeBadValue, "cannot use a 'w' mode other than majority when a host is not replicated")
	}
	return failf(codeFailedToParse, "w has to be a number or a string")
}
