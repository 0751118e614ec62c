package dialer

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// retry paces the passes of one dial: waits of 100 ms growing by 1.6 to 5 s, each varied by half, so that a fleet that
// lost the same server does not come back in step.
type retry struct {
	waits backoff.BackOff
}

func newRetry(budget time.Duration, began time.Time) *retry {
	if budget < 0 {
		return &retry{&backoff.StopBackOff{}}
	}
	return &retry{backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMultiplier(1.6),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(budget-time.Since(began)),
	)}
}

// wait sleeps until the next pass is due. It reports false if there is none: the budget would be
// used up, or ctx has ended.
func (r *retry) wait(ctx context.Context) bool {
	pause := r.waits.NextBackOff()
	if pause == backoff.Stop {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
