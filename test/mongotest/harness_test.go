package mongotest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gvpocr/worker/test/mongotest"
	bsonv1 "go.mongodb.org/mongo-driver/bson"
	mongov1 "go.mongodb.org/mongo-driver/mongo"
	optionsv1 "go.mongodb.org/mongo-driver/mongo/options"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The assertions of this package are tables of commands and replies. Each runs
// through both drivers against mongotest and, where TEST_MONGO_URI names a
// real MongoDB, against that too.

// driver is what a table needs of a MongoDB driver. The reply is the server's,
// with ok: 0 or writeErrors in it where it refused; an error means that there
// was no reply.
type driver interface {
	run(ctx context.Context, db string, command bson.Raw) (bson.Raw, error)
	close(ctx context.Context) error
}

type driver1 struct{ *mongov1.Client }

func connect1(uri string) (driver, error) {
	c, err := mongov1.Connect(context.Background(), optionsv1.Client().ApplyURI(uri))
	return driver1{c}, err
}

func (d driver1) run(ctx context.Context, db string, command bson.Raw) (bson.Raw, error) {
	reply, err := d.Database(db).RunCommand(ctx, bsonv1.Raw(command)).Raw()
	if refused, ok := errors.AsType[mongov1.CommandError](err); ok && refused.Raw != nil { // else the connection failed
		return bson.Raw(refused.Raw), nil
	}
	if refused, ok := errors.AsType[mongov1.WriteException](err); ok {
		return bson.Raw(refused.Raw), nil
	}
	return bson.Raw(reply), err
}

func (d driver1) close(ctx context.Context) error { return d.Disconnect(ctx) }

type driver2 struct{ *mongo.Client }

func connect2(uri string) (driver, error) {
	c, err := mongo.Connect(options.Client().ApplyURI(uri))
	return driver2{c}, err
}

func (d driver2) run(ctx context.Context, db string, command bson.Raw) (bson.Raw, error) {
	reply, err := d.Database(db).RunCommand(ctx, command).Raw()
	if refused, ok := errors.AsType[mongo.CommandError](err); ok && refused.Raw != nil {
		return refused.Raw, nil
	}
	if refused, ok := errors.AsType[mongo.WriteException](err); ok {
		return refused.Raw, nil
	}
	return reply, err
}

func (d driver2) close(ctx context.Context) error { return d.Disconnect(ctx) }

// session is one driver on one server, with a database of its own.
type session struct {
	driver
	db   string
	own  bool // the server is mongotest
	set  bool // it is a member of a replica set
	uri  string
	next int // for collection names
}

// everywhere runs a test with each driver on each server.
func everywhere(t *testing.T, test func(t *testing.T, s *session)) {
	type server struct {
		name     string
		own, set bool
		uri      func(t *testing.T) string
	}
	servers := []server{
		{name: "mongotest", own: true, uri: func(t *testing.T) string { return start(t, mongotest.Config{}).URI() }},
		{name: "replicaset", own: true, set: true, uri: func(t *testing.T) string {
			return start(t, setOfThree(t)).URI()
		}},
	}
	if uri := os.Getenv("TEST_MONGO_URI"); uri != "" {
		servers = append(servers, server{name: "mongodb", uri: func(*testing.T) string { return uri }})
	}
	for _, server := range servers {
		for name, connect := range map[string]func(string) (driver, error){"driver1": connect1, "driver2": connect2} {
			t.Run(server.name+"/"+name, func(t *testing.T) {
				uri := server.uri(t)
				d, err := connect(uri)
				if err != nil {
					t.Fatal(err)
				}
				s := &session{driver: d, db: "mongotest_" + bson.NewObjectID().Hex(), own: server.own, set: server.set, uri: uri}
				if !server.own {
					_, s.set = at(s.run(t, doc("hello", 1)), "setName").(string)
				}
				defer func() {
					if server.set {
						wantSameAfterReplay(t, s)
					}
					s.mustRun(t, doc("dropDatabase", 1))
					if err := d.close(ctxOf(t)); err != nil {
						t.Error(err)
					}
				}()
				test(t, s)
			})
		}
	}
}

// setOfThree has a journal and members that a driver can dial.
func setOfThree(t *testing.T) mongotest.Config {
	return mongotest.Config{
		Dir: t.TempDir(), ReplicaSet: "rs0", ElectionTime: 50 * time.Millisecond,
		Members: []string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"},
	}
}

// running are the servers of the tests, by their URI.
var running sync.Map

// wantSameAfterReplay starts a second server on a copy of the journal, as a
// restart after a kill would, and compares what is in the session's database.
func wantSameAfterReplay(t *testing.T, s *session) {
	t.Helper()
	cfg, ok := running.Load(s.uri)
	if !ok {
		t.Fatalf("no server is at %s", s.uri)
	}
	dir := t.TempDir()
	copyJournal(t, cfg.(mongotest.Config).Dir, dir)
	again := start(t, mongotest.Config{Dir: dir})
	d, err := connect2(again.URI())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close(ctxOf(t))
	want, got := dump(t, s), dump(t, &session{driver: d, db: s.db})
	wantSame(t, "the documents after a restart", got, want)
}

func copyJournal(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(from, "journal"))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "journal"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dump is all collections of a session's database, in their natural order.
func dump(t *testing.T, s *session) bson.D {
	t.Helper()
	collections := at(s.mustRun(t, doc("listCollections", 1, "cursor", doc("batchSize", 100_000))), "cursor", "firstBatch").(bson.A)
	all := bson.D{}
	for _, c := range collections {
		name := at(c, "name").(string)
		docs := bson.A{}
		reply := s.mustRun(t, doc("find", name))
		batch := at(reply, "cursor", "firstBatch").(bson.A)
		for {
			docs = append(docs, batch...)
			id := at(reply, "cursor", "id").(int64)
			if id == 0 {
				break
			}
			reply = s.mustRun(t, doc("getMore", id, "collection", name))
			batch = at(reply, "cursor", "nextBatch").(bson.A)
		}
		all = append(all, bson.E{Key: name, Value: docs}, bson.E{Key: name + "'s uuid", Value: at(c, "info", "uuid")})
	}
	return all
}

func start(t *testing.T, cfg mongotest.Config) *mongotest.Server {
	t.Helper()
	srv, err := mongotest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	running.Store(srv.URI(), cfg)
	t.Cleanup(func() {
		running.Delete(srv.URI())
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func ctxOf(t *testing.T) context.Context {
	// Not t.Context, which ends before cleanups run; and without a deadline,
	// of which driver v2 would make a maxTimeMS in every command.
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx
}

func (s *session) run(t *testing.T, command bson.D) bson.D {
	t.Helper()
	return s.runOn(t, s.db, command)
}

func (s *session) runOn(t *testing.T, db string, command bson.D) bson.D {
	t.Helper()
	raw, err := bson.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := s.driver.run(ctxOf(t), db, raw)
	if err != nil {
		t.Fatalf("%s: %v", command[0].Key, err)
	}
	var d bson.D
	if err := bson.Unmarshal(reply, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *session) mustRun(t *testing.T, command bson.D) bson.D {
	t.Helper()
	reply := s.run(t, command)
	if c := codeOf(reply); c != 0 {
		t.Fatalf("%s: code %d: %s", show(command), c, show(reply))
	}
	return reply
}

// collection is a new name; the documents are put there one by one, so that
// an order of insertion is given.
func (s *session) collection(t *testing.T, docs ...bson.D) string {
	t.Helper()
	s.next++
	name := fmt.Sprintf("c%d", s.next)
	for _, d := range docs {
		s.mustRun(t, doc("insert", name, "documents", list(d)))
	}
	return name
}

func (s *session) documents(t *testing.T, collection string) bson.A {
	t.Helper()
	reply := s.mustRun(t, doc("find", collection, "sort", doc("_id", 1)))
	return at(reply, "cursor", "firstBatch").(bson.A)
}

// codeOf is the error code of a reply, or of its first write error.
func codeOf(reply bson.D) int32 {
	if c, ok := at(reply, "code").(int32); ok {
		return c
	}
	if failed, ok := at(reply, "writeErrors").(bson.A); ok {
		return at(failed[0].(bson.D), "code").(int32)
	}
	return 0
}

// doc is a document of keys and values in turn. An int becomes an int32.
func doc(pairs ...any) bson.D {
	d := bson.D{}
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, bson.E{Key: pairs[i].(string), Value: value(pairs[i+1])})
	}
	return d
}

func list(values ...any) bson.A {
	a := bson.A{}
	for _, v := range values {
		a = append(a, value(v))
	}
	return a
}

func value(v any) any {
	if n, ok := v.(int); ok {
		return int32(n)
	}
	return v
}

// at follows field names; nil where there is none.
func at(v any, path ...string) any {
	for _, name := range path {
		d, ok := v.(bson.D)
		if !ok {
			return nil
		}
		v = nil
		for _, e := range d {
			if e.Key == name {
				v = e.Value
				break
			}
		}
	}
	return v
}

// show writes a value with its BSON types, so that equal text is equal BSON.
func show(v any) string {
	b, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, true, false)
	if err != nil {
		return fmt.Sprintf("%#v (%v)", v, err)
	}
	return string(b[len(`{"v":`) : len(b)-1])
}

func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := show(got), show(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func wantCode(t *testing.T, reply bson.D, want int32) {
	t.Helper()
	if got := codeOf(reply); got != want {
		t.Errorf("code %d, want %d: %s", got, want, show(reply))
	}
}
