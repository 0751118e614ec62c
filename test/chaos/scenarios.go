package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		within: 12 * time.Second, // of which the last answer's TTL is most
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
