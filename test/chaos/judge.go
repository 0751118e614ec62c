package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gvpocr/worker/test/backend"
)

// judge compares what there is with what there has to be.
func (r *run) judge(ctx context.Context, o *outcome) error {
	for _, j := range r.jobs {
		d, err := r.document(ctx, j)
		if err != nil {
			return err
		}
		o.add(j.examine(d))
	}
	if r.server.running[nsqd] != nil {
		dead, err := r.server.queue(ctx, backend.Topic+"_dead")
		if err != nil {
			return err
		}
		if dead.Messages > 0 {
			o.problem("%d dead letters", dead.Messages)
		}
		q, err := r.server.queue(ctx, backend.Topic)
		if err != nil {
			return err
		}
		r.say("%v", q)
	}
	events, _, err := r.events()
	if err != nil {
		return err
	}
	for _, f := range r.faults {
		if f.ended.IsZero() || f.idle {
			continue
		}
		first, fresh := latency(events, f.ended)
		r.say("after %s: first result %s, first of a task begun since %s", f.name, seconds(first), seconds(fresh))
		o.first, o.fresh = max(o.first, first), max(o.fresh, fresh)
		switch {
		case r.within == 0:
		case fresh < 0:
			o.problem("no task was begun after %s had ended: the job is too small", f.name)
		case !r.fromCut && fresh > r.within:
			o.problem("%s: the first result of a task begun since came after %s, want %s", f.name, seconds(fresh), seconds(r.within))
		case r.fromCut && fresh+f.ended.Sub(f.began) > r.within:
			o.problem("%s: the first result of a task begun after it came %s after its beginning, want %s", f.name,
				seconds(fresh+f.ended.Sub(f.began)), seconds(r.within))
		}
	}
	if r.moved > 0 {
		o.first, o.fresh = r.moved, r.moved
		if r.moved > r.within {
			o.problem("the second main server's first task was done after %s, want %s", seconds(r.moved), seconds(r.within))
		}
	}
	if r.check != nil {
		return r.check(ctx, r, o, events)
	}
	return nil
}

// latency is how long after from the first result was stored, and the first one of a task that was begun after from;
// negative if there is none.
func latency(events []event, from time.Time) (first, fresh time.Duration) {
	first, fresh = -1, -1
	for _, e := range events {
		if !e.stored() || e.Time.Before(from) {
			continue
		}
		after := e.Time.Sub(from)
		if first < 0 {
			first = after
		}
		if fresh < 0 && e.begun().After(from) {
			fresh = after
		}
	}
	return first, fresh
}

func seconds(d time.Duration) string {
	if d < 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// count returns how many events have this message, by worker.
func count(events []event, msg string) map[string]int {
	times := map[string]int{}
	for _, e := range events {
		if e.Msg == msg {
			times[e.worker]++
		}
	}
	return times
}

// recognizedTwice returns how many pages were recognized to the end more than once, by whichever worker.
func (r *run) recognizedTwice() (twice int, err error) {
	times := map[int]int{}
	for _, w := range r.workers {
		list, err := w.recognitions()
		if err != nil {
			return 0, err
		}
		for _, rec := range list {
			if rec.Done {
				times[rec.Page]++
			}
		}
	}
	for _, n := range times {
		if n > 1 {
			twice++
		}
	}
	return twice, nil
}
