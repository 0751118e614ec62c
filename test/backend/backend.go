// Package backend does for tests what the backend does for a job: it creates the document, publishes the tasks, and
// takes the job as done by the aggregator's condition.
package backend

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/resolve"
)

// Topic is where workers look for tasks.
const Topic = batch.Topic

// Backend creates jobs. Close ends it.
type Backend struct {
	client   *mongo.Client
	jobs     *mongo.Collection
	dialer   *dialer.Dialer
	producer *nsqdial.Producer
}

// Task is the message of one file. Its fields are as the backend publishes them.
type Task = batch.Task

// Job is what workers leave in a job document, as far as the aggregator and people read it.
type Job struct {
	Status         string `bson:"status"`
	TotalFiles     int    `bson:"total_files"`
	PublishedCount int    `bson:"published_count"`
	ConsumedCount  int    `bson:"consumed_count"`
	Checkpoint     struct {
		Results []Result `bson:"results"`
		Errors  []Error  `bson:"errors"`
	} `bson:"checkpoint"`
}

// Result is one recognized file.
type Result struct {
	File       string  `bson:"file"`
	FilePath   string  `bson:"file_path"`
	FileIndex  int     `bson:"file_index"`
	Status     string  `bson:"status"`
	Text       string  `bson:"text"`
	Confidence float64 `bson:"confidence"`
	Words      int     `bson:"words_count"`
	Retries    int     `bson:"retry_count"`
	Metadata   struct {
		Seconds  float64 `bson:"processing_time"`
		WorkerID string  `bson:"worker_id"`
	} `bson:"metadata"`
}

// Error is one file that was not recognized.
type Error struct {
	File     string `bson:"file"`
	FilePath string `bson:"file_path"`
	Error    string `bson:"error"`
}

// Done is the aggregator's condition: every published file is counted.
func (j Job) Done() bool {
	return j.ConsumedCount == j.PublishedCount && j.ConsumedCount > 0 && j.Status == "processing" &&
		len(j.Checkpoint.Results)+len(j.Checkpoint.Errors) == j.PublishedCount
}

// mainServer is a name for the host of MongoDB.
const mainServer = "main-server"

// Connect returns a Backend of the main server whose MongoDB is at mongoURI and whose nsqd is at nsqdAddr.
func Connect(mongoURI, nsqdAddr string) (*Backend, error) { return ConnectBy(nil, mongoURI, nsqdAddr) }

// ConnectBy is Connect with a dial function, for a main server that the machine's own network does not reach.
func ConnectBy(dial DialFunc, mongoURI, nsqdAddr string) (*Backend, error) {
	parsed, err := connstring.Parse(mongoURI)
	if err != nil {
		return nil, err
	}
	// The members of a replica set may announce names that only the main server knows.
	host, _, err := net.SplitHostPort(parsed.Hosts[0])
	if err != nil {
		return nil, err
	}
	names, err := resolve.Static(map[string]string{mainServer: host})
	if err != nil {
		return nil, err
	}
	d, err := dialer.New(dialer.Config{Resolver: resolve.Chain(names, resolve.System(nil)), DialFunc: dial})
	if err != nil {
		return nil, err
	}
	producer, err := nsqdial.NewProducer(nsqdial.ProducerConfig{Dialer: d, NSQD: nsqdAddr})
	if err != nil {
		return nil, err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(mongoURI).SetDialer(d.Behind(mainServer)))
	if err != nil {
		return nil, err
	}
	return &Backend{client, client.Database("gvpocr").Collection("bulk_jobs"), d, producer}, nil
}

// DialFunc opens a connection to ip:port.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Close disconnects.
func (b *Backend) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	b.producer.Close()
	b.dialer.Close()
	return b.client.Disconnect(ctx)
}

// Jobs returns the collection of job documents.
func (b *Backend) Jobs() *mongo.Collection { return b.jobs }

// Create makes a job's document for total files and returns its id.
func (b *Backend) Create(ctx context.Context, total int) (id string, err error) {
	id = uuid.NewString()
	_, err = b.jobs.InsertOne(ctx, batch.Document(id, total, time.Now().UTC()))
	if err != nil {
		return "", fmt.Errorf("create job: %w", err)
	}
	return id, nil
}

// Publish publishes a task and counts it. Empty fields get what the backend puts there.
func (b *Backend) Publish(ctx context.Context, t Task) error {
	if t.Provider == "" {
		t.Provider = "tesseract"
	}
	body, err := t.Body()
	if err != nil {
		return err
	}
	if err := b.PublishRaw(ctx, body); err != nil {
		return err
	}
	_, err = b.jobs.UpdateOne(ctx, bson.M{"job_id": t.JobID}, bson.M{"$inc": bson.M{"published_count": 1}})
	return err
}

// PublishRaw publishes any body to the topic of tasks, and counts nothing.
func (b *Backend) PublishRaw(ctx context.Context, body []byte) error {
	return b.producer.Publish(ctx, Topic, body)
}

// Job reads a job's document.
func (b *Backend) Job(ctx context.Context, id string) (Job, error) {
	var j Job
	err := b.jobs.FindOne(ctx, bson.M{"job_id": id}).Decode(&j)
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	return j, nil
}

// Wait reads a job's document until it is done, and calls progress with what it reads on the way, if that is not nil.
func (b *Backend) Wait(ctx context.Context, id string, progress func(Job)) (Job, error) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		j, err := b.Job(ctx, id)
		if err != nil {
			return j, err
		}
		if progress != nil {
			progress(j)
		}
		if j.Done() {
			return j, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return j, fmt.Errorf("job %s: %d of %d files counted: %w", id, j.ConsumedCount, j.PublishedCount, context.Cause(ctx))
		}
	}
}
