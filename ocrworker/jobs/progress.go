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

// follow writes how far a job has come, at most once a second and always for its last file. It never goes backwards,
// and an error is only logged: the next file's write, or another worker's, makes up for it.
func (s *Store) follow(ctx context.Context, job string, current, total int) {
	s.mu.Lock()
	due := s.progress.due(job, current >= total)
	s.mu.Unlock()
	if !due {
		return
	}
	percentage := 0
	if total > 0 {
		percentage = min(100*current/total, 100)
	}
	err := s.do(ctx, "write the progress of "+job, func(ctx context.Context, c *mongo.Collection) error {
		_, err := c.UpdateOne(ctx, bson.M{"job_id": job}, bson.M{"$max": bson.M{
			"progress.current": current, "progress.percentage": percentage,
		}})
		return err
	})
	if err != nil {
		s.logger.Warn("progress not written", "job", job, "error", err)
	}
}
