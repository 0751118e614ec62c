// Package jobs_test tests ocrworker/jobs against mongotest and, where TEST_MONGO_URI names one, a real MongoDB.
package jobs_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
	"go.uber.org/goleak"

	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/test/mongotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a job, a Store that keeps its results, and a client that sees what is in its document.
type bench struct {
	t     *testing.T
	ctx   context.Context
	store *jobs.Store
	docs  *mongo.Collection
	job   string
}

// everywhere runs a test on each server, with a job of total files.
func everywhere(t *testing.T, total int, test func(b *bench)) {
	t.Parallel()
	t.Run("mongotest", func(t *testing.T) {
		t.Parallel()
		test(newBench(t, startMongo(t, mongotest.Config{}).URI(), total))
	})
	if uri := os.Getenv("TEST_MONGO_URI"); uri != "" {
		t.Run("mongodb", func(t *testing.T) {
			t.Parallel()
			test(newBench(t, uri, total))
		})
	}
}

func startMongo(t *testing.T, cfg mongotest.Config) *mongotest.Server {
	t.Helper()
	srv, err := mongotest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// testContext outlives t.Context, which ends before cleanups run.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, cfg jobs.Config) *jobs.Store {
	t.Helper()
	store, err := jobs.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	t.Cleanup(func() {
		if err := store.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return store
}

func newBench(t *testing.T, uri string, total int) *bench {
	t.Helper()
	parsed, err := connstring.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	database := parsed.Database
	if database == "" {
		database = "gvpocr" // the contract's default
	}
	b := benchOf(t, database, options.Client().ApplyURI(uri))
	b.store = open(t, jobs.Config{URI: uri})
	b.insert(total, "")
	return b
}

// benchOf is a bench without a Store and without the job's document.
func benchOf(t *testing.T, database string, opts *options.ClientOptions) *bench {
	t.Helper()
	client, err := mongo.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, ctx: testContext(t), docs: client.Database(database).Collection("bulk_jobs"), job: uuid.NewString()}
	t.Cleanup(func() {
		b.docs.DeleteOne(b.ctx, bson.M{"job_id": b.job})
		if err := client.Disconnect(b.ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

// insert makes the job's document as the backend does, with padding that fills it up.
func (b *bench) insert(total int, padding string) {
	b.t.Helper()
	document := bson.M{
		"job_id": b.job, "status": "processing", "total_files": total, "published_count": total, "consumed_count": 0,
		"progress": bson.M{"current": 0, "total": total, "percentage": 0, "filename": ""},
		"checkpoint": bson.M{
			"processed_files": bson.A{}, "processed_message_ids": bson.A{}, "results": bson.A{}, "errors": bson.A{},
		},
		"padding": padding,
	}
	_, err := b.docs.ReplaceOne(b.ctx, bson.M{"job_id": b.job}, document, options.Replace().SetUpsert(true))
	if err != nil {
		b.t.Fatal(err)
	}
}

// file is the file of this place in the job, in the message of this number.
func (b *bench) file(path string, index int, message string) jobs.File {
	return jobs.File{JobID: b.job, Path: path, Index: index, MessageID: message}
}

// document is what the test reads of the job's document.
type document struct {
	Consumed int `bson:"consumed_count"`
	Progress struct {
		Current    int    `bson:"current"`
		Percentage int    `bson:"percentage"`
		Filename   string `bson:"filename"`
	} `bson:"progress"`
	Checkpoint struct {
		Files    []string `bson:"processed_files"`
		Messages []string `bson:"processed_message_ids"`
		Results  []struct {
			Path  string `bson:"file_path"`
			Index int    `bson:"file_index"`
			Text  string `bson:"text"`
			Full  string `bson:"full_text"`
		} `bson:"results"`
		Errors []struct {
			Path  string `bson:"file_path"`
			Error string `bson:"error"`
		} `bson:"errors"`
	} `bson:"checkpoint"`
}

func (b *bench) document() document {
	b.t.Helper()
	var d document
	if err := b.docs.FindOne(b.ctx, bson.M{"job_id": b.job}).Decode(&d); err != nil {
		b.t.Fatal(err)
	}
	return d
}

// wantCounts checks the counts that the aggregator compares.
func (b *bench) wantCounts(results, errors int) {
	b.t.Helper()
	d := b.document()
	if len(d.Checkpoint.Results) != results || len(d.Checkpoint.Errors) != errors || d.Consumed != results+errors {
		b.t.Errorf("consumed_count %d with %d results and %d errors, want %d with %d and %d", d.Consumed,
			len(d.Checkpoint.Results), len(d.Checkpoint.Errors), results+errors, results, errors)
	}
}

func (b *bench) want(what string, got, want bool, err error) {
	b.t.Helper()
	if err != nil || got != want {
		b.t.Errorf("%s: %v, %v, want %v", what, got, err, want)
	}
}

func wantNoPassword(t *testing.T, text string, passwords ...string) {
	t.Helper()
	for _, p := range passwords {
		if strings.Contains(text, p) {
			t.Errorf("the password %s is shown: %s", p, text)
		}
	}
}
