package main

import (
	"cmp"
	"context"
	"time"

	"github.com/gvpocr/worker/test/mainserver"
	"github.com/gvpocr/worker/test/mongotest"
)

// scenario is a job, and what happens while it is done.
type scenario struct {
	name, about string
	setup

	// fault happens 0.5 to 1.5 s after the first result. Nil means that nothing does.
	fault func(ctx context.Context, r *run) error

	// whole takes the place of the usual story: submit, start workers, wait for the first result, fault.
	whole func(ctx context.Context, r *run) error

	// within is what the first result of a task that is begun after a fault's end may take, from there; with fromCut, from
	// the fault's beginning. Zero means that it does not matter.
	within  time.Duration
	fromCut bool

	// check looks for more than each run is judged by.
	check func(ctx context.Context, r *run, o *outcome, events []event) error

	inCI bool // one of those that the tests run
}

// setup is what a scenario runs on.
type setup struct {
	tasks       int               // default 250
	workerCount int               // default 2
	concurrency int               // of each worker; default 2
	engine      engineConfig      // pages take 50 to 250 ms by default
	limits      mainserver.Config // of nsqd and MongoDB
	without     string            // a service that never starts
	env         []string          // of workers, beside the usual

	relayed    bool   // workers reach the server through a relay
	namespaces bool   // workers and server have a network of their own each, and a cable between
	named      bool   // workers find the server by DNS
	twoServers bool   // there is a second main server, with the same MongoDB
	door       *relay // before the second one's MongoDB
}

func (s *setup) applyDefaults() {
	s.tasks = cmp.Or(s.tasks, 250)
	s.workerCount = cmp.Or(s.workerCount, 2)
	s.concurrency = cmp.Or(s.concurrency, 2)
	s.engine.Min = cmp.Or(s.engine.Min, 50*time.Millisecond)
	s.engine.Max = cmp.Or(s.engine.Max, 250*time.Millisecond)
}

// serverIP is the main server's where it has a network of its own.
const serverIP = "10.77.0.1"

// onDisk makes nsqd write each message to disk before it says that it has it.
var onDisk = mainserver.Config{MemQueueSize: -1, SyncEvery: 1}

// electionTime is how long a replica set has no primary.
const electionTime = time.Second

// threeMembers is a replica set whose members have names that only the main server knows.
var threeMembers = mainserver.Config{Mongo: mongotest.Config{
	ReplicaSet: "gvpocr", ElectionTime: electionTime,
	Members: []string{"gvpocr-mongo-0:27017", "gvpocr-mongo-1:27018", "gvpocr-mongo-2:27019"},
}}

// noticed is what the return of a service may take to be noticed.
const noticed = 2 * time.Second
