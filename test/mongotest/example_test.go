package mongotest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gvpocr/worker/test/mongotest"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func ExampleStart() {
	srv, err := mongotest.Start(mongotest.Config{User: "gvpocr_admin", Password: "gvp@123"})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	ctx := context.Background()
	client, err := mongo.Connect(options.Client().ApplyURI(srv.URI()))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Disconnect(ctx)

	jobs := client.Database("gvpocr").Collection("bulk_jobs")
	if _, err := jobs.InsertOne(ctx, bson.M{"job_id": "j", "consumed_count": 0}); err != nil {
		log.Fatal(err)
	}
	res, err := jobs.UpdateOne(ctx,
		bson.M{"job_id": "j", "checkpoint.processed_files": bson.M{"$ne": "/a.jpg"}},
		bson.M{"$inc": bson.M{"consumed_count": 1}, "$addToSet": bson.M{"checkpoint.processed_files": "/a.jpg"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.ModifiedCount)
	// Output: 1
}
