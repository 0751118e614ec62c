package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/gvpocr/worker/ocrworker/source"
)

// Retried is what Retry did.
type Retried struct {
	Published []string // paths of the files that are tried again, as their tasks have them
	Foreign   []string // those of them that workers with other folders than the failed one's won't find
	Skipped   []string // why others are not, one sentence each
}

// Retry publishes the failed files of a job again. Empty fields of o are those that the job had; roots are the folders of
// this process. A job that is cancelled or still runs is refused, with ErrCancelled or ErrRuns.
//
// A file's error is taken out of the document, and its count back, before its task is published: workers take what is
// counted as done. If publishing fails the error is put back as it was.
func (c *Client) Retry(ctx context.Context, id string, roots source.Roots, o Options) (Retried, error) {
	var done Retried
	if c.producer == nil {
		return done, errNoQueue
	}
	j, err := c.read(ctx, id, retryFields...)
	if err != nil {
		return done, err
	}
	if err := j.mayRetry(); err != nil {
		return done, err
	}
	if o, err = c.optionsOf(ctx, j, o); err != nil {
		return done, err
	}
	again, skipped := j.retryable()
	done.Skipped = skipped
	originals := j.originals(again, roots)
	for i, f := range again {
		if ctx.Err() != nil {
			return done, errInterrupted
		}
		task := originals[i]
		published, err := c.retryOne(ctx, f, Task{
			Key: newKey(), JobID: id, FilePath: task.path, FileIndex: task.index, TotalFiles: j.Total, Provider: o.Provider, Languages: o.Languages,
			Handwriting: o.Handwriting,
		})
		switch {
		case err != nil:
			return done, err
		case !published:
			done.Skipped = append(done.Skipped, f.Path+": its error is not there any more, or the job was cancelled meanwhile")
			continue
		case task.foreign:
			done.Foreign = append(done.Foreign, task.path)
		}
		done.Published = append(done.Published, task.path)
	}
	return done, nil
}

// Why a job's files can't be tried again.
var (
	ErrCancelled = errors.New("it is cancelled, so workers leave its tasks alone")
	ErrRuns      = errors.New("it still runs")
)

// mayRetry refuses a job that is not at its end: which indexes are free is known only then. Nor would a cancelled one's
// tasks be done.
func (j Job) mayRetry() error {
	switch {
	case j.Cancelled():
		return fmt.Errorf("job %s: %w; make a new job of its files: ocr-worker submit", j.ID, ErrCancelled)
	case j.Published == 0 && j.Ended():
		return fmt.Errorf("job %s: nothing of it was published; make a new job of its files: ocr-worker submit", j.ID)
	case j.CaughtUp() && !j.Done():
		return fmt.Errorf("job %s: %w: %d of its %d files are published, and others may still be; try again when nothing has changed for %v",
			j.ID, ErrRuns, j.Published, j.Total, publishingRests)
	case !j.Done():
		return fmt.Errorf("job %s: %w: %d of %d files are finished and its status is %q; try again when all are, which ocr-worker status %s shows",
			j.ID, ErrRuns, j.Consumed, j.Published, j.Status, j.ID)
	}
	return nil
}

// retryOne reports false if the file's error is not there any more. An interrupt takes effect between files.
func (c *Client) retryOne(ctx context.Context, f Failed, t Task) (published bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	taken, err := c.takeBack(ctx, t.JobID, f)
	if err != nil || !taken {
		return false, err
	}
	if err := c.publish(ctx, t); err != nil {
		return c.putBack(context.WithoutCancel(ctx), t, f, err)
	}
	return true, nil
}

// retryable returns the failed files, without those whose path is in the document in another entry too: taking one of the
// two out would make the other one wrong.
func (j Job) retryable() (again []Failed, skipped []string) {
	entries := map[string]int{}
	for _, r := range j.Checkpoint.Results {
		entries[r.Path]++
	}
	for _, f := range j.Errors {
		entries[f.Path]++
	}
	for _, f := range j.Errors {
		if entries[f.Path] > 1 {
			skipped = append(skipped, fmt.Sprintf("%s: it is in the job twice, as when two links lead to one file", f.Path))
			continue
		}
		again = append(again, f)
	}
	return again, skipped
}

// takeBack takes a file's error out of the document, as if it had not been tried. It reports false if the error is not there
// any more, or the job is cancelled.
func (c *Client) takeBack(ctx context.Context, id string, f Failed) (taken bool, err error) {
	err = c.do(ctx, "take back an error of "+id, func(ctx context.Context, jobs *mongo.Collection) error {
		result, err := jobs.UpdateOne(ctx,
			bson.M{"job_id": id, "status": bson.M{"$nin": cancelled}, "checkpoint.errors": bson.M{"$elemMatch": bson.M{"file_path": f.Path, "processed_at": f.ProcessedAt}}},
			bson.M{
				"$pull": bson.M{
					"checkpoint.errors":          bson.M{"file_path": f.Path, "processed_at": f.ProcessedAt},
					"checkpoint.processed_files": f.Path,
				},
				"$inc": bson.M{"consumed_count": -1},
				"$set": bson.M{"status": "processing", "updated_at": time.Now().UTC()},
			})
		taken = err == nil && result.ModifiedCount == 1
		return err
	})
	return taken, err
}

// putBack puts a file's error back whose task was not published, for the reason given, and notes the task's key, as takeOut
// does. It reports true if a worker has been quicker.
func (c *Client) putBack(ctx context.Context, t Task, f Failed, why error) (published bool, err error) {
	err = c.do(ctx, "put back an error of "+t.JobID, func(ctx context.Context, jobs *mongo.Collection) error {
		result, err := jobs.UpdateOne(ctx, bson.M{
			"job_id":                           t.JobID,
			"checkpoint.processed_files":       bson.M{"$ne": f.Path},
			"checkpoint.processed_message_ids": bson.M{"$ne": t.Key},
		}, bson.M{
			"$push": bson.M{"checkpoint.errors": bson.D{
				{Key: "file", Value: f.File}, {Key: "file_path", Value: f.Path}, {Key: "error", Value: f.Reason}, {Key: "processed_at", Value: f.ProcessedAt},
			}},
			"$addToSet": bson.M{"checkpoint.processed_files": f.Path, "checkpoint.processed_message_ids": t.Key},
			"$inc":      bson.M{"consumed_count": 1},
		})
		published = err == nil && result.MatchedCount == 0
		return err
	})
	if published {
		return true, nil
	}
	return false, errors.Join(why, err)
}

// optionsOf fills what o leaves open from the job's document, or else from its results, or else with the defaults.
func (c *Client) optionsOf(ctx context.Context, j Job, o Options) (Options, error) {
	var had struct {
		Provider    string   `bson:"provider"`
		Languages   []string `bson:"languages"`
		Handwriting bool     `bson:"handwriting"`
	}
	err := c.do(ctx, "read job "+j.ID, func(ctx context.Context, jobs *mongo.Collection) error {
		projection := options.FindOne().SetProjection(bson.M{"_id": 0, "provider": 1, "languages": 1, "handwriting": 1})
		return jobs.FindOne(ctx, bson.M{"job_id": j.ID}, projection).Decode(&had)
	})
	if err != nil {
		return o, err
	}
	if had.Provider == "" && len(j.Checkpoint.Results) > 0 {
		r := j.Checkpoint.Results[0]
		had.Provider, had.Languages, had.Handwriting = r.Provider, r.Languages, r.Handwriting
	}
	if o.Provider == "" {
		o.Provider = had.Provider
	}
	if o.Provider == "" {
		o.Provider = "tesseract"
	}
	if o.Languages == nil {
		o.Languages = had.Languages
	}
	if o.Languages == nil {
		o.Languages = []string{}
	}
	o.Handwriting = o.Handwriting || had.Handwriting
	return o, nil
}
