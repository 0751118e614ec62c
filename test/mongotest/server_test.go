package mongotest_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gvpocr/worker/test/mongotest"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// eventually polls: what a driver notices by itself has no event to wait for.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func client(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(options.Client().ApplyURI(uri).SetServerSelectionTimeout(200 * time.Millisecond).SetRetryWrites(false).SetRetryReads(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(context.Background()) })
	return c
}

func TestTwoServersAreTwoStores(t *testing.T) {
	a, b := start(t, mongotest.Config{}), start(t, mongotest.Config{})
	if _, err := client(t, a.URI()).Database("d").Collection("c").InsertOne(t.Context(), doc("a", 1)); err != nil {
		t.Fatal(err)
	}
	if n, err := client(t, b.URI()).Database("d").Collection("c").CountDocuments(t.Context(), doc()); n != 0 || err != nil {
		t.Error(n, err)
	}
}

func TestStartOnATakenAddressFails(t *testing.T) {
	srv := start(t, mongotest.Config{})
	if second, err := mongotest.Start(mongotest.Config{Addr: srv.Addr()}); err == nil {
		second.Close()
		t.Error("two servers on one address")
	}
}

func TestDropConnectionsCutsThemAndServesTheNext(t *testing.T) {
	srv := start(t, mongotest.Config{})
	c := client(t, srv.URI())
	if err := c.Ping(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	idle, err := net.Dial("tcp", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	ping(t, idle) // it is accepted, not only in the backlog
	srv.DropConnections()
	wantClosed(t, idle)
	eventually(t, "a ping on a new connection", func() bool { return c.Ping(t.Context(), nil) == nil })
}

func TestKillCutsEverything(t *testing.T) {
	srv := start(t, mongotest.Config{})
	c := client(t, srv.URI())
	if err := c.Ping(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	idle, err := net.Dial("tcp", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	ping(t, idle)
	srv.Kill()
	wantClosed(t, idle)
	if nc, err := net.Dial("tcp", srv.Addr()); err == nil {
		nc.Close()
		t.Error("it still listens")
	}
	if err := c.Ping(t.Context(), nil); err == nil {
		t.Error("it still answers")
	}
	srv.Kill()
	if err := srv.Close(); err != nil {
		t.Error("Close after Kill:", err)
	}
}

// TestCloseLetsCommandsAnswer closes a server under load: each command either
// has its reply, and then its effect was counted, or a connection error.
func TestCloseLetsCommandsAnswer(t *testing.T) {
	srv := start(t, mongotest.Config{})
	c := client(t, srv.URI())
	var wg sync.WaitGroup
	ready := make(chan struct{}, 4)
	for range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				_, err := c.Database("d").Collection("c").InsertOne(context.Background(), doc("a", 1))
				if err != nil {
					if _, refused := errors.AsType[mongo.WriteException](err); refused {
						t.Errorf("refused: %v", err)
					}
					return
				}
				if i == 10 {
					ready <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-ready
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := srv.Close(); err != nil {
		t.Error("second Close:", err)
	}
}

// A hello that waits for a change gets its reply when the server is closed.
func TestCloseAnswersAWaitingHello(t *testing.T) {
	srv := start(t, mongotest.Config{})
	nc, err := net.Dial("tcp", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// The first reply comes at once, as the version is unknown; when it is
	// here the server has begun to wait for the second.
	unknown := doc("processId", bson.NewObjectID(), "counter", int64(0))
	send(t, nc, 1<<16, doc("hello", 1, "$db", "admin", "topologyVersion", unknown, "maxAwaitTimeMS", 60_000))
	receive(t, nc)
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	wantCode(t, receive(t, nc).doc, 0)
	wantClosed(t, nc)
}

func TestADriverSeesTheServerDieAndComeBack(t *testing.T) {
	srv := start(t, mongotest.Config{User: user, Password: password})
	addr := srv.Addr()
	c := client(t, srv.URI())
	if err := c.Ping(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	srv.Kill()
	if err := c.Ping(t.Context(), nil); err == nil {
		t.Error("a dead server answers")
	}
	start(t, mongotest.Config{Addr: addr, User: user, Password: password})
	eventually(t, "a ping after the restart", func() bool { return c.Ping(t.Context(), nil) == nil })
}
