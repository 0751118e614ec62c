package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gvpocr/worker/test/backend"
)

// run is one scenario with one seed: a main server, workers, a job, and what happens to them. It is used by one
// goroutine.
type run struct {
	scenario
	seed  uint64
	opts  options
	rand  *rand.Rand
	start time.Time

	dir   string // of logs and data
	pages string // what workers see as their folder of files

	server, second *server // second is nil but in scenarios with two
	relay          *relay  // nil if workers reach the server directly
	relayIP        string
	link           *link       // nil if all are on the machine's own network
	names          *nameServer // nil if workers know the server's address
	backend        *backend.Backend
	workers        []*worker
	jobs           []*job
	faults         []fault
	moved          time.Duration // from when DNS leads elsewhere to the first task from there
}

// fault is something that was broken, and when it was whole again.
type fault struct {
	name         string
	began, ended time.Time
	idle         bool // nothing was left to do at its end, so that it can't be told how long that took to be noticed
}

// outcome is what came of a run.
type outcome struct {
	scenario string
	seed     uint64
	counts
	first, fresh time.Duration // see latency; negative if there is none
	took         time.Duration
	skipped      string
	dir          string
}

func (o outcome) ok() bool { return len(o.problems) == 0 }

// play runs a scenario.
func play(ctx context.Context, s scenario, seed uint64, opts options) (o outcome) {
	o = outcome{scenario: s.name, seed: seed, first: -1, fresh: -1}
	h := fnv.New64a()
	h.Write([]byte(s.name))
	r := &run{scenario: s, seed: seed, opts: opts, rand: rand.New(rand.NewPCG(seed, h.Sum64())), start: time.Now()}
	r.setup.applyDefaults()
	if r.within > 0 {
		r.within += opts.slack
	}
	defer func() { o.took = time.Since(r.start) }()
	var err error
	// Workers store paths that are free of symbolic links, and a system's temporary folder may be one.
	if r.dir, err = os.MkdirTemp(opts.dir, fmt.Sprintf("%s-%d-", s.name, seed)); err == nil {
		r.dir, err = filepath.EvalSymlinks(r.dir)
	}
	if err != nil {
		o.problem("%v", err)
		return o
	}
	o.dir = r.dir
	r.pages = filepath.Join(r.dir, "files")
	if s.namespaces {
		if r.link, err = newLink(); err != nil {
			o.skipped = err.Error()
			return o
		}
	}
	err = r.prepare(ctx)
	if err == nil {
		err = r.story(ctx)
	}
	if err == nil {
		err = r.finish(ctx)
	}
	if err != nil {
		o.problem("%v", err)
	}
	if err := r.judge(ctx, &o); err != nil {
		o.problem("%v", err)
	}
	if err := r.close(&o); err != nil {
		o.problem("%v", err)
	}
	r.say("%d tasks, %d lost, %d twice, %d tries burnt", o.tasks, o.lost, o.twice, o.burnt)
	for _, problem := range o.problems {
		r.say("FAULT: %s", problem)
	}
	return o
}

func (r *run) say(format string, args ...any) {
	r.opts.say(fmt.Sprintf("%-22s %6.2fs  %s", fmt.Sprintf("%s/%d", r.name, r.seed), time.Since(r.start).Seconds(), fmt.Sprintf(format, args...)))
}

// between is a random time, which the seed decides.
func (r *run) between(low, high time.Duration) time.Duration {
	return low + time.Duration(r.rand.Int64N(int64(max(high-low, 1))))
}

// prepare starts all but the workers.
func (r *run) prepare(ctx context.Context) error {
	ip := serverIP
	var block string
	if r.link == nil {
		var err error
		if block, err = freeBlock(); err != nil {
			return err
		}
		ip = block + "1"
	}
	var at *namespace
	if r.link != nil {
		at = r.link.server
	}
	r.server = newServer(ip, at, filepath.Join(r.dir, "server"), r.limits)
	running := slices.DeleteFunc(slices.Clone(services), func(s string) bool { return s == r.without })
	if err := r.server.start(ctx, running...); err != nil {
		return err
	}
	if r.twoServers {
		r.second = newServer(block+"2", nil, filepath.Join(r.dir, "second"), r.limits)
		if err := r.second.start(ctx, nsqLookupd, nsqd); err != nil {
			return err
		}
		// Both main servers have one MongoDB.
		door, err := newRelay(r.second.ip, r.server.ip, mongoPort)
		if err != nil {
			return err
		}
		r.door = door
	}
	if r.relayed {
		var err error
		r.relayIP = block + "3"
		if r.relay, err = newRelay(r.relayIP, r.server.ip, mongoPort, nsqdPort, otherNSQDPort, lookupdPort); err != nil {
			return err
		}
	}
	if r.named {
		var err error
		if r.names, err = newNameServer(r.server.ip); err != nil {
			return err
		}
	}
	var err error
	if r.backend, err = backend.ConnectBy(at.dial, r.server.mongoURI(), r.server.address(nsqdPort)); err != nil {
		return err
	}
	for _, s := range []*server{r.server, r.second} {
		if s != nil {
			if err := s.prepareQueue(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// freeBlock finds 127.a.b. of which no address is used, so that each main server has the ports that it has in the
// field. All of 127/8 is the machine's own on Linux.
func freeBlock() (string, error) {
	var err error
	for range 100 {
		block := fmt.Sprintf("127.%d.%d.", 1+rand.N(254), 1+rand.N(254))
		free := true
		for _, host := range []string{"1", "2", "3"} {
			var l net.Listener
			if l, err = net.Listen("tcp", net.JoinHostPort(block+host, fmt.Sprint(mongoPort))); err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return block, nil
		}
	}
	return "", fmt.Errorf("no free addresses on the loopback interface (on macOS only 127.0.0.1 is there): %w", err)
}

// story is a run from the first task to the fault's end.
func (r *run) story(ctx context.Context) error {
	if r.whole != nil {
		return r.whole(ctx, r)
	}
	j, err := r.submit(ctx, r.tasks)
	if err != nil {
		return err
	}
	if err := r.publish(ctx, r.server, j, 0, r.tasks); err != nil {
		return err
	}
	if err := r.startWorkers(ctx); err != nil {
		return err
	}
	if err := r.waitCounted(ctx, j, 1); err != nil {
		return err
	}
	if r.fault == nil {
		return nil
	}
	if err := wait(ctx, r.between(500*time.Millisecond, 1500*time.Millisecond)); err != nil {
		return err
	}
	return r.fault(ctx, r)
}

func (r *run) startWorkers(ctx context.Context) error {
	for range r.workerCount {
		if err := r.startWorker(ctx); err != nil {
			return err
		}
	}
	r.say("%d workers, %d tasks at a time each", r.workerCount, r.concurrency)
	return nil
}

// breaks notes that something breaks, and returns what notes that it is whole again.
func (r *run) breaks(format string, args ...any) (mended func()) {
	name := fmt.Sprintf(format, args...)
	r.say("%s", name)
	r.faults = append(r.faults, fault{name: name, began: time.Now()})
	at := len(r.faults) - 1
	return func() {
		r.faults[at].ended = time.Now()
		r.say("mended: %s", name)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// patience is how long nothing may happen before a run is given up.
const patience = 90 * time.Second

// eventually polls until a condition holds.
func eventually(ctx context.Context, what string, holds func() bool) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("this did not happen within %v: %s", patience, what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (r *run) waitCounted(ctx context.Context, j *job, n int) error {
	return eventually(ctx, fmt.Sprintf("%d results are stored", n), func() bool {
		d, err := r.document(ctx, j)
		return err == nil && d.Consumed >= n
	})
}

// finish waits until all jobs are done and nothing of them is left in a queue, or nothing has happened for too long.
func (r *run) finish(ctx context.Context) error {
	last, lastChange := -1, time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		counted, missing, done := 0, 0, true
		for _, j := range r.jobs {
			d, err := r.document(ctx, j)
			counted += d.Consumed
			missing += j.missing
			done = done && err == nil && d.Consumed >= len(j.paths)-j.missing
		}
		var left []string
		for _, s := range []*server{r.server, r.second} {
			if s == nil || s.running[nsqd] == nil {
				continue
			}
			q, err := s.queue(ctx, backend.Topic)
			if err != nil || !q.idle() {
				left = append(left, fmt.Sprintf("in the queue: %v %v", q, err))
			}
		}
		if done && len(left) == 0 {
			return nil
		}
		if counted != last {
			last, lastChange = counted, time.Now()
		}
		if time.Since(lastChange) > patience {
			return fmt.Errorf("%d files are counted, and nothing happens any more; %s", counted, strings.Join(left, "; "))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close ends all that runs. Workers have to end in an orderly way, and to leave nothing behind.
func (r *run) close(o *outcome) error {
	var errs []error
	for _, w := range r.workers {
		errs = append(errs, w.end())
	}
	if r.backend != nil {
		errs = append(errs, r.backend.Close())
	}
	r.relay.close()
	r.door.close()
	r.names.close()
	for _, s := range []*server{r.server, r.second} {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	if r.link != nil {
		r.link.close()
	}
	_, problems, err := r.events()
	for _, p := range problems {
		o.problem("%s", p)
	}
	errs = append(errs, err)
	err = errors.Join(errs...)
	if err == nil && o.ok() && !r.opts.keep {
		err = os.RemoveAll(r.dir)
	}
	return err
}
