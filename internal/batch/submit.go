package batch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/gvpocr/worker/dialer/nsqdial"
)

// Options are how a job's files are to be recognized.
type Options struct {
	Provider    string
	Languages   []string
	Handwriting bool
}

// newKey returns a key in the form of nsqd's message ids.
func newKey() string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// publishers is how many tasks are published side by side: each costs a round trip to MongoDB and one to nsqd.
const publishers = 8

var errNoQueue = errors.New("NSQD_ADDRESS is not set: it says where tasks are published")

// Create makes the document of a job of the files at paths, of which nothing is published yet.
func (c *Client) Create(ctx context.Context, paths []string, o Options) (id string, err error) {
	if c.producer == nil {
		return "", errNoQueue
	}
	id = uuid.NewString()
	now := time.Now().UTC()
	err = c.do(ctx, "create a job", func(ctx context.Context, jobs *mongo.Collection) error {
		// What retry needs to know, beside what the backend writes. The paths are a small part of what the results will be.
		document := append(Document(id, len(paths), now), bson.D{
			{Key: "processing_mode", Value: "single"},
			{Key: "provider", Value: o.Provider},
			{Key: "languages", Value: o.languages()},
			{Key: "handwriting", Value: o.Handwriting},
			{Key: "task_paths", Value: paths},
		}...)
		_, err := jobs.InsertOne(ctx, document)
		return err
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// Publish publishes the tasks of a job that Create has made of the same paths and options. It calls published after each,
// from several goroutines at a time. The error says how many tasks were published.
func (c *Client) Publish(ctx context.Context, id string, paths []string, o Options, published func()) error {
	if c.producer == nil {
		return errNoQueue
	}
	var count atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(publishers)
	for i, path := range paths {
		group.Go(func() error {
			err := c.publishCounted(groupCtx, Task{
				Key: newKey(), JobID: id, FilePath: path, FileIndex: i, TotalFiles: len(paths), Provider: o.Provider, Languages: o.languages(),
				Handwriting: o.Handwriting,
			})
			if err == nil {
				count.Add(1)
				published()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		if c.failUnpublished(ctx, id) {
			return fmt.Errorf("no task of job %s is published, and it has failed: %w", id, err)
		}
		return fmt.Errorf("%d of %d tasks of job %s are published, and it will end without the others: %w", count.Load(), len(paths), id, err)
	}
	return nil
}

func (o Options) languages() []string {
	if o.Languages == nil {
		return []string{}
	}
	return o.Languages
}

// failUnpublished ends a job of which nothing is published, and reports whether it did: no worker would ever end it.
func (c *Client) failUnpublished(ctx context.Context, id string) (failed bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	err := c.do(ctx, "end job "+id, func(ctx context.Context, jobs *mongo.Collection) error {
		result, err := jobs.UpdateOne(ctx, bson.M{"job_id": id, "published_count": 0}, bson.M{
			"$set": bson.M{"status": "failed", "error": "no task was published", "updated_at": time.Now().UTC()},
		})
		failed = err == nil && result.MatchedCount > 0
		return err
	})
	return err == nil && failed
}

// publishCounted publishes a task and counts it as published. It is counted first: a job of which more is consumed than was
// published would be taken for corrupt. An interrupt takes effect between tasks.
func (c *Client) publishCounted(ctx context.Context, t Task) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	if err := c.count(ctx, t.JobID); err != nil {
		return err
	}
	if err := c.publish(ctx, t); err != nil {
		return c.takeOut(context.WithoutCancel(ctx), t, err)
	}
	return nil
}

// taskTimeout bounds the publishing of one task.
const taskTimeout = 30 * time.Second

// takeOut counts a task back that was not published, as far as can be known: nsqd may have taken it and its answer may be
// lost. So its key is noted, by which workers then finish the task without counting it. It returns why the task was not
// published, or nil if a worker has been quicker: then it was.
func (c *Client) takeOut(ctx context.Context, t Task, why error) error {
	taken := false
	err := c.do(ctx, "take a task out of "+t.JobID, func(ctx context.Context, jobs *mongo.Collection) error {
		result, err := jobs.UpdateOne(ctx, bson.M{"job_id": t.JobID, "checkpoint.processed_message_ids": bson.M{"$ne": t.Key}}, bson.M{
			"$inc":      bson.M{"published_count": -1},
			"$addToSet": bson.M{"checkpoint.processed_message_ids": t.Key},
		})
		taken = err == nil && result.MatchedCount == 0
		return err
	})
	if taken {
		return nil
	}
	return errors.Join(why, err)
}

func (c *Client) count(ctx context.Context, id string) error {
	return c.do(ctx, "count a task of "+id, func(ctx context.Context, jobs *mongo.Collection) error {
		_, err := jobs.UpdateOne(ctx, bson.M{"job_id": id}, bson.M{"$inc": bson.M{"published_count": 1}})
		return err
	})
}

// publish publishes a task. When the connection is lost before nsqd has answered it may have the message, so it is
// published again, under the same key.
func (c *Client) publish(ctx context.Context, t Task) error {
	body, err := t.Body()
	if err != nil {
		return err
	}
	const tries = 3
	for range tries {
		err = c.producer.Publish(ctx, Topic, body)
		if !errors.Is(err, nsqdial.ErrLost) {
			return err
		}
	}
	return err
}
