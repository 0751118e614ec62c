package main

import (
	"context"
	"strings"
	"time"
)

// onceRecognized checks that no page was recognized twice: what was recognized is kept until it is stored.
func onceRecognized(_ context.Context, r *run, o *outcome, _ []event) error {
	twice, err := r.recognizedTwice()
	if twice > 0 {
		o.problem("%d pages were recognized twice", twice)
	}
	return err
}

// pausedOnce checks what an outage of MongoDB does that is longer than the 10 s of an operation: the log of each worker
// says once that intake is paused, and once that it goes on; no page is recognized twice, and no task goes back to the
// queue twice.
func pausedOnce(ctx context.Context, r *run, o *outcome, events []event) error {
	for what, msg := range map[string]string{"is paused": "MongoDB is away: intake is paused", "goes on": "MongoDB is back: intake goes on"} {
		said := count(events, msg)
		for _, w := range r.workers {
			if said[w.id] != 1 {
				o.problem("%s says %d times that intake %s", w.id, said[w.id], what)
			}
		}
	}
	back := map[string]int{}
	for _, e := range events {
		if strings.HasPrefix(e.Msg, "task goes back to the queue") {
			back[e.File]++
		}
	}
	for file, n := range back {
		if n > 1 {
			o.problem("%s went back to the queue %d times", file, n)
		}
	}
	return onceRecognized(ctx, r, o, events)
}

// pausedSoon is pausedOnce, and that a MongoDB that accepts and does not answer is noticed.
func pausedSoon(ctx context.Context, r *run, o *outcome, events []event) error {
	for _, e := range events {
		after := e.Time.Sub(r.faults[0].began)
		if e.Msg == "MongoDB is away: intake is paused" && after > 12*time.Second+r.opts.slack {
			o.problem("%s paused its intake %s after MongoDB froze, want 12 s", e.worker, seconds(after))
		}
	}
	return pausedOnce(ctx, r, o, events)
}
