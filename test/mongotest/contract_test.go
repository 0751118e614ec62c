package mongotest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// TestRacingWorkersCountEachFileOnce runs the update with which a worker
// stores a file's result: eight workers race for every one of 1000 files, and
// exactly one may win each.
func TestRacingWorkersCountEachFileOnce(t *testing.T) {
	const workers, files = 8, 1000
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t, doc("_id", 1, "job_id", "job", "consumed_count", 0, "published_count", files,
			"checkpoint", doc("results", list(), "errors", list(), "processed_files", list())))
		var won [files]atomic.Int32
		var winners, conflicts atomic.Int32
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range files {
					path := fmt.Sprintf("/app/Bhushanji/%04d.jpg", i)
					message := fmt.Sprintf("%04d-%d", i, w)
					q := doc("job_id", "job", "checkpoint.processed_files", doc("$ne", path), "checkpoint.processed_message_ids", doc("$ne", message))
					u := doc(
						"$push", doc("checkpoint.results", doc("file_path", path, "file_index", i)),
						"$addToSet", doc("checkpoint.processed_files", path, "checkpoint.processed_message_ids", message),
						"$inc", doc("consumed_count", 1),
						"$max", doc("progress.current", i))
					raw, err := bson.Marshal(doc("update", c, "updates", list(doc("q", q, "u", u)), "writeConcern", doc("w", "majority", "j", true)))
					if err != nil {
						t.Error(err)
						return
					}
					reply, err := s.driver.run(context.Background(), s.db, raw)
					if err != nil {
						t.Error(err)
						return
					}
					n, modified := reply.Lookup("n").Int32(), reply.Lookup("nModified").Int32()
					switch {
					case n != modified:
						conflicts.Add(1)
					case n == 1:
						winners.Add(1)
						won[i].Add(1)
					}
				}
			})
		}
		wg.Wait()

		wantSame(t, "winners", winners.Load(), int32(files))
		wantSame(t, "matched but not modified", conflicts.Load(), int32(0))
		for i := range won {
			if n := won[i].Load(); n != 1 {
				t.Errorf("file %d was won %d times", i, n)
			}
		}
		d := s.documents(t, c)[0]
		wantSame(t, "consumed_count", at(d, "consumed_count"), int32(files))
		wantSame(t, "progress.current", at(d, "progress", "current"), int32(files-1))
		for _, field := range []string{"results", "processed_files", "processed_message_ids"} {
			kept := at(d, "checkpoint", field).(bson.A)
			distinct := make(map[string]bool)
			for _, v := range kept {
				if path := at(v, "file_path"); path != nil {
					v = path
				}
				distinct[v.(string)] = true
			}
			if len(kept) != files || len(distinct) != files {
				t.Errorf("%s: %d entries, %d distinct, want %d", field, len(kept), len(distinct), files)
			}
		}
	})
}

// TestRacingIncrementsAndUpsertsLoseNothing: other ways for two writers to
// meet.
func TestRacingIncrementsAndUpsertsLoseNothing(t *testing.T) {
	const writers, rounds = 8, 100
	everywhere(t, func(t *testing.T, s *session) {
		c := s.collection(t)
		s.mustRun(t, doc("createIndexes", c, "indexes", list(doc("key", doc("k", 1), "name", "k", "unique", true))))
		var inserted, refused atomic.Int32
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for i := range rounds {
					up := doc("update", c, "updates", list(doc("q", doc("_id", "sum"), "u", doc("$inc", doc("n", 1)), "upsert", true)))
					put := doc("insert", c, "documents", list(doc("k", i)))
					for _, command := range []bson.D{up, put} {
						raw, err := bson.Marshal(command)
						if err != nil {
							t.Error(err)
							return
						}
						reply, err := s.driver.run(context.Background(), s.db, raw)
						if err != nil {
							t.Error(err)
							return
						}
						_, failed := reply.LookupErr("writeErrors")
						switch {
						case command[0].Key != "insert":
						case failed == nil:
							refused.Add(1)
						default:
							inserted.Add(1)
						}
					}
				}
			})
		}
		wg.Wait()
		wantSame(t, "inserted", inserted.Load(), int32(rounds))
		wantSame(t, "refused", refused.Load(), int32((writers-1)*rounds))
		reply := s.mustRun(t, doc("find", c, "filter", doc("_id", "sum")))
		wantSame(t, "sum", at(reply, "cursor", "firstBatch"), list(doc("_id", "sum", "n", writers*rounds)))
	})
}

// TestDriverCalls goes through the calls that programs make, where the tables
// go through RunCommand: cursors, counting and errors are the driver's own.
func TestDriverCalls(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		d, ok := s.driver.(driver2)
		if !ok {
			t.Skip("driver 1 has a test of its own")
		}
		ctx := ctxOf(t)
		jobs := d.Database(s.db).Collection("bulk_jobs", options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: "majority", Journal: ptr(true)}))
		many := make([]any, 300)
		for i := range many {
			many[i] = doc("_id", i, "even", i%2 == 0)
		}
		if res, err := jobs.InsertMany(ctx, many); err != nil || len(res.InsertedIDs) != 300 {
			t.Fatal(res, err)
		}
		_, err := jobs.InsertOne(ctx, doc("_id", 1))
		if !mongo.IsDuplicateKeyError(err) {
			t.Errorf("duplicate: %v", err)
		}
		if n, err := jobs.CountDocuments(ctx, doc("even", true)); n != 150 || err != nil {
			t.Error(n, err)
		}
		if n, err := jobs.EstimatedDocumentCount(ctx); n != 300 || err != nil {
			t.Error(n, err)
		}
		cursor, err := jobs.Find(ctx, doc("even", true), options.Find().SetBatchSize(7).SetSort(doc("_id", -1)))
		if err != nil {
			t.Fatal(err)
		}
		var found []struct {
			ID int `bson:"_id"`
		}
		if err := cursor.All(ctx, &found); err != nil || len(found) != 150 || found[0].ID != 298 {
			t.Error(len(found), err)
		}
		up, err := jobs.UpdateOne(ctx, doc("_id", 1000), doc("$set", doc("a", 1)), options.UpdateOne().SetUpsert(true))
		if err != nil || up.UpsertedCount != 1 || up.UpsertedID != int32(1000) {
			t.Error(up, err)
		}
		var after bson.D
		err = jobs.FindOneAndUpdate(ctx, doc("_id", 1000), doc("$inc", doc("a", 1)), options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&after)
		wantSame(t, "after", after, doc("_id", 1000, "a", 2))
		if err != nil {
			t.Error(err)
		}
		if err := jobs.FindOne(ctx, doc("_id", -1)).Err(); !errors.Is(err, mongo.ErrNoDocuments) {
			t.Error(err)
		}
		if err := jobs.FindOneAndDelete(ctx, doc("_id", -1)).Err(); !errors.Is(err, mongo.ErrNoDocuments) {
			t.Error(err)
		}
		bulk, err := jobs.BulkWrite(ctx, []mongo.WriteModel{
			mongo.NewInsertOneModel().SetDocument(doc("_id", 2000)),
			mongo.NewUpdateManyModel().SetFilter(doc("even", false)).SetUpdate(doc("$set", doc("odd", true))),
			mongo.NewReplaceOneModel().SetFilter(doc("_id", 2000)).SetReplacement(doc("r", 1)),
			mongo.NewDeleteManyModel().SetFilter(doc("even", true)),
		})
		if err != nil || bulk.InsertedCount != 1 || bulk.ModifiedCount != 151 || bulk.DeletedCount != 150 {
			t.Error(bulk, err)
		}
		if err := jobs.Distinct(ctx, "odd", doc()).Err(); err != nil {
			t.Error(err)
		}
		if _, err := jobs.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: doc("job_id", 1)}); err != nil {
			t.Error(err)
		}
		names, err := d.Database(s.db).ListCollectionNames(ctx, doc())
		if err != nil || len(names) != 1 {
			t.Error(names, err)
		}
		session, err := d.StartSession()
		if err != nil {
			t.Fatal(err)
		}
		defer session.EndSession(ctx)
		err = mongo.WithSession(ctx, session, func(ctx context.Context) error {
			return jobs.FindOne(ctx, doc("_id", 2000)).Err()
		})
		if err != nil {
			t.Error(err)
		}
		if err := jobs.Drop(ctx); err != nil {
			t.Error(err)
		}

		// An unacknowledged write has no reply: the next command's reply must
		// not be taken for it.
		quiet := d.Database(s.db).Collection("quiet", options.Collection().SetWriteConcern(writeconcern.Unacknowledged()))
		for i := range 50 {
			if res, err := quiet.InsertOne(ctx, doc("_id", i)); err != nil || res.Acknowledged {
				t.Fatal(res, err)
			}
		}
		loud := d.Database(s.db).Collection("quiet")
		eventually(t, "50 documents", func() bool {
			n, err := loud.CountDocuments(ctx, doc())
			return err == nil && n == 50
		})
	})
}

func ptr[T any](v T) *T { return &v }
