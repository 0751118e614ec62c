package jobs

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// progress remembers when each job's progress was written.
type progress struct {
	last map[string]time.Time
}

const (
	progressEvery = time.Second
	maxProgress   = 1000 // jobs remembered at a time
)

// due reports whether a job's progress is to be written now, and if so takes it as written.
func (p *progress) due(job string, final bool) bool {
	now := time.Now()
	if !final && now.Sub(p.last[job]) < progressEvery {
		return false
	}
	if final {
		delete(p.last, job)
		return true
	}
	if len(p.last) >= maxProgress {
		clear(p.last)
	}
	p.last[job] = now
	return true
}

// counts says how far a job is.
type counts struct {
	Consumed int `bson:"consumed_count"`
	Total    int `bson:"total_files"`
	Progress struct {
		Current int `bson:"current"`
	} `bson:"progress"`
}

func countsProjection() bson.M {
	return bson.M{"_id": 0, "consumed_count": 1, "total_files": 1, "progress.current": 1}
}

// follow writes how far a job has come, at most once a second and always for its last file. It never goes backwards. Only
// the last file's has to be written, and fails with an outage: others are made up for by the next one's, or another worker's.
func (s *Store) follow(ctx context.Context, job string, at counts) error {
	final := at.Consumed >= at.Total
	s.mu.Lock()
	due := s.progress.due(job, final)
	s.mu.Unlock()
	if !due {
		return nil
	}
	err := s.writeProgress(ctx, job, at)
	if final {
		return s.unlessOutage(job, err)
	}
	if err != nil {
		s.logger.Warn("progress not written", "job", job, "error", err)
	}
	return nil
}

// catchUp writes the progress of a job that is complete, if that was not done: whoever counted the last file has died before,
// or did not hear that it was counted.
func (s *Store) catchUp(ctx context.Context, job string, at counts) error {
	if at.Consumed < at.Total || at.Progress.Current >= at.Total {
		return nil
	}
	return s.unlessOutage(job, s.writeProgress(ctx, job, at))
}

// unlessOutage logs what is no outage: the files are counted, whatever the progress says.
func (s *Store) unlessOutage(job string, err error) error {
	if err != nil && !IsOutage(err) {
		s.logger.Warn("progress not written", "job", job, "error", err)
		return nil
	}
	return err
}

func (s *Store) writeProgress(ctx context.Context, job string, at counts) error {
	percentage := 0
	if at.Total > 0 {
		percentage = min(100*at.Consumed/at.Total, 100)
	}
	return s.do(ctx, "write the progress of "+job, func(ctx context.Context, c *mongo.Collection) error {
		_, err := c.UpdateOne(ctx, bson.M{"job_id": job}, bson.M{"$max": bson.M{
			"progress.current": at.Consumed, "progress.percentage": percentage,
		}})
		return err
	})
}
