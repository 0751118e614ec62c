package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Job is how far a job is. Its fields are the JSON output.
type Job struct {
	ID        string    `json:"job_id" bson:"job_id"`
	Status    string    `json:"status" bson:"status"`
	Total     int       `json:"total_files" bson:"total_files"`
	Published int       `json:"published" bson:"published_count"`
	Consumed  int       `json:"finished" bson:"consumed_count"`
	Pages     int       `json:"pages" bson:"-"` // of the files that were recognized
	Created   time.Time `json:"created_at" bson:"created_at"`
	Updated   time.Time `json:"updated_at" bson:"updated_at"`
	Errors    []Failed  `json:"errors" bson:"-"`

	Checkpoint checkpoint `json:"-" bson:"checkpoint"`
	TaskPaths  []string   `json:"-" bson:"task_paths"` // by index, as Submit noted them

	asked time.Time // when it was read
}

// Failed is a file that was not recognized.
type Failed struct {
	Path        string `json:"file_path" bson:"file_path"`
	Reason      string `json:"error" bson:"error"`
	File        string `json:"-" bson:"file"`
	ProcessedAt string `json:"processed_at" bson:"processed_at"`

	stored bson.Raw // all of it
}

type checkpoint struct {
	Results []Result `bson:"results"`
	Errors  []Failed `bson:"errors"`
}

// Result is a file that was recognized, as far as it is told in words.
type Result struct {
	Path        string   `bson:"file_path"`
	Index       int      `bson:"file_index"`
	Status      string   `bson:"status"`
	Provider    string   `bson:"provider"`
	Languages   []string `bson:"languages"`
	Handwriting bool     `bson:"handwriting"`
	Confidence  float64  `bson:"confidence"`
	Words       int      `bson:"words_count"`
	Pages       int      `bson:"pages_processed"`
	Text        string   `bson:"text"`
	Metadata    struct {
		Seconds float64 `bson:"processing_time"`
		Worker  string  `bson:"worker_id"`
	} `bson:"metadata"`

	stored bson.Raw // all of it
}

// UnmarshalBSON keeps what it reads.
func (r *Result) UnmarshalBSON(stored []byte) error {
	type fields Result
	r.stored = slices.Clone(stored)
	return bson.Unmarshal(stored, (*fields)(r))
}

// UnmarshalBSON keeps what it reads.
func (f *Failed) UnmarshalBSON(stored []byte) error {
	type fields Failed
	f.stored = slices.Clone(stored)
	return bson.Unmarshal(stored, (*fields)(f))
}

// Recognized is how many files have a result.
func (j Job) Recognized() int { return max(j.Consumed-len(j.Errors), 0) }

// CaughtUp reports whether every published file is counted. More may be published yet.
func (j Job) CaughtUp() bool { return j.Published > 0 && j.Consumed >= j.Published }

// AllFinished reports whether every file of the job is counted.
func (j Job) AllFinished() bool { return j.CaughtUp() && j.Published >= j.Total }

// publishingRests is how long a job of which not all is published has to have been caught up until its publisher is taken for
// ended. The last file's count sets updated_at, and a file that was published since would not be counted yet: so nothing
// was published for that long.
const publishingRests = time.Minute

// Done reports whether the job is at its end: every file is counted, or every one that was published, and the rest of them
// are not coming.
func (j Job) Done() bool {
	return j.AllFinished() || j.CaughtUp() && j.asked.Sub(j.Updated) >= publishingRests
}

// Ended reports whether the backend or a person has ended the job otherwise.
func (j Job) Ended() bool {
	return j.Cancelled() || j.Status == "failed" || j.Status == "error"
}

// Cancelled reports whether a person has ended the job.
func (j Job) Cancelled() bool { return slices.Contains(cancelled, j.Status) }

var cancelled = []string{"cancelled", "canceled"}

// ErrNoJob says that there is no such job.
var ErrNoJob = errors.New("there is no such job")

// Job reads how far a job is; not its texts.
func (c *Client) Job(ctx context.Context, id string) (Job, error) {
	return c.read(ctx, id, progressFields...)
}

var (
	jobFields      = []string{"job_id", "status", "total_files", "published_count", "consumed_count", "created_at", "updated_at"}
	progressFields = append(slices.Clone(jobFields), "checkpoint.errors", "checkpoint.results.pages_processed")
	// attributeFields are those of results without their texts, which a document has twice.
	attributeFields = append(slices.Clone(jobFields), "checkpoint.errors", "checkpoint.results.file_path", "checkpoint.results.file_index",
		"checkpoint.results.provider", "checkpoint.results.languages", "checkpoint.results.handwriting")
	retryFields  = append(slices.Clone(attributeFields), "task_paths")
	resultFields = append(slices.Clone(jobFields), "checkpoint.errors", "checkpoint.results", "task_paths")
)

func (c *Client) read(ctx context.Context, id string, fields ...string) (Job, error) {
	projection := bson.M{"_id": 0}
	for _, f := range fields {
		projection[f] = 1
	}
	var j Job
	err := c.do(ctx, "read job "+id, func(ctx context.Context, jobs *mongo.Collection) error {
		err := jobs.FindOne(ctx, bson.M{"job_id": id}, options.FindOne().SetProjection(projection)).Decode(&j)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return ErrNoJob
		}
		return err
	})
	if errors.Is(err, ErrNoJob) {
		return j, fmt.Errorf("job %s: %w", id, ErrNoJob)
	}
	j.asked = time.Now()
	j.Errors = j.Checkpoint.Errors
	if j.Errors == nil {
		j.Errors = []Failed{}
	}
	for _, r := range j.Checkpoint.Results {
		j.Pages += max(r.Pages, 1) // a chain's result does not say
	}
	slices.SortStableFunc(j.Checkpoint.Results, func(a, b Result) int { return cmp.Compare(a.Index, b.Index) })
	slices.SortStableFunc(j.Errors, func(a, b Failed) int { return cmp.Compare(a.Path, b.Path) })
	return j, err
}

// freeIndexes returns the indexes of a job's files that no result has, in order.
func (j Job) freeIndexes() []int {
	free := map[int]bool{}
	for i := range j.Total {
		free[i] = true
	}
	for _, r := range j.Checkpoint.Results {
		delete(free, r.Index)
	}
	return slices.Sorted(maps.Keys(free))
}
