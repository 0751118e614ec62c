package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// scenarios is the table.
var scenarios = []scenario{
	{
		name: "nsqd-restart", about: "nsqd is stopped and started again on the same port", inCI: true,
		fault:  restartNSQD(nsqdPort),
		within: noticed,
	},
	{
		name: "nsqd-other-port", about: "nsqd is stopped and started again on another port, which nsqlookupd lists",
		fault:  restartNSQD(otherNSQDPort),
		within: noticed,
	},
	{
		name: "nsqd-killed", about: "nsqd is killed; it keeps every message on disk (mem-queue-size 0, sync-every 1)", inCI: true,
		setup:  setup{limits: onDisk},
		fault:  killNSQD,
		within: noticed,
	},
	{
		name: "nsqd-killed-memory", about: "nsqd is killed with its default memory queue: what that held is lost, and nothing else",
		fault:  killNSQDWithMemory,
		within: noticed,
	},
	{
		name: "no-nsqlookupd", about: "nsqlookupd is gone for the whole job", inCI: true,
		setup: setup{without: nsqLookupd},
	},
	{
		name: "nsqlookupd-dies", about: "nsqlookupd dies in the middle of the job, and nsqd restarts after that",
		fault: func(ctx context.Context, r *run) error {
			r.server.kill(nsqLookupd)
			r.say("nsqlookupd is killed")
			return restartNSQD(nsqdPort)(ctx, r)
		},
		within: noticed,
	},
	{
		name: "mongodb-killed", about: "MongoDB is killed and started again", inCI: true,
		fault:  killMongoDB(time.Second, 5*time.Second),
		within: noticed,
		check:  onceRecognized,
	},
	{
		name: "mongodb-away", about: "MongoDB is away for a minute (-outage) during a job of 500 tasks",
		setup: setup{tasks: 500},
		fault: func(ctx context.Context, r *run) error {
			return killMongoDB(r.opts.outage, r.opts.outage)(ctx, r)
		},
		within: noticed,
		check:  pausedOnce,
	},
	{
		name: "mongodb-frozen", about: "MongoDB is frozen (it accepts and does not answer) and thawed",
		fault:  freezeMongoDB,
		within: noticed,
		check:  pausedSoon,
	},
	{
		name: "primary-moves", about: "the primary of a replica set of three steps down or dies; its members have names that only the main server knows",
		setup:   setup{limits: threeMembers},
		fault:   movePrimary,
		within:  electionTime + noticed,
		fromCut: true,
		check:   onceRecognized,
	},
	{
		name: "all-away", about: "all services are shut down for a minute (-outage)",
		fault:  allAway(false),
		within: noticed,
	},
	{
		name: "all-killed", about: "all services are killed at once and away for a minute (-outage); nsqd keeps every message on disk",
		setup:  setup{limits: onDisk},
		fault:  allAway(true),
		within: noticed,
	},
	{
		name: "link-cut", about: "the server's cable is pulled, and plugged in again",
		setup:   setup{namespaces: true, limits: mainserver.Config{MsgTimeout: 5 * time.Second}},
		fault:   cutLink,
		within:  halfOpen,
		fromCut: true,
	},
	{
		name: "one-way-cut", about: "packets get lost in one direction only",
		setup:   setup{namespaces: true, limits: mainserver.Config{MsgTimeout: 5 * time.Second}},
		fault:   cutOneWay,
		within:  halfOpen,
		fromCut: true,
	},
	{
		name: "half-open", about: "the workers' machine gets another address: its connections stay open, and hear nothing any more",
		setup:   setup{namespaces: true, limits: mainserver.Config{MsgTimeout: 5 * time.Second}},
		fault:   moveWorkers,
		within:  halfOpen,
		fromCut: true,
	},
	{
		name: "delay", about: "what is sent arrives 200 ms later, each way",
		setup:  setup{relayed: true},
		fault:  delay,
		within: noticed,
	},
	{
		name: "resets", about: "all connections are reset every few seconds", inCI: true,
		setup:  setup{relayed: true, limits: mainserver.Config{MsgTimeout: 5 * time.Second}},
		fault:  resets,
		within: noticed,
	},
	{
		name: "forwarder", about: "nsqd is restarted behind a forwarder, which accepts connections all the same",
		setup:  setup{relayed: true},
		fault:  restartNSQD(nsqdPort),
		within: noticed,
	},
	{
		name: "dns-dead", about: "DNS dies, and nsqd restarts after that",
		setup:  setup{named: true},
		fault:  killDNS,
		within: noticed,
	},
	{
		name: "srv-moved", about: "DNS leads to a second main server, while the first goes on, and then is shut down",
		setup:  setup{named: true, twoServers: true},
		whole:  moveSRV,
		within: ttl*time.Second + 12*time.Second, // until the last answer runs out, and until it is believed that it has changed
	},
	{
		name: "worker-killed", about: "a worker is killed, and another takes its place", inCI: true,
		setup:  setup{limits: mainserver.Config{MsgTimeout: 3 * time.Second}},
		fault:  killWorker,
		within: noticed,
	},
	{
		name: "worker-frozen", about: "a worker is frozen for longer than nsqd's message time-out, and thawed; then again, until others have done its tasks",
		setup:  setup{limits: mainserver.Config{MsgTimeout: 2 * time.Second}},
		fault:  freezeWorkerTwice,
		within: noticed,
	},
	{
		name: "slow-handler", about: "some pages take longer than nsqd's message time-out",
		setup: setup{tasks: 80, limits: mainserver.Config{MsgTimeout: 2 * time.Second}, engine: engineConfig{Long: 7 * time.Second, LongNth: 10}},
		check: func(ctx context.Context, r *run, o *outcome, events []event) error {
			q, err := r.server.queue(ctx, backend.Topic)
			if err == nil && q.TimedOut > 0 {
				o.problem("%d messages timed out, though their handlers ran", q.TimedOut)
			}
			return errors.Join(err, onceRecognized(ctx, r, o, events))
		},
	},
	{
		name: "too-slow-handler", about: "some pages take longer than nsqd's max-msg-timeout, so that they are delivered again while they are read",
		setup: setup{
			// Few, so that what comes again is begun by the other worker before the first one is done.
			tasks: 24, limits: mainserver.Config{MsgTimeout: time.Second, MaxMsgTimeout: 3 * time.Second},
			engine: engineConfig{Long: 8 * time.Second, LongNth: 6},
		},
	},
}

// halfOpen is what it may take from a cut on where connections stay open, and hear nothing: their ends notice by their
// keepalive and heartbeats.
const halfOpen = 30 * time.Second

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

// onceRecognized checks that no page was recognized twice: what was recognized is kept until it is stored.
func onceRecognized(_ context.Context, r *run, o *outcome, _ []event) error {
	twice, err := r.recognizedTwice()
	if twice > 0 {
		o.problem("%d pages were recognized twice", twice)
	}
	return err
}

// pausedOnce checks what an outage of MongoDB does that is longer than the 10 s of an operation: the log of each worker says once that intake is paused, and once
// that it goes on; no page is recognized twice, and no task goes back to the queue twice.
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

// find returns the scenarios of these names, or all.
func find(names []string) ([]scenario, error) {
	if len(names) == 0 {
		return scenarios, nil
	}
	var found []scenario
	for _, name := range names {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no scenario is called %q; see -list", name)
		}
		found = append(found, scenarios[i])
	}
	return found, nil
}
