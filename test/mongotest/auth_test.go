package mongotest_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/gvpocr/worker/test/mongotest"
	mongov1 "go.mongodb.org/mongo-driver/mongo"
	optionsv1 "go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	driverv1 "go.mongodb.org/mongo-driver/x/mongo/driver"
)

const (
	user     = "gvpocr admin@x"
	password = "gvp@123 :/?#[]%+&=ü"
)

func TestTheURILogsIn(t *testing.T) {
	srv := start(t, mongotest.Config{User: user, Password: password})
	for name, connect := range map[string]func(string) (driver, error){"driver1": connect1, "driver2": connect2} {
		for _, mechanism := range []string{"", "SCRAM-SHA-1", "SCRAM-SHA-256"} {
			t.Run(name+" "+mechanism, func(t *testing.T) {
				uri := srv.URI()
				if mechanism != "" {
					uri += "?authMechanism=" + mechanism
				}
				d, err := connect(uri)
				if err != nil {
					t.Fatal(err)
				}
				defer d.close(ctxOf(t))
				s := &session{driver: d, db: "gvpocr"}
				s.mustRun(t, doc("insert", "c", "documents", list(doc("a", 1))))
				info := at(s.mustRun(t, doc("connectionStatus", 1)), "authInfo", "authenticatedUsers")
				wantSame(t, "users", info, list(doc("user", user, "db", "admin")))
			})
		}
	}
}

// uriFor has credentials and options of its own.
func uriFor(srv *mongotest.Server, user, password, tail string) string {
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	return "mongodb://" + escape(user) + ":" + escape(password) + "@" + srv.Addr() + "/" + tail
}

// TestRefusedLoginsHaveCode18 also holds what callers build on: driver 2 gives
// the code out as a CommandError, although it happened while connecting.
func TestRefusedLoginsHaveCode18(t *testing.T) {
	srv := start(t, mongotest.Config{User: user, Password: password})
	for name, uri := range map[string]string{
		"a wrong password":                  uriFor(srv, user, "wrong", ""),
		"an unknown user":                   uriFor(srv, "nobody", password, ""),
		"authSource is another database":    uriFor(srv, user, password, "?authSource=gvpocr"),
		"the path names another database":   uriFor(srv, user, password, "gvpocr"),
		"a wrong password with SHA-1":       uriFor(srv, user, "wrong", "?authMechanism=SCRAM-SHA-1"),
		"a wrong password with SHA-256":     uriFor(srv, user, "wrong", "?authMechanism=SCRAM-SHA-256"),
		"another authSource with SHA-1":     uriFor(srv, user, password, "?authMechanism=SCRAM-SHA-1&authSource=x"),
		"another authSource with SHA-256":   uriFor(srv, user, password, "?authMechanism=SCRAM-SHA-256&authSource=x"),
		"the path is another, no mechanism": uriFor(srv, user, password, "x?appName=a"),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := ctxOf(t)
			calls := map[string]func(*mongo.Collection) error{
				"ping":   func(c *mongo.Collection) error { return c.Database().Client().Ping(ctx, readpref.Primary()) },
				"find":   func(c *mongo.Collection) error { return c.FindOne(ctx, doc()).Err() },
				"insert": func(c *mongo.Collection) error { _, err := c.InsertOne(ctx, doc("a", 1)); return err },
				"update": func(c *mongo.Collection) error {
					_, err := c.UpdateOne(ctx, doc(), doc("$set", doc("a", 1)))
					return err
				},
			}
			for name, call := range calls {
				// A client for each, without retries, that polls: the streaming
				// monitor of driver 2 can miss that a login was refused or that
				// it shall end, and then a retry or Disconnect waits for it
				// until the hello under way ends, up to 10 s.
				client, err := mongo.Connect(options.Client().ApplyURI(uri).SetRetryReads(false).SetServerMonitoringMode("poll"))
				if err != nil {
					t.Fatal(err)
				}
				err = call(client.Database("gvpocr").Collection("bulk_jobs"))
				refused, ok := errors.AsType[mongo.CommandError](err)
				if !ok || refused.Code != 18 || refused.Name != "AuthenticationFailed" {
					t.Errorf("%s: %T: %v", name, err, err)
				}
				if coded, ok := errors.AsType[mongo.ServerError](err); !ok || !coded.HasErrorCode(18) {
					t.Errorf("%s: no ServerError with code 18: %v", name, err)
				}
				if err := client.Disconnect(ctx); err != nil {
					t.Error(err)
				}
			}

			old, err := mongov1.Connect(ctx, optionsv1.Client().ApplyURI(uri).SetServerMonitoringMode("poll"))
			if err != nil {
				t.Fatal(err)
			}
			defer old.Disconnect(ctx)
			err = old.Ping(ctx, nil)
			// Driver 1 wraps it, but in no type of its package mongo.
			if refused, ok := errors.AsType[driverv1.Error](err); !ok || refused.Code != 18 {
				t.Errorf("driver 1: %T: %v", err, err)
			}
		})
	}
}

func TestWithoutALoginOnlyTheDoorIsOpen(t *testing.T) {
	srv := start(t, mongotest.Config{User: user, Password: password})
	for name, connect := range map[string]func(string) (driver, error){"driver1": connect1, "driver2": connect2} {
		t.Run(name, func(t *testing.T) {
			d, err := connect("mongodb://" + srv.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer d.close(ctxOf(t))
			s := &session{driver: d, db: "gvpocr"}
			for _, command := range []string{"hello", "ping", "buildInfo", "connectionStatus"} {
				wantCode(t, s.run(t, doc(command, 1)), 0)
			}
			for _, command := range []string{"insert", "find", "update", "delete", "findAndModify", "aggregate", "count", "distinct",
				"getMore", "killCursors", "create", "createIndexes", "drop", "dropDatabase", "listCollections", "listDatabases", "serverStatus"} {
				wantCode(t, s.run(t, doc(command, "c")), 13)
			}
			wantCode(t, s.run(t, doc("saslContinue", 1, "conversationId", 1, "payload", "x")), 17)
			wantCode(t, s.run(t, doc("saslStart", 1, "mechanism", "PLAIN", "payload", "x")), 334)
			wantCode(t, s.runOn(t, "admin", doc("saslStart", 1, "mechanism", "SCRAM-SHA-256", "payload", "nonsense")), 18)
		})
	}
}

func TestAReadOnlyUserReadsAndWritesNothing(t *testing.T) {
	srv := start(t, mongotest.Config{User: user, Password: password, ReadOnly: true})
	d, err := connect2(srv.URI())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close(ctxOf(t))
	s := &session{driver: d, db: "gvpocr"}
	s.mustRun(t, doc("find", "c"))
	s.mustRun(t, doc("count", "c"))
	for _, command := range []string{"insert", "update", "delete", "findAndModify", "create", "createIndexes", "drop", "dropDatabase"} {
		wantCode(t, s.run(t, doc(command, "c")), 13)
	}
}

func TestLogoutEndsTheLogin(t *testing.T) {
	srv := start(t, mongotest.Config{User: user, Password: password})
	// One connection, so that both commands go through the same.
	d, err := connect2(srv.URI() + "?maxPoolSize=1")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close(ctxOf(t))
	s := &session{driver: d, db: "admin"}
	s.mustRun(t, doc("count", "c"))
	s.mustRun(t, doc("logout", 1))
	wantCode(t, s.run(t, doc("count", "c")), 13)
}

func TestStartRefusesHalfACredential(t *testing.T) {
	for _, cfg := range []mongotest.Config{{User: "u"}, {Password: "p"}, {ReadOnly: true}} {
		if srv, err := mongotest.Start(cfg); err == nil {
			srv.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
