package mongotest

import (
	"go.mongodb.org/mongo-driver/v2/bson"
)

func (r *request) checkReadConcern(cmd command, concern bson.D) error {
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
		switch {
		case !cmd.read:
			return failf(codeInvalidOptions, "Command %s does not support read concern level %s", r.command, level)
		case r.node.set == nil:
			return failf(codeNotAReplicaSet, "node needs to be a replica set member to use read concern %s", level)
		}
		return unsupported("read concern " + level)
	}
	return failf(codeBadValue, "Enumeration value '%s' for field 'readConcern.level' is not a valid value.", level)
}

// checkWriteConcern accepts what the server can fulfil; it has fulfilled it
// when it replies.
func (r *request) checkWriteConcern(cmd command, concern bson.D) error {
	if !cmd.write {
		return failf(codeInvalidOptions, "Command %s does not support writeConcern", r.command)
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
		n, ok := integral(w)
		if !ok || n < 0 || n > 50 {
			return failf(codeFailedToParse, "w has to be a number between 0 and 50")
		}
		return r.checkAcknowledgements(int(n))
	}
	if _, ok := w.(string); !ok {
		return failf(codeFailedToParse, "w has to be a number or a string")
	}
	if r.node.set != nil {
		return unsupported("a write concern by tags")
	}
	return failf(codeBadValue, "cannot use a 'w' mode other than majority when a host is not replicated")
}

// checkAcknowledgements: a write is with all members at once.
func (r *request) checkAcknowledgements(w int) error {
	switch set := r.node.set; {
	case w <= 1:
		r.unreplicated = true
		return nil
	case set == nil:
		return failf(codeBadValue, "cannot use 'w' > 1 when a host is not replicated")
	case w > len(set.hosts):
		r.unsatisfied = &serverError{code: codeUnsatisfiableWriteConcern, message: "Not enough data-bearing nodes"}
		return nil
	case w > set.alive():
		return unsupported("waiting for a member that is dead")
	}
	return nil
}
