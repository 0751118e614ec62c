package main

import (
	"context"
	"time"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// mixture is a scenario of jobs, one after the other, during which one thing after another breaks, for as long as asked.
// Workers and services are the same ones all the time, but for those that are killed.
func mixture(lasts time.Duration) scenario {
	return scenario{
		name:  "mixture",
		setup: setup{relayed: true, tasks: 400, limits: mainserver.Config{MemQueueSize: -1, SyncEvery: 1, MsgTimeout: 5 * time.Second}},
		whole: func(ctx context.Context, r *run) error { return r.mix(ctx, lasts) },
	}
}

// mishaps is what breaks in a mixture.
var mishaps = []func(context.Context, *run) error{
	restartNSQD(nsqdPort),
	restartNSQD(otherNSQDPort),
	killNSQDCarefully,
	killMongoDB(0, 5*time.Second),
	freezeMongoDB,
	delay,
	resets,
	killWorker,
	freezeWorker,
	restartNSQLookupd,
}

// mix does one job after the other. Tasks are published while all is whole, as the backend is on the main server.
func (r *run) mix(ctx context.Context, lasts time.Duration) error {
	if err := r.startWorkers(ctx); err != nil {
		return err
	}
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		j, err := r.submit(ctx, r.tasks)
		if err != nil {
			return err
		}
		if err := r.publish(ctx, r.server, j, 0, r.tasks); err != nil {
			return err
		}
		if err := r.waitCounted(ctx, j, 1); err != nil {
			return err
		}
		for range 1 + r.rand.IntN(3) {
			if err := wait(ctx, r.between(0, 2*time.Second)); err != nil {
				return err
			}
			if err := mishaps[r.rand.IntN(len(mishaps))](ctx, r); err != nil {
				return err
			}
			d, err := r.document(ctx, j)
			if err == nil && d.Consumed == r.tasks {
				r.faults[len(r.faults)-1].idle = true
				break
			}
		}
		if err := r.waitCounted(ctx, j, r.tasks); err != nil {
			return err
		}
	}
	return nil
}

// settled is how long after a fault's end all that is in flight is fresh: beyond the message time-out of a mixture.
const settled = 7 * time.Second

// killNSQDCarefully kills nsqd when live workers have all that is in flight, unless the job is done before that. Whatever
// the settings, nsqd has in memory alone what is in flight or deferred: it is lost when nsqd dies and no worker has it.
func killNSQDCarefully(ctx context.Context, r *run) error {
	if n := len(r.faults); n > 0 {
		if err := wait(ctx, settled-time.Since(r.faults[n-1].ended)); err != nil {
			return err
		}
	}
	d, err := r.document(ctx, r.jobs[len(r.jobs)-1])
	if err != nil {
		return err
	}
	q, err := r.server.queue(ctx, backend.Topic)
	if err != nil || q.Deferred > 0 || q.Depth == 0 || d.Consumed == r.tasks {
		return err
	}
	return killNSQD(ctx, r)
}

func restartNSQLookupd(ctx context.Context, r *run) error {
	mended := r.breaks("nsqlookupd is killed")
	r.server.kill(nsqLookupd)
	if err := wait(ctx, r.between(0, 5*time.Second)); err != nil {
		return err
	}
	if err := r.server.start(ctx, nsqLookupd); err != nil {
		return err
	}
	mended()
	return nil
}
