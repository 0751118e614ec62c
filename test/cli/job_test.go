package cli_test

import (
	"context"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/test/backend"
)

// storeJob gives the script's main server a job whose document is in a file, as MongoDB's extended JSON, in place of an
// earlier one. One that does not say when it has changed last has changed now: store FILE
func storeJob(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: store FILE")
	}
	var document bson.M
	ts.Check(bson.UnmarshalExtJSON([]byte(ts.ReadFile(args[0])), false, &document))
	if document["updated_at"] == nil {
		document["updated_at"] = time.Now()
	}
	server := of(ts).server
	b, err := backend.Connect(server.MongoURI, server.NSQDAddr)
	ts.Check(err)
	ts.Defer(func() { _ = b.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = b.Jobs().DeleteMany(ctx, bson.M{"job_id": document["job_id"]})
	ts.Check(err)
	_, err = b.Jobs().InsertOne(ctx, document)
	ts.Check(err)
}
