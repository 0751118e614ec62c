package status

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gvpocr/worker/internal/printable"
)

// holds is how long it is remembered of a service that it did not answer: connections to it, which the worker goes on to
// make, are accepted for a service that is frozen, too.
const holds = time.Minute

// asked is what came of asking a service.
type asked struct {
	at       time.Time
	reason   string    // why it did not answer; empty if it did
	undialed bool      // it was not even connected to
	reached  time.Time // when it last answered; or, if it can't be dialed any more, when it last could
}

// note takes over what came of asking a service now. before and after are what the dialer knew.
func (a *asked) note(before, after Service, failure error) {
	a.at, a.reason, a.undialed = time.Now(), "", false
	switch {
	case failure == nil:
		a.reached = a.at
	case after.failed: // why a dial failed the dialer knows better than the time that ran out
		a.undialed, a.reason = true, after.Reason
		if before.LastReached.After(a.reached) {
			a.reached = before.LastReached
		}
	default:
		a.reason = printable.Error(failure)
	}
}

// apply puts what came of asking in the place of what the dialer knows, which is that somebody accepted a connection.
func (a asked) apply(s *Service, now bool) {
	dialedSince := a.undialed && s.LastReached.After(a.at)
	switch {
	case now, a.reason != "" && time.Since(a.at) < holds && !dialedSince:
		s.Reached, s.Reason, s.LastReached = a.reason == "", a.reason, a.reached
	case a.reached.After(s.LastReached):
		s.LastReached = a.reached
	}
}

// greet asks all services now, side by side, and returns the error of each.
func (s *Server) greet(ctx context.Context) []error {
	ctx, cancel := context.WithTimeoutCause(ctx, greetTimeout, fmt.Errorf("no answer within %v", greetTimeout))
	defer cancel()
	failures := make([]error, len(s.cfg.Services))
	var questions sync.WaitGroup
	for i, service := range s.cfg.Services {
		questions.Go(func() {
			err := s.cfg.Greet(ctx, service)
			if err != nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			failures[i] = err
		})
	}
	questions.Wait()
	return failures
}
