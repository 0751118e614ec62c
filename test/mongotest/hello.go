package mongotest

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	serverVersion = "7.0.14"
	// maxWireVersion 21 is MongoDB 7.0.
	minWireVersion    int32 = 0
	maxWireVersion    int32 = 21
	maxWriteBatchSize int32 = 100_000
	// sessionTimeoutMinutes is MongoDB's default.
	sessionTimeoutMinutes int32 = 30
)

// topology is the version of what hello reports, which lets drivers wait for
// its next change instead of polling. A standalone server's never changes.
type topology struct {
	process bson.ObjectID

	mu      sync.Mutex
	counter int64
	changed chan struct{} // closed and renewed by each change
}

func newTopology() *topology {
	return &topology{process: bson.NewObjectID(), changed: make(chan struct{})}
}

func (t *topology) change() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counter++
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *topology) current() (int64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counter, t.changed
}

// await returns when the topology is another than the client knows, or after
// the time that the client wants to wait.
func (t *topology) await(ctx context.Context, process bson.ObjectID, counter int64, limit time.Duration) error {
	if process != t.process {
		return nil // known from an earlier life of this address
	}
	now, changed := t.current()
	if counter > now {
		return failf(31382, "Received a topology version with counter: %d which is greater than the server topology version counter: %d", counter, now)
	}
	if counter < now {
		return nil
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

func (t *topology) version() bson.D {
	counter, _ := t.current()
	return bson.D{{Key: "processId", Value: t.process}, {Key: "counter", Value: counter}}
}

// withTopologyVersion is the hello command with the version of its last reply.
func withTopologyVersion(hello, reply bson.D) bson.D {
	out := append(bson.D(nil), hello...)
	if v, ok := lookup(reply, "topologyVersion"); ok {
		if i := position(out, "topologyVersion"); i >= 0 {
			out[i].Value = v
		}
	}
	return out
}

func (r *request) hello() (bson.D, error)    { return r.describe("isWritablePrimary") }
func (r *request) isMaster() (bson.D, error) { return r.describe("ismaster") }

// describe is hello and its old form, which differ in the name of one field.
func (r *request) describe(primary string) (bson.D, error) {
	// hello alone passes over fields that it does not know, as in MongoDB:
	// drivers newer than the server must be able to say it.
	if r.flag("loadBalanced", false) {
		return nil, unsupported("option loadBalanced of hello")
	}
	helloOK := r.flag("helloOk", false)
	mechanismsFor := r.text("saslSupportedMechs")
	speculative := r.document("speculativeAuthenticate")
	wait, err := r.awaitArgs()
	if err == nil {
		err = r.err
	}
	if err == nil && wait != nil {
		r.more = r.exhaust
		err = wait()
	}
	if err != nil {
		r.more = false
		return nil, err
	}

	reply := bson.D{}
	if helloOK {
		reply = append(reply, bson.E{Key: "helloOk", Value: true})
	}
	// The version is read first: if the role changes in between, the client
	// has an old version with a new role, and is told again.
	reply = append(reply, bson.E{Key: "topologyVersion", Value: r.node.topology.version()})
	reply = append(reply, r.node.describeRole(primary)...)
	reply = append(reply, bson.D{
		{Key: "maxBsonObjectSize", Value: int32(maxDocumentSize)},
		{Key: "maxMessageSizeBytes", Value: int32(maxMessageSize)},
		{Key: "maxWriteBatchSize", Value: maxWriteBatchSize},
		{Key: "localTime", Value: bson.NewDateTimeFromTime(time.Now())},
		{Key: "logicalSessionTimeoutMinutes", Value: sessionTimeoutMinutes},
		{Key: "connectionId", Value: r.conn.id},
		{Key: "minWireVersion", Value: minWireVersion},
		{Key: "maxWireVersion", Value: maxWireVersion},
		{Key: "readOnly", Value: false},
	}...)
	if mechanisms := r.node.users.mechanismsOf(mechanismsFor); mechanisms != nil {
		reply = append(reply, bson.E{Key: "saslSupportedMechs", Value: mechanisms})
	}
	if speculative != nil {
		// A refused attempt is no error of hello: the client then begins anew.
		if answer, err := r.speculate(speculative); err == nil {
			reply = append(reply, bson.E{Key: "speculativeAuthenticate", Value: answer})
		}
	}
	return reply, nil
}

// describeRole is the part of hello that says what the server is; primary is
// the field's name.
func (n *node) describeRole(primary string) bson.D {
	if n.set == nil {
		return bson.D{{Key: primary, Value: true}}
	}
	r := n.set.role(n.member)
	hosts := bson.A{}
	for _, host := range n.set.hosts {
		hosts = append(hosts, host)
	}
	d := bson.D{
		{Key: "hosts", Value: hosts},
		{Key: "setName", Value: n.set.name},
		{Key: "setVersion", Value: int32(1)},
		{Key: primary, Value: r.primary},
		{Key: "secondary", Value: !r.primary},
	}
	if r.leader != "" {
		d = append(d, bson.E{Key: "primary", Value: r.leader})
	}
	d = append(d, bson.E{Key: "me", Value: n.set.hosts[n.member]})
	if r.primary {
		d = append(d, bson.E{Key: "electionId", Value: electionID(r.term)})
	}
	// The members share one store, so none lags: what was written last does
	// not matter, and drivers want the field.
	return append(d, bson.E{Key: "lastWrite", Value: bson.D{
		{Key: "opTime", Value: bson.D{{Key: "ts", Value: bson.Timestamp{T: uint32(time.Now().Unix()), I: 1}}, {Key: "t", Value: r.term}}},
		{Key: "lastWriteDate", Value: bson.NewDateTimeFromTime(time.Now())},
	}})
}

// awaitArgs returns nil where the client wants the answer at once.
func (r *request) awaitArgs() (func() error, error) {
	limit := r.integer("maxAwaitTimeMS", -1, 0)
	version := r.document("topologyVersion")
	switch {
	case version == nil && limit < 0 && !r.exhaust:
		return nil, r.err
	case version == nil && limit < 0:
		return nil, failf(51756, "an exhaust hello must have a topologyVersion and maxAwaitTimeMS")
	case version == nil || limit < 0:
		return nil, failf(31368, "hello must have both or neither of topologyVersion and maxAwaitTimeMS")
	}
	process, _ := lookup(version, "processId")
	id, ok := process.(bson.ObjectID)
	if !ok {
		return nil, failf(codeTypeMismatch, "topologyVersion.processId must be an ObjectId")
	}
	value, _ := lookup(version, "counter")
	counter, ok := asInt64(value)
	if !ok {
		return nil, failf(codeTypeMismatch, "topologyVersion.counter must be a long")
	}
	return func() error {
		return r.node.topology.await(r.ctx, id, counter, time.Duration(limit)*time.Millisecond)
	}, nil
}
