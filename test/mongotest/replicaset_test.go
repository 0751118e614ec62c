package mongotest_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gvpocr/worker/test/mongotest"
	mongov1 "go.mongodb.org/mongo-driver/mongo"
	optionsv1 "go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// members are raw connections, one to each member of a set.
type members struct {
	t     *testing.T
	srv   *mongotest.Server
	conns []net.Conn
}

func connectMembers(t *testing.T, srv *mongotest.Server) *members {
	t.Helper()
	m := &members{t: t, srv: srv}
	for _, addr := range srv.Addrs() {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		m.conns = append(m.conns, nc)
	}
	return m
}

func (m *members) ask(member int, command ...any) bson.D {
	m.t.Helper()
	send(m.t, m.conns[member], 0, append(doc(command...), doc("$db", "admin")...))
	return receive(m.t, m.conns[member]).doc
}

// waitPrimary waits until hello on any member that answers names a primary.
func waitPrimary(t *testing.T, srv *mongotest.Server) string {
	t.Helper()
	eventually(t, "a primary", func() bool { return srv.Primary() != "" })
	return srv.Primary()
}

func namesOfThree() []string {
	return []string{"gvpocr-mongo-0:0", "gvpocr-mongo-1:0", "gvpocr-mongo-2:0"}
}

func TestMembersAnnounceTheirNamesAndRoles(t *testing.T) {
	srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree()})
	m := connectMembers(t, srv)
	names := bson.A{}
	for i, name := range srv.Members() {
		_, port, err := net.SplitHostPort(srv.Addrs()[i])
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "name", name, fmt.Sprintf("gvpocr-mongo-%d:%s", i, port))
		names = append(names, name)
	}
	for i := range names {
		for command, primary := range map[string]string{"hello": "isWritablePrimary", "isMaster": "ismaster"} {
			reply := m.ask(i, command, 1)
			for _, want := range doc("setName", "rs0", "setVersion", 1, "hosts", names, "me", names[i], "primary", names[0],
				primary, i == 0, "secondary", i != 0) {
				wantSame(t, fmt.Sprint(command, " of member ", i, ": ", want.Key), at(reply, want.Key), want.Value)
			}
			if has := at(reply, "electionId") != nil; has != (i == 0) {
				t.Errorf("electionId of member %d: %v", i, has)
			}
			if at(reply, "lastWrite", "lastWriteDate") == nil {
				t.Error("no lastWrite")
			}
		}
	}
}

func TestAMemberListensOnThePortInItsName(t *testing.T) {
	free := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree()})
	names, addrs := free.Members(), free.Addrs()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: names})
	wantSame(t, "addresses", srv.Addrs(), addrs)
	wantSame(t, "names", srv.Members(), names)
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []mongotest.Config{
		{Members: names},
		{ReplicaSet: "rs0", Members: []string{"gvpocr-mongo-0"}},
		{ReplicaSet: "rs0", Members: []string{"a:0", "a:nonsense"}},
		{ReplicaSet: "rs0", Members: []string{names[0], names[0]}},
		{ReplicaSet: "rs0", ElectionTime: -1},
	} {
		if srv, err := mongotest.Start(cfg); err == nil {
			srv.Close()
			t.Errorf("%+v is taken", cfg)
		}
	}
}

func TestASecondaryRefusesWritesAndReadsOnlyWhereItIsAsked(t *testing.T) {
	srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree()})
	m := connectMembers(t, srv)
	wantCode(t, m.ask(0, "insert", "c", "documents", list(doc("_id", 1))), 0)
	for _, command := range []bson.D{
		doc("insert", "c", "documents", list(doc("_id", 2))),
		doc("update", "c", "updates", list(doc("q", doc(), "u", doc("$set", doc("a", 1))))),
		doc("delete", "c", "deletes", list(doc("q", doc(), "limit", 1))),
		doc("findAndModify", "c", "remove", true),
		doc("create", "d"), doc("drop", "c"), doc("dropDatabase", 1),
		doc("createIndexes", "c", "indexes", list(doc("key", doc("a", 1), "name", "a"))),
		doc("replSetStepDown", 1),
	} {
		for name, more := range map[string]bson.D{"": nil, "with a read preference": doc("$readPreference", doc("mode", "secondary"))} {
			t.Run(command[0].Key+name, func(t *testing.T) {
				send(t, m.conns[1], 0, append(append(command, more...), doc("$db", "admin")...))
				reply := receive(t, m.conns[1]).doc
				wantCode(t, reply, 10107)
				if command[0].Key != "replSetStepDown" {
					wantSame(t, "codeName", at(reply, "codeName"), "NotWritablePrimary")
				}
				wantSame(t, "topologyVersion", at(reply, "topologyVersion"), at(m.ask(1, "hello", 1), "topologyVersion"))
				wantSame(t, "errorLabels", at(reply, "errorLabels"), nil) // it has no transaction number
			})
		}
	}
	for _, read := range []bson.D{
		doc("find", "c"), doc("count", "c"), doc("distinct", "c", "key", "_id"), doc("aggregate", "c", "pipeline", list(), "cursor", doc()),
		doc("listCollections", 1), doc("listDatabases", 1),
	} {
		for mode, code := range map[string]int32{"": 13435, "primary": 13435, "primaryPreferred": 0, "secondary": 0, "secondaryPreferred": 0, "nearest": 0} {
			t.Run(read[0].Key+" "+mode, func(t *testing.T) {
				command := read
				if mode != "" {
					command = append(command[:len(command):len(command)], doc("$readPreference", doc("mode", mode))...)
				}
				send(t, m.conns[1], 0, append(command, doc("$db", "admin")...))
				wantCode(t, receive(t, m.conns[1]).doc, code)
				send(t, m.conns[0], 0, append(command, doc("$db", "admin")...))
				wantCode(t, receive(t, m.conns[0]).doc, 0)
			})
		}
	}
	for _, anywhere := range []string{"ping", "hello", "buildInfo", "serverStatus", "connectionStatus"} {
		wantCode(t, m.ask(1, anywhere, 1), 0)
	}
}

func TestAStepDownGivesTheSetAnotherPrimary(t *testing.T) {
	for name, stepDown := range map[string]func(t *testing.T, m *members){
		"StepDown": func(t *testing.T, m *members) {
			if err := m.srv.StepDown(); err != nil {
				t.Fatal(err)
			}
		},
		"replSetStepDown": func(t *testing.T, m *members) {
			wantCode(t, m.ask(0, "replSetStepDown", 60, "force", true), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			const electionTime = 300 * time.Millisecond
			srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree(), ElectionTime: electionTime})
			m := connectMembers(t, srv)
			first := m.ask(0, "hello", 1)
			began := time.Now()
			stepDown(t, m)
			// Nobody takes writes, everybody says so, and nobody is cut off.
			if srv.Primary() != "" {
				t.Error("it has a primary")
			}
			for i := range m.conns {
				reply := m.ask(i, "hello", 1)
				wantSame(t, "isWritablePrimary", at(reply, "isWritablePrimary"), false)
				wantSame(t, "primary", at(reply, "primary"), nil)
				wantCode(t, m.ask(i, "insert", "c", "documents", list(doc())), 10107)
			}
			if err := srv.StepDown(); err == nil {
				t.Error("a set without a primary steps down")
			}
			waitPrimary(t, srv)
			if took := time.Since(began); took < electionTime {
				t.Errorf("the election took %v, want %v", took, electionTime)
			}
			wantSame(t, "primary", srv.Primary(), srv.Members()[1])
			now := m.ask(1, "hello", 1)
			wantSame(t, "isWritablePrimary", at(now, "isWritablePrimary"), true)
			wantCode(t, m.ask(1, "insert", "c", "documents", list(doc())), 0)
			before, after := at(first, "electionId").(bson.ObjectID), at(now, "electionId").(bson.ObjectID)
			if before.Hex() >= after.Hex() {
				t.Errorf("electionId %v, and %v before", after, before)
			}
		})
	}
	if err := start(t, mongotest.Config{}).StepDown(); err == nil {
		t.Error("a standalone server steps down")
	}
}

// A driver waits in hello, and is told of a change at once.
func TestAWaitingHelloIsAnsweredWhenThePrimaryChanges(t *testing.T) {
	srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree(), ElectionTime: time.Millisecond})
	m := connectMembers(t, srv)
	const exhaustAllowed = 1 << 16
	version := at(m.ask(2, "hello", 1), "topologyVersion")
	send(t, m.conns[2], exhaustAllowed, doc("hello", 1, "$db", "admin", "topologyVersion", version, "maxAwaitTimeMS", 600_000))
	if err := srv.StepDown(); err != nil {
		t.Fatal(err)
	}
	for { // the loss of the primary, and the election, each perhaps with the other
		reply := receive(t, m.conns[2]).doc
		if at(reply, "primary") == srv.Members()[1] {
			return
		}
	}
}

func TestAKilledPrimaryIsReplacedAndComesBackAsASecondary(t *testing.T) {
	const electionTime = 200 * time.Millisecond
	srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree(), ElectionTime: electionTime})
	m := connectMembers(t, srv)
	wantCode(t, m.ask(0, "insert", "c", "documents", list(doc("_id", 1))), 0)
	// Drivers' monitors wait. They must hear nothing more: one hello after the
	// death would make the dead member primary again.
	version := at(m.ask(0, "hello", 1), "topologyVersion")
	monitors := make([]net.Conn, 50)
	for i := range monitors {
		nc, err := net.Dial("tcp", srv.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		monitors[i] = nc
		ping(t, nc)
		send(t, nc, 0, doc("hello", 1, "$db", "admin", "topologyVersion", version, "maxAwaitTimeMS", 600_000))
	}
	began := time.Now()
	wantSame(t, "killed", srv.Kill(), srv.Members()[0])
	for _, nc := range append(monitors, m.conns[0]) {
		wantClosed(t, nc)
	}
	if nc, err := net.Dial("tcp", srv.Addr()); err == nil {
		nc.Close()
		t.Error("it still listens")
	}
	wantSame(t, "killed, without a primary", srv.Kill(), "")
	wantSame(t, "primary", waitPrimary(t, srv), srv.Members()[1])
	if took := time.Since(began); took < electionTime {
		t.Errorf("the election took %v, want %v", took, electionTime)
	}
	wantCode(t, m.ask(1, "insert", "c", "documents", list(doc("_id", 2))), 0)

	if err := srv.Revive(); err != nil {
		t.Fatal(err)
	}
	m = connectMembers(t, srv)
	wantSame(t, "secondary", at(m.ask(0, "hello", 1), "secondary"), true)
	wantSame(t, "primary", at(m.ask(0, "hello", 1), "primary"), srv.Members()[1])
	reply := m.ask(0, "count", "c", "$readPreference", doc("mode", "secondary"))
	wantSame(t, "documents on it", at(reply, "n"), int32(2))
}

// Two of three can't elect anybody when another one is dead.
func TestAMinorityHasNoPrimary(t *testing.T) {
	srv := start(t, mongotest.Config{ReplicaSet: "rs0", Members: namesOfThree(), ElectionTime: 20 * time.Millisecond})
	srv.Kill()
	waitPrimary(t, srv)
	srv.Kill()
	wantSame(t, "primary", srv.Primary(), "")
	m := members{t: t, srv: srv}
	nc, err := net.Dial("tcp", srv.Addrs()[2])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m.conns = []net.Conn{nc}
	// Ten election times, as the server's clock has them.
	version := at(m.ask(0, "hello", 1), "topologyVersion")
	reply := m.ask(0, "hello", 1, "topologyVersion", version, "maxAwaitTimeMS", 200)
	wantSame(t, "topologyVersion", at(reply, "topologyVersion"), version)
	wantSame(t, "secondary", at(reply, "secondary"), true)
	if err := srv.Revive(); err != nil {
		t.Fatal(err)
	}
	waitPrimary(t, srv)
}

func TestWhenTheLastMemberIsKilledTheFolderIsFree(t *testing.T) {
	cfg := setOfThree(t)
	srv := start(t, cfg)
	one := mongotest.Config{ReplicaSet: "rs0", Dir: t.TempDir()}
	alone := start(t, one)
	wantSame(t, "killed", alone.Kill(), alone.Members()[0])
	if err := alone.Revive(); err == nil {
		t.Error("a server that has ended is revived")
	}
	start(t, one)
	for range cfg.Members { // the last one can't be primary, so it isn't killed
		srv.Kill()
	}
	if _, err := mongotest.Start(cfg); err == nil {
		t.Error("a running set's folder is free")
	}
}

// Terms go on over a restart: a driver refuses a primary with a lower one.
func TestADriverTakesTheSetThatIsStartedAgain(t *testing.T) {
	cfg := setOfThree(t)
	srv := start(t, cfg)
	c := client(t, srv.URI())
	for range 3 {
		waitPrimary(t, srv)
		if err := srv.StepDown(); err != nil {
			t.Fatal(err)
		}
	}
	waitPrimary(t, srv)
	eventually(t, "an insert", func() bool {
		_, err := c.Database("d").Collection("c").InsertOne(t.Context(), doc("a", 1))
		return err == nil
	})
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Members = srv.Members()
	start(t, cfg)
	eventually(t, "an insert after the restart", func() bool {
		_, err := c.Database("d").Collection("c").InsertOne(t.Context(), doc("a", 1))
		return err == nil
	})
}

// TestDriversWriteOnceThroughElections has both drivers write while the primary
// dies, steps down and comes back: what is acknowledged is done, and nothing is
// done twice.
func TestDriversWriteOnceThroughElections(t *testing.T) {
	const rounds, writers = 6, 4
	type increment func() error
	cases := map[string]func(t *testing.T, uri string) (increment, func()){
		"driver1": func(t *testing.T, uri string) (increment, func()) {
			c, err := mongov1.Connect(ctxOf(t), optionsv1.Client().ApplyURI(uri))
			if err != nil {
				t.Fatal(err)
			}
			coll := c.Database("d").Collection("c")
			return func() error {
				_, err := coll.UpdateOne(ctxOf(t), map[string]any{"_id": 1}, map[string]any{"$inc": map[string]any{"n": 1}})
				return err
			}, func() { c.Disconnect(ctxOf(t)) }
		},
		"driver2": func(t *testing.T, uri string) (increment, func()) {
			c, err := mongo.Connect(options.Client().ApplyURI(uri))
			if err != nil {
				t.Fatal(err)
			}
			coll := c.Database("d").Collection("c")
			return func() error {
				return coll.FindOneAndUpdate(ctxOf(t), bson.M{"_id": 1}, bson.M{"$inc": bson.M{"n": 1}}).Err()
			}, func() { c.Disconnect(ctxOf(t)) }
		},
	}
	for name, connect := range cases {
		t.Run(name, func(t *testing.T) {
			srv := start(t, setOfThree(t))
			if _, err := client(t, srv.URI()).Database("d").Collection("c").InsertOne(ctxOf(t), doc("_id", 1, "n", 0)); err != nil {
				t.Fatal(err)
			}
			increment, disconnect := connect(t, srv.URI())
			defer disconnect()
			var acknowledged [writers]atomic.Int32
			var failed atomic.Int32
			var wg sync.WaitGroup
			stop := make(chan struct{})
			for w := range writers {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if increment() != nil {
							failed.Add(1)
						} else {
							acknowledged[w].Add(1)
						}
					}
				})
			}
			// So that no write meets two changes.
			everyWriterGoesOn := func() {
				for w := range writers {
					least := acknowledged[w].Load() + 3
					eventually(t, "a writer goes on", func() bool { return acknowledged[w].Load() >= least })
				}
			}
			for round := range rounds {
				everyWriterGoesOn()
				if round%2 == 0 {
					srv.Kill()
					everyWriterGoesOn()
					if err := srv.Revive(); err != nil {
						t.Error(err)
					}
				} else if err := srv.StepDown(); err != nil {
					t.Error(err)
				}
			}
			everyWriterGoesOn()
			close(stop)
			wg.Wait()
			var counted struct{ N int32 }
			if err := client(t, srv.URI()).Database("d").Collection("c").FindOne(ctxOf(t), doc("_id", 1)).Decode(&counted); err != nil {
				t.Fatal(err)
			}
			sum := int32(0)
			for w := range writers {
				sum += acknowledged[w].Load()
			}
			lost := failed.Load()
			if counted.N < sum || counted.N > sum+lost {
				t.Errorf("%d increments acknowledged and %d failed, %d counted", sum, lost, counted.N)
			}
			// A driver has one try more, which it may use up in the moment in
			// which the primary dies: version 2 takes a refused connection for
			// a busy server.
			if lost > rounds*writers {
				t.Errorf("%d increments failed", lost)
			}
		})
	}
}
