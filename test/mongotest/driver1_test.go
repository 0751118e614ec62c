package mongotest_test

import (
	"errors"
	"testing"

	mongov1 "go.mongodb.org/mongo-driver/mongo"
	optionsv1 "go.mongodb.org/mongo-driver/mongo/options"
)

// TestDriver1Calls is TestDriverCalls for the older driver.
func TestDriver1Calls(t *testing.T) {
	everywhere(t, func(t *testing.T, s *session) {
		d, ok := s.driver.(driver1)
		if !ok {
			t.Skip("driver 2 has a test of its own")
		}
		ctx := ctxOf(t)
		// driver 1 encodes by itself: maps, as it does not know the types of
		// driver 2.
		type m = map[string]any
		jobs := d.Database(s.db).Collection("bulk_jobs")
		many := make([]any, 300)
		for i := range many {
			many[i] = m{"_id": i, "even": i%2 == 0}
		}
		if res, err := jobs.InsertMany(ctx, many); err != nil || len(res.InsertedIDs) != 300 {
			t.Fatal(res, err)
		}
		if _, err := jobs.InsertOne(ctx, m{"_id": 1}); !mongov1.IsDuplicateKeyError(err) {
			t.Errorf("duplicate: %v", err)
		}
		if n, err := jobs.CountDocuments(ctx, m{"even": true}); n != 150 || err != nil {
			t.Error(n, err)
		}
		cursor, err := jobs.Find(ctx, m{"even": true}, optionsv1.Find().SetBatchSize(7).SetSort(m{"_id": -1}))
		if err != nil {
			t.Fatal(err)
		}
		var found []struct {
			ID int `bson:"_id"`
		}
		if err := cursor.All(ctx, &found); err != nil || len(found) != 150 || found[0].ID != 298 {
			t.Error(len(found), err)
		}
		up, err := jobs.UpdateOne(ctx, m{"_id": 1000}, m{"$set": m{"a": 1}}, optionsv1.Update().SetUpsert(true))
		if err != nil || up.UpsertedCount != 1 {
			t.Error(up, err)
		}
		var after struct{ A int }
		err = jobs.FindOneAndUpdate(ctx, m{"_id": 1000}, m{"$inc": m{"a": 1}}, optionsv1.FindOneAndUpdate().SetReturnDocument(optionsv1.After)).Decode(&after)
		if err != nil || after.A != 2 {
			t.Error(after, err)
		}
		if err := jobs.FindOne(ctx, m{"_id": -1}).Err(); !errors.Is(err, mongov1.ErrNoDocuments) {
			t.Error(err)
		}
		if res, err := jobs.DeleteMany(ctx, m{"even": true}); err != nil || res.DeletedCount != 150 {
			t.Error(res, err)
		}
		if _, err := jobs.Indexes().CreateOne(ctx, mongov1.IndexModel{Keys: m{"job_id": 1}}); err != nil {
			t.Error(err)
		}
		if err := jobs.Drop(ctx); err != nil {
			t.Error(err)
		}
	})
}
