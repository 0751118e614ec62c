// Package jobs keeps the results of tasks in the backend's job documents: database gvpocr, collection bulk_jobs.
//
// Each file of a job must be counted exactly once, whatever is delivered again: the aggregator takes a job as done when
// the counts agree, and as corrupt when they don't. So a result is one atomic update whose filter refuses a file or a
// message that is there already, and [Store.Classify] tells afterwards why an update matched nothing.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/gvpocr/worker/dialer"
)

const (
	defaultDatabase = "gvpocr"
	defaultPort     = "27017"
	collection      = "bulk_jobs"

	// operationTimeout bounds one operation, server selection included. A MongoDB that is frozen accepts connections,
	// and only an operation's silence shows it.
	operationTimeout = 10 * time.Second
)

// Config says where the job documents are.
type Config struct {
	URI    string         // mongodb://…; the database is its path, by default gvpocr
	Dialer *dialer.Dialer // nil means the driver's own
	Logger *slog.Logger   // nil means silent

	// OnePlace makes all connections lead to one place, also when a host of the URI leads elsewhere meanwhile, until that place
	// has left the host's answer for good, or can't be dialed.
	OnePlace bool
}

// Store is the job documents. It is safe for concurrent use; Close ends it.
type Store struct {
	uri    connection
	cfg    Config
	logger *slog.Logger

	dials *dials
	login chan struct{} // held by the operation that finds out where the user lives

	mu       sync.Mutex // guards the fields below; nothing is asked under it
	client   *mongo.Client
	known    bool // client authenticates where the user lives, as far as can be known
	closed   bool
	progress progress
}

// File is what a result belongs to.
type File struct {
	JobID     string
	Path      string // absolute, symlink-free
	Index     int    // in the job
	MessageID string // of the message that was published first, for all copies of it
}

// State is what a job document says of a file.
type State int

// What Classify answers.
const (
	Pending   State = iota // nothing yet
	Done                   // counted, under this index or this message id
	Duplicate              // the path is counted under another index: two links lead to one file
	NoJob                  // there is no such job
)

// Open returns a Store. It opens no connection. The error says what is wrong with the URI, and shows no password.
func Open(cfg Config) (*Store, error) {
	uri, err := parseURI(cfg.URI)
	if err != nil {
		return nil, err
	}
	s := &Store{uri: uri, cfg: cfg, logger: cfg.Logger, login: make(chan struct{}, 1), known: !uri.mayFallBack()}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.dials = newDials(cfg.Dialer, uri.hosts, cfg.OnePlace)
	s.progress.last = map[string]time.Time{}
	s.client, err = s.newClient("")
	return s, err
}

// Hosts returns the addresses of the URI, for logs.
func (s *Store) Hosts() []string { return s.uri.hosts }

// Ping asks MongoDB for a sign of life, in the way that work asks: it reads from the job documents, and writes to them
// without a change. MongoDB's own ping is answered to everybody, also to those who have not logged in or have no rights.
func (s *Store) Ping(ctx context.Context) error {
	// No document has this _id, so that none is read: one may have 16 MiB. The driver would ask a second time before it tells
	// of a failure, had these commands a method of their own.
	none := bson.M{"_id": "ping"}
	for _, ask := range []struct {
		what    string
		command bson.D
	}{
		{"read " + collection, bson.D{
			{Key: "find", Value: collection},
			{Key: "filter", Value: none},
			{Key: "projection", Value: bson.M{"_id": 1}},
			{Key: "limit", Value: 1},
			{Key: "singleBatch", Value: true},
		}},
		{"write to " + collection, bson.D{
			{Key: "update", Value: collection},
			{Key: "updates", Value: bson.A{bson.M{"q": none, "u": bson.M{"$unset": bson.M{"ping": ""}}}}},
		}},
	} {
		err := s.do(ctx, ask.what, func(ctx context.Context, c *mongo.Collection) error {
			return c.Database().RunCommand(ctx, ask.command).Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Moved asks anew where the hosts of the URI lead, and reports whether one leads elsewhere than an open connection to it does, and
// where that leads. With OnePlace a Store that is opened anew is the way to the other place. An answer that is stale or cut off
// says nothing.
func (s *Store) Moved(ctx context.Context) (from string, moved bool) {
	if s.cfg.Dialer == nil {
		return "", false
	}
	conn := s.dials.moved(ctx)
	if conn == nil {
		return "", false
	}
	return conn.RemoteAddr().String(), true
}

// Left is closed when the place of the connections has left a host's answer for good: the Dialer closes them soon. It needs OnePlace.
func (s *Store) Left() <-chan struct{} { return s.dials.left }

// Keep makes the Store stay at the place that Moved has told for good, also when its connections have been closed. It needs OnePlace.
func (s *Store) Keep(from string) { s.dials.keep(from) }

// Close disconnects. Operations that are under way fail.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	client := s.client
	s.closed = true
	s.mu.Unlock()
	s.dials.close()
	if err := client.Disconnect(ctx); err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return fmt.Errorf("mongodb: disconnect: %w", err)
	}
	return nil
}

// Classify tells what the job document says of a file. It asks for the file alone, never for the document. If the file is
// done and the job with it, but its progress stayed behind, Classify writes that first.
func (s *Store) Classify(ctx context.Context, f File) (State, error) {
	state := NoJob
	var at counts
	err := s.do(ctx, "ask for "+f.JobID, func(ctx context.Context, c *mongo.Collection) error {
		for _, question := range []struct {
			filter bson.M
			state  State
		}{
			{unseen(f), Pending},
			{bson.M{"job_id": f.JobID, "$or": bson.A{
				bson.M{"checkpoint.processed_message_ids": f.MessageID},
				bson.M{"checkpoint.results": bson.M{"$elemMatch": bson.M{"file_path": f.Path, "file_index": f.Index}}},
			}}, Done},
			{bson.M{"job_id": f.JobID}, Duplicate},
		} {
			err := c.FindOne(ctx, question.filter, options.FindOne().SetProjection(countsProjection())).Decode(&at)
			if err == nil {
				state = question.state
				return nil
			}
			if !errors.Is(err, mongo.ErrNoDocuments) {
				return err
			}
		}
		return nil
	})
	if err == nil && state == Done {
		err = s.catchUp(ctx, f.JobID, at)
	}
	return state, err
}

// unseen matches the job if neither the file nor the message is counted.
func unseen(f File) bson.M {
	return bson.M{
		"job_id":                           f.JobID,
		"checkpoint.processed_files":       bson.M{"$ne": f.Path},
		"checkpoint.processed_message_ids": bson.M{"$ne": f.MessageID},
	}
}

// AddResult stores a result and counts the file. It reports false if the update matched nothing: see Classify.
func (s *Store) AddResult(ctx context.Context, f File, r Result) (bool, error) {
	if r.size() >= maxDocument {
		return false, fmt.Errorf("mongodb: update %s: %w", f.JobID, errTooLarge)
	}
	return s.add(ctx, f, unseen(f), "checkpoint.results", r.document(f))
}

// AddError stores why a file has no result and counts the file. It reports false if the update matched nothing.
func (s *Store) AddError(ctx context.Context, f File, reason string) (bool, error) {
	return s.add(ctx, f, unseen(f), "checkpoint.errors", newErrorDocument(f, reason))
}

// AddDuplicate counts a file whose path is counted under another index, as an error. It reports false if the message is
// counted.
func (s *Store) AddDuplicate(ctx context.Context, f File) (bool, error) {
	filter := bson.M{"job_id": f.JobID, "checkpoint.processed_message_ids": bson.M{"$ne": f.MessageID}}
	return s.add(ctx, f, filter, "checkpoint.errors", newErrorDocument(f, "duplicate of "+f.Path))
}

// add is the one atomic update, and what follows it. Where that fails for an outage, the file is added and the error not nil.
func (s *Store) add(ctx context.Context, f File, filter bson.M, list string, entry any) (added bool, err error) {
	var at counts
	err = s.do(ctx, "update "+f.JobID, func(ctx context.Context, c *mongo.Collection) error {
		update := bson.M{
			"$push": bson.M{list: entry},
			"$addToSet": bson.M{
				"checkpoint.processed_files":       f.Path,
				"checkpoint.processed_message_ids": f.MessageID,
			},
			"$inc": bson.M{"consumed_count": 1},
			"$set": bson.M{"updated_at": time.Now().UTC(), "progress.filename": f.base()},
		}
		err := c.FindOneAndUpdate(ctx, filter, update, options.FindOneAndUpdate().
			SetReturnDocument(options.After).
			SetProjection(countsProjection()),
		).Decode(&at)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		added = err == nil
		return err
	})
	if added {
		err = s.follow(ctx, f.JobID, at)
	}
	return added, err
}

// do runs an operation within operationTimeout.
func (s *Store) do(ctx context.Context, what string, op func(context.Context, *mongo.Collection) error) error {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	client, err := s.loggedIn(ctx)
	if err == nil {
		err = op(ctx, client.Database(s.uri.database).Collection(collection))
	}
	if err == nil {
		return nil
	}
	if last := s.dials.failure(); last != nil && IsOutage(err) {
		// The driver's own error does not say why it found no server.
		return fmt.Errorf("mongodb: %s: %w (%w)", what, err, last)
	}
	return fmt.Errorf("mongodb: %s: %w", what, err)
}

// newClient returns a client; authSource is the URI's if it is empty.
func (s *Store) newClient(authSource string) (*mongo.Client, error) {
	opts := options.Client().ApplyURI(s.uri.text).SetWriteConcern(majorityJournaled()).
		SetReadPreference(readpref.Primary()) // a secondary may not know yet what was counted
	if s.cfg.Dialer != nil {
		opts.SetDialer(s.dials)
	}
	if authSource != "" {
		opts.Auth.AuthSource = authSource
	}
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, s.uri.refused(err)
	}
	return client, nil
}

func majorityJournaled() *writeconcern.WriteConcern {
	wc := writeconcern.Majority()
	journal := true
	wc.Journal = &journal
	return wc
}
