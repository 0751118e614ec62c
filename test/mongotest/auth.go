package mongotest

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	scramSHA1   = "SCRAM-SHA-1"
	scramSHA256 = "SCRAM-SHA-256"
	// userDatabase is the one that has users, as that of a root user which the
	// official image makes.
	userDatabase = "admin"
)

// Iteration counts and salt sizes are MongoDB's defaults
// (scramIterationCount, scramSHA256IterationCount).
var mechanisms = []struct {
	name       string
	hash       scram.HashGeneratorFcn
	iterations int
	saltSize   int
}{
	{scramSHA1, scram.SHA1, 10_000, 16},
	{scramSHA256, scram.SHA256, 15_000, 28},
}

// users holds the one user that a server may have; none means that no
// authentication is wanted. It is read only.
type users struct {
	name    string
	role    string
	servers map[string]*scram.Server // by mechanism
}

// Built-in roles of MongoDB.
const (
	roleRoot            = "root"
	roleReadAnyDatabase = "readAnyDatabase"
)

func newUsers(cfg Config) (*users, error) {
	name, password := cfg.User, cfg.Password
	u := &users{name: name, role: roleRoot, servers: make(map[string]*scram.Server)}
	if cfg.ReadOnly {
		u.role = roleReadAnyDatabase
	}
	switch {
	case name == "" && cfg.ReadOnly:
		return nil, errors.New("without a user there is none to be read-only")
	case name == "" && password == "":
		return u, nil
	case name == "":
		return nil, errors.New("a password needs a user")
	case password == "":
		return nil, fmt.Errorf("user %q needs a password", name)
	}
	for _, m := range mechanisms {
		stored, err := credentials(m.name, m.hash, name, password, m.iterations, m.saltSize)
		if err != nil {
			return nil, fmt.Errorf("%s credentials of user %q: %w", m.name, name, err)
		}
		u.servers[m.name], err = m.hash.NewServer(func(who string) (scram.StoredCredentials, error) {
			if who != name {
				return scram.StoredCredentials{}, errors.New("unknown user")
			}
			return stored, nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return u, nil
}

func credentials(mechanism string, hash scram.HashGeneratorFcn, name, password string, iterations, saltSize int) (scram.StoredCredentials, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	// MongoDB does not run SASLprep over user names, and for SHA-1 not over
	// passwords either: it takes the hex digest that the MONGODB-CR mechanism
	// before it stored.
	newClient := hash.NewClient
	if mechanism == scramSHA1 {
		digest := md5.Sum([]byte(name + ":mongo:" + password))
		password = hex.EncodeToString(digest[:])
		newClient = hash.NewClientUnprepped
	}
	client, err := newClient("", password, "")
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
}

func (u *users) required() bool { return u.name != "" }

// mechanismsOf answers saslSupportedMechs, whose form is database.user.
func (u *users) mechanismsOf(who string) bson.A {
	if !u.required() || who != userDatabase+"."+u.name {
		return nil
	}
	return bson.A{scramSHA1, scramSHA256}
}

// login is how far a connection has come with its authentication.
type login struct {
	done          bool
	conversation  *scram.ServerConversation
	skipEmptyStep bool
	proven        bool // the proof was right; only the empty step is left
}

func (c *conn) authorized() bool {
	return c.login.done || !c.node.users.required()
}

// conversationID: a connection has one conversation at a time.
const conversationID int32 = 1

var errAuthentication = &serverError{code: codeAuthenticationFailed, message: "Authentication failed."}

func (r *request) saslStart() (bson.D, error) {
	r.ignore(r.command)
	return r.startConversation(r.db)
}

// speculate is the saslStart that comes inside hello and names its database.
func (r *request) speculate(start bson.D) (bson.D, error) {
	inner := &request{args: newArgs("saslStart", start), ctx: r.ctx, conn: r.conn, node: r.node}
	inner.ignore("saslStart")
	db := inner.text("db")
	return inner.startConversation(db)
}

func (r *request) startConversation(db string) (bson.D, error) {
	mechanism := r.text("mechanism")
	payload := r.payload()
	r.flag("autoAuthorize", true)
	skipEmpty := false
	if options := r.document("options"); options != nil {
		a := newArgs("saslStart.options", options)
		skipEmpty = a.flag("skipEmptyExchange", false)
		if err := a.end(); err != nil {
			return nil, err
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	if mechanism != scramSHA1 && mechanism != scramSHA256 {
		return nil, failf(codeMechanismUnavailable, "Received authentication for mechanism %s which is not enabled", mechanism)
	}
	r.conn.login.conversation = nil
	server := r.node.users.servers[mechanism]
	if server == nil || db != userDatabase {
		return nil, errAuthentication
	}
	conversation := server.NewConversation()
	answer, err := conversation.Step(payload)
	if err != nil {
		return nil, errAuthentication
	}
	r.conn.login.conversation = conversation
	r.conn.login.skipEmptyStep = skipEmpty
	r.conn.login.proven = false
	return saslReply(answer, false), nil
}

func (r *request) saslContinue() (bson.D, error) {
	r.ignore(r.command)
	id := r.integer("conversationId", 0, 0)
	payload := r.payload()
	if err := r.end(); err != nil {
		return nil, err
	}
	l := &r.conn.login
	if l.conversation == nil {
		return nil, failf(codeProtocolError, "No SASL session state found")
	}
	if id != int64(conversationID) {
		return nil, failf(codeProtocolError, "sasl: Mismatched conversation id")
	}
	if r.db != userDatabase {
		return nil, failf(codeProtocolError, "Attempt to switch database target during SASL authentication.")
	}
	if l.proven {
		l.conversation = nil
		if payload != "" {
			return nil, errAuthentication
		}
		l.done = true
		return saslReply("", true), nil
	}
	answer, err := l.conversation.Step(payload)
	if err != nil || !l.conversation.Valid() {
		l.conversation = nil
		return nil, errAuthentication
	}
	if !l.skipEmptyStep {
		l.proven = true
		return saslReply(answer, false), nil
	}
	l.conversation = nil
	l.done = true
	return saslReply(answer, true), nil
}

func saslReply(payload string, done bool) bson.D {
	return bson.D{
		{Key: "conversationId", Value: conversationID},
		{Key: "done", Value: done},
		{Key: "payload", Value: bson.Binary{Data: []byte(payload)}},
	}
}

// payload is binary in all drivers; MongoDB takes a string too.
func (r *request) payload() string {
	v, _ := r.take("payload")
	switch v := v.(type) {
	case bson.Binary:
		return string(v.Data)
	case string:
		return v
	}
	r.wrongType("payload", v, "binData")
	return ""
}

func (r *request) logout() (bson.D, error) {
	r.ignore(r.command)
	if err := r.end(); err != nil {
		return nil, err
	}
	r.conn.login = login{}
	return bson.D{}, nil
}

func (r *request) connectionStatus() (bson.D, error) {
	r.ignore(r.command)
	if r.flag("showPrivileges", false) {
		return nil, unsupported("option showPrivileges of connectionStatus")
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	who, roles := bson.A{}, bson.A{}
	if r.conn.login.done {
		who = bson.A{bson.D{{Key: "user", Value: r.node.users.name}, {Key: "db", Value: userDatabase}}}
		roles = bson.A{bson.D{{Key: "role", Value: r.node.users.role}, {Key: "db", Value: userDatabase}}}
	}
	return bson.D{{Key: "authInfo", Value: bson.D{
		{Key: "authenticatedUsers", Value: who},
		{Key: "authenticatedUserRoles", Value: roles},
	}}}, nil
}
