package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/gvpocr/worker/test/backend"
)

// restartNSQD stops nsqd, which writes down what it has, and starts it on a port after a while. The fault ends when nsqd
// accepts and, on another port, nsqlookupd lists it.
func restartNSQD(port int) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		mended := r.breaks("nsqd is restarted on port %d", port)
		if err := r.server.stop(nsqd); err != nil {
			return err
		}
		if err := wait(ctx, r.between(0, 10*time.Second)); err != nil {
			return err
		}
		moves := r.server.nsqdPort != port
		r.server.nsqdPort = port
		if err := r.server.start(ctx, nsqd); err != nil {
			return err
		}
		if moves {
			if err := eventually(ctx, "nsqlookupd lists nsqd", func() bool { return r.server.listed(ctx) }); err != nil {
				return err
			}
		}
		mended()
		return nil
	}
}

func killNSQD(ctx context.Context, r *run) error {
	mended := r.breaks("nsqd is killed")
	r.server.kill(nsqd)
	if err := wait(ctx, r.between(0, 10*time.Second)); err != nil {
		return err
	}
	if err := r.server.start(ctx, nsqd); err != nil {
		return err
	}
	mended()
	return nil
}

// killNSQDWithMemory kills nsqd when its /stats stand still, so that what they show in memory is what gets lost.
func killNSQDWithMemory(ctx context.Context, r *run) error {
	if err := r.server.pauseQueue(ctx, true); err != nil {
		return err
	}
	err := eventually(ctx, "nothing is in flight", func() bool {
		q, err := r.server.queue(ctx, backend.Topic)
		return err == nil && q.InFlight == 0
	})
	if err != nil {
		return err
	}
	q, err := r.server.queue(ctx, backend.Topic)
	if err != nil {
		return err
	}
	r.say("nsqd: %v", q)
	if q.inMemory == 0 {
		return errors.New("nsqd has nothing in memory that could be lost")
	}
	r.jobs[0].missing = q.inMemory
	// What comes after has to be done as ever.
	next, err := r.submit(ctx, 60)
	if err != nil {
		return err
	}
	if err := killNSQD(ctx, r); err != nil {
		return err
	}
	return errors.Join(
		r.server.pauseQueue(ctx, false),
		r.publish(ctx, r.server, next, 0, len(next.paths)),
	)
}

func killMongoDB(low, high time.Duration) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		away := r.between(low, high)
		mended := r.breaks("MongoDB is killed, and away for %v", away.Round(time.Millisecond))
		r.server.kill(mongoDB)
		if err := wait(ctx, away); err != nil {
			return err
		}
		if err := r.server.start(ctx, mongoDB); err != nil {
			return err
		}
		mended()
		return nil
	}
}

func freezeMongoDB(ctx context.Context, r *run) error {
	mended := r.breaks("MongoDB is frozen")
	if err := r.server.freeze(mongoDB); err != nil {
		return err
	}
	if err := wait(ctx, r.between(14*time.Second, 20*time.Second)); err != nil {
		return err
	}
	if err := r.server.thaw(mongoDB); err != nil {
		return err
	}
	mended()
	return nil
}

func movePrimary(ctx context.Context, r *run) error {
	mongo := r.server.running[mongoDB]
	if r.rand.IntN(2) == 0 {
		mended := r.breaks("the primary steps down")
		err := mongo.ask(stepDown)
		mended()
		return err
	}
	mended := r.breaks("the primary is killed")
	if err := mongo.ask(killPrimary); err != nil {
		return err
	}
	mended()
	if err := wait(ctx, r.between(2*time.Second, 4*time.Second)); err != nil {
		return err
	}
	r.say("it is back")
	return mongo.ask(revive)
}

func allAway(killed bool) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		mended := r.breaks("all services are away for %v", r.opts.outage)
		if killed {
			r.server.kill(nsqd, nsqLookupd, mongoDB)
		} else if err := r.server.stop(services...); err != nil {
			return err
		}
		if err := wait(ctx, r.opts.outage); err != nil {
			return err
		}
		if err := r.server.start(ctx, services...); err != nil {
			return err
		}
		mended()
		return nil
	}
}

func cutLink(ctx context.Context, r *run) error {
	mended := r.breaks("the cable is pulled")
	if err := r.link.setUp(false); err != nil {
		return err
	}
	if err := wait(ctx, r.between(2*time.Second, 20*time.Second)); err != nil {
		return err
	}
	if err := r.link.setUp(true); err != nil {
		return err
	}
	mended()
	return nil
}

func cutOneWay(ctx context.Context, r *run) error {
	toWorkers := r.rand.IntN(2) == 0
	direction := "the server"
	if toWorkers {
		direction = "the workers"
	}
	mended := r.breaks("what is sent to %s gets lost", direction)
	if err := r.link.silence(toWorkers, !toWorkers); err != nil {
		return err
	}
	if err := wait(ctx, r.between(2*time.Second, 20*time.Second)); err != nil {
		return err
	}
	if err := r.link.silence(false, false); err != nil {
		return err
	}
	mended()
	return nil
}

func moveWorkers(_ context.Context, r *run) error {
	mended := r.breaks("the workers' address changes")
	err := r.link.moveWorkers()
	mended()
	return err
}

func delay(ctx context.Context, r *run) error {
	mended := r.breaks("what is sent arrives 200 ms later")
	r.relay.setDelay(200 * time.Millisecond)
	err := wait(ctx, r.between(3*time.Second, 6*time.Second))
	r.relay.setDelay(0)
	mended()
	return err
}

func resets(ctx context.Context, r *run) error {
	mended := r.breaks("connections are reset again and again")
	for range 3 + r.rand.IntN(3) {
		if err := wait(ctx, r.between(500*time.Millisecond, 2*time.Second)); err != nil {
			return err
		}
		r.say("%d connections are reset", r.relay.resetAll())
	}
	mended()
	return nil
}

// killDNS ends DNS by silence or for good, as the seed decides.
func killDNS(ctx context.Context, r *run) error {
	if r.rand.IntN(2) == 0 {
		r.say("DNS is silent")
		r.names.silent.Store(true)
	} else {
		r.say("DNS is dead")
		r.names.Close()
		r.names = nil
	}
	// So that answers are too old, and names have to be dialed.
	if err := wait(ctx, r.between(0, ttl*time.Second)); err != nil {
		return err
	}
	return restartNSQD(nsqdPort)(ctx, r)
}

// moveSRV is the story of a job of which each of two main servers has a part.
func moveSRV(ctx context.Context, r *run) error {
	j, err := r.submit(ctx, r.tasks)
	if err != nil {
		return err
	}
	// What the first has is done before it is left: about 3 s of work.
	part := 80
	if err := r.publish(ctx, r.server, j, 0, part); err != nil {
		return err
	}
	if err := r.startWorkers(ctx); err != nil {
		return err
	}
	if err := r.waitCounted(ctx, j, 1); err != nil {
		return err
	}
	if err := wait(ctx, r.between(500*time.Millisecond, 2*time.Second)); err != nil {
		return err
	}
	if err := r.publish(ctx, r.second, j, part, r.tasks); err != nil {
		return err
	}
	moved := time.Now()
	r.names.move(r.second.ip)
	r.say("DNS leads to the second main server")
	if err := r.waitCounted(ctx, j, part+1); err != nil {
		return err
	}
	r.moved = time.Since(moved)
	r.say("the second's first task is done after %s", seconds(r.moved))
	// The first's door to MongoDB stays, since both have the same.
	return r.server.stop(nsqd, nsqLookupd)
}

func killWorker(ctx context.Context, r *run) error {
	victim := r.workers[r.rand.IntN(len(r.workers))]
	mended := r.breaks("%s is killed", victim.id)
	victim.kill()
	if err := wait(ctx, r.between(0, 2*time.Second)); err != nil {
		return err
	}
	if err := r.startWorker(ctx); err != nil {
		return err
	}
	mended()
	return nil
}

func freezeWorker(ctx context.Context, r *run) error {
	victim := r.workers[r.rand.IntN(len(r.workers))]
	mended := r.breaks("%s is frozen", victim.id)
	if err := victim.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := wait(ctx, r.between(4*time.Second, 9*time.Second)); err != nil {
		return err
	}
	if err := victim.signal(syscall.SIGCONT); err != nil {
		return err
	}
	mended()
	return nil
}

// freezeWorkerTwice freezes a worker a second time, until others have done what it has in hand.
func freezeWorkerTwice(ctx context.Context, r *run) error {
	if err := freezeWorker(ctx, r); err != nil {
		return err
	}
	if err := wait(ctx, 2*time.Second); err != nil {
		return err
	}
	victim := r.workers[r.rand.IntN(len(r.workers))]
	r.say("%s is frozen until all is done", victim.id)
	if err := victim.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := r.waitCounted(ctx, r.jobs[0], r.tasks); err != nil {
		return err
	}
	if err := victim.signal(syscall.SIGCONT); err != nil {
		return err
	}
	return wait(ctx, 2*time.Second) // it stores what it has, or would
}
