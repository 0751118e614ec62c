package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/ocrworker"
	"github.com/gvpocr/worker/ocrworker/ocr"
	"github.com/gvpocr/worker/test/backend"
)

// What a fleet may cost a main server, and a worker its machine.
const (
	fleetSize      = 200
	maxBusiest     = 0.25 // of the fleet's first connections to a service, in the busiest 100 ms
	maxBack        = 10 * time.Second
	maxGoroutines  = 40
	maxDescriptors = 14
)

// fleet is many workers in this process, each with a dialer of its own.
type fleet struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	dialed  []dialed
	stopped []error
}

// dialed is a connection that was made.
type dialed struct {
	at     time.Time
	worker int
	port   string
}

// measureScale restarts the main server of a fleet, and says how it comes back and what a worker costs at rest.
func measureScale(ctx context.Context, opts options) (err error) {
	runtime.MemProfileRate = 1 // every allocation: a worker holds little
	r := &run{scenario: scenario{name: "scale", setup: setup{named: true}}, opts: opts, seed: 1, rand: rand.New(rand.NewPCG(1, 1)), start: time.Now()}
	r.applyDefaults()
	if r.dir, err = os.MkdirTemp("", "chaos-scale"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	r.pages = filepath.Join(r.dir, "files")
	defer func() {
		var o outcome
		err = errors.Join(err, r.close(&o))
	}()
	if err := r.prepare(ctx); err != nil {
		return err
	}

	before := takeStock()
	f, err := r.startFleet(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := r.waitClients(ctx, fleetSize); err != nil {
		return err
	}
	r.say("%d workers are connected", fleetSize)
	// Until what the start has left is gone: spares are made, connections on trial settled.
	if err := wait(ctx, 10*time.Second); err != nil {
		return err
	}
	atRest := time.Now()
	if err := wait(ctx, 4*ttl*time.Second); err != nil {
		return err
	}
	rest := takeStock().since(before)
	asked := r.names.between(atRest, time.Now())
	rest.questions = float64(len(asked)) / time.Since(atRest).Seconds()
	rest.busiest = busiest(asked, time.Second)

	went := time.Now()
	mended := r.breaks("the main server is away for %v", opts.outage)
	if err := r.server.stop(services...); err != nil {
		return err
	}
	if err := wait(ctx, opts.outage); err != nil {
		return err
	}
	returns := time.Now()
	if err := r.server.start(ctx, services...); err != nil {
		return err
	}
	mended()
	up := time.Now()
	if err := r.waitClients(ctx, fleetSize); err != nil {
		return err
	}
	if err := eventually(ctx, "all are connected to MongoDB", func() bool { return len(f.firsts(returns, mongoPort)) == fleetSize }); err != nil {
		return err
	}
	back := time.Since(up)
	r.say("all are back %s after the last service accepts", seconds(back))
	// Late ones count too: spares, the driver's pool.
	if err := wait(ctx, 5*time.Second); err != nil {
		return err
	}
	ok := f.report(r, rest, went, returns, up, back)

	j, err := r.submit(ctx, 1000)
	if err == nil {
		err = r.publish(ctx, r.server, j, 0, len(j.paths))
	}
	if err == nil {
		err = r.finish(ctx)
	}
	if err != nil {
		return err
	}
	d, err := r.document(ctx, j)
	if err != nil {
		return err
	}
	if c := j.examine(d); len(c.problems) > 0 {
		return errors.New(strings.Join(c.problems, "; "))
	}
	r.say("a job of %d tasks: each is counted once", len(j.paths))
	if !ok {
		return errors.New("a limit does not hold")
	}
	return nil
}

func (r *run) startFleet(ctx context.Context) (*fleet, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &fleet{stop: cancel}
	engine, err := json.Marshal(engineConfig{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond, Record: os.DevNull})
	if err != nil {
		return nil, err
	}
	for i := range fleetSize {
		w, err := r.newMember(f, i, engine)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		f.running.Go(func() {
			err := w.run(ctx)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.stopped = append(f.stopped, err)
		})
	}
	return f, nil
}

// member is a worker of the fleet.
type member struct {
	*ocrworker.Worker
	dialer *dialer.Dialer
	engine *standIn
}

// newMember configures a worker as its command does, but for the engine, the log, and a dial function that takes notes.
func (r *run) newMember(f *fleet, i int, engine []byte) (member, error) {
	env := r.environment(fmt.Sprintf("worker-%d", i))
	cfg, err := ocrworker.ConfigFromEnv(env)
	if err != nil {
		return member{}, err
	}
	cfg.Dialer.Close() // ours takes its place
	dial, err := dialer.ConfigFromEnv(env)
	if err != nil {
		return member{}, err
	}
	dial.Spares = map[string]int{"mongodb-proxy": 2} // as the worker's default
	dial.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, address)
		if err == nil {
			_, port, _ := net.SplitHostPort(address)
			f.mu.Lock()
			f.dialed = append(f.dialed, dialed{time.Now(), i, port})
			f.mu.Unlock()
		}
		return conn, err
	}
	m := member{}
	if m.dialer, err = dialer.New(dial); err != nil {
		return m, err
	}
	if m.engine, err = newStandIn(engine); err != nil {
		return m, err
	}
	cfg.Dialer, cfg.Engines, cfg.Logger = m.dialer, map[string]ocr.Engine{provider: m.engine}, slog.New(slog.DiscardHandler)
	m.Worker, err = ocrworker.New(cfg)
	return m, err
}

func (m member) run(ctx context.Context) error {
	return errors.Join(m.Run(ctx), m.dialer.Close(), m.engine.close())
}

func (f *fleet) close() error {
	f.stop()
	f.running.Wait()
	return errors.Join(f.stopped...)
}

// waitClients waits until nsqd has n consumers of tasks.
func (r *run) waitClients(ctx context.Context, n int) error {
	return eventually(ctx, fmt.Sprintf("nsqd has %d consumers", n), func() bool {
		q, err := r.server.queue(ctx, backend.Topic)
		return err == nil && len(q.clients) == n
	})
}

// firsts returns when each worker made its first connection to a port since a time.
func (f *fleet) firsts(since time.Time, port int) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := map[int]time.Time{}
	for _, d := range f.dialed {
		if d.port == fmt.Sprint(port) && !d.at.Before(since) && first[d.worker].IsZero() {
			first[d.worker] = d.at
		}
	}
	var times []time.Time
	for _, t := range first {
		times = append(times, t)
	}
	return times
}

// since returns when connections to any port were made since a time.
func (f *fleet) since(since time.Time) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var times []time.Time
	for _, d := range f.dialed {
		if !d.at.Before(since) {
			times = append(times, d.at)
		}
	}
	return times
}

// connected returns how many connections to a port were made since a time.
func (f *fleet) connected(since time.Time, port int) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.dialed {
		if d.port == fmt.Sprint(port) && !d.at.Before(since) {
			n++
		}
	}
	return n
}

// busiest is the most times within any window.
func busiest(times []time.Time, window time.Duration) (most int) {
	times = slices.SortedFunc(slices.Values(times), time.Time.Compare)
	first := 0
	for i, t := range times {
		for t.Sub(times[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// report prints what was measured, and tells whether all limits hold.
func (f *fleet) report(r *run, rest stock, went, returns, up time.Time, back time.Duration) bool {
	const window = 100 * time.Millisecond
	ok := true
	t := table.NewWriter()
	t.SetOutputMirror(os.Stdout)
	t.AppendHeader(table.Row{"what", "measured", "limit", ""})
	line := func(what, measured, limit string, holds bool) {
		verdict := ""
		if limit != "" && holds {
			verdict = "ok"
		} else if limit != "" {
			verdict, ok = "FAULT", false
		}
		t.AppendRow(table.Row{what, measured, limit, verdict})
	}
	for _, service := range []struct {
		name string
		port int
	}{{"nsqd", nsqdPort}, {"MongoDB", mongoPort}, {"nsqlookupd", lookupdPort}} {
		firsts := f.firsts(returns, service.port)
		most := busiest(firsts, window)
		share := float64(most) / fleetSize
		limit := fmt.Sprintf("%.0f %%", 100*maxBusiest)
		line("first reconnects to "+service.name+" in the busiest 100 ms",
			fmt.Sprintf("%d of %d (%.0f %%)", most, len(firsts), 100*share), limit, share <= maxBusiest)
		line("all new connections to "+service.name, fmt.Sprint(f.connected(returns, service.port)), "", true)
	}
	all := f.since(returns)
	line("all new connections in the busiest 100 ms", fmt.Sprint(busiest(all, window)), "", true)
	line("all are back after", seconds(back), seconds(maxBack), back <= maxBack)
	line(fmt.Sprintf("DNS questions a second at rest (TTL %d s)", ttl), fmt.Sprintf("%.0f, %d in the busiest", rest.questions, rest.busiest), "", true)
	line("DNS questions in the busiest second of the outage", fmt.Sprint(busiest(r.names.between(went, returns), time.Second)), "", true)
	line("DNS questions in the busiest second of the return", fmt.Sprint(busiest(r.names.between(returns, up.Add(back)), time.Second)), "", true)
	perWorker := func(n int) float64 { return float64(n) / fleetSize }
	line("goroutines of a worker at rest", fmt.Sprintf("%.1f", perWorker(rest.goroutines)), fmt.Sprint(maxGoroutines), perWorker(rest.goroutines) <= maxGoroutines)
	line("descriptors of a worker at rest", fmt.Sprintf("%.1f", perWorker(rest.descriptors)), fmt.Sprint(maxDescriptors), perWorker(rest.descriptors) <= maxDescriptors)
	line("memory of a worker at rest", fmt.Sprintf("%.0f KiB of heap, %.0f KiB of stacks", perWorker(rest.heap)/1024, perWorker(rest.stacks)/1024), "", true)
	t.Render()
	rest.print()
	return ok
}

// stock is what this process holds.
type stock struct {
	goroutines, descriptors, heap, stacks int
	goroutinesOf, heapOf                  map[string]int // by holder

	questions float64 // to DNS in a second
	busiest   int     // the same, in the busiest second
}

func takeStock() stock {
	runtime.GC()
	runtime.GC() // the profile is of the collection before the last
	s := stock{goroutines: runtime.NumGoroutine(), goroutinesOf: map[string]int{}, heapOf: map[string]int{}}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.heap, s.stacks = int(m.HeapAlloc), int(m.StackInuse)
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.descriptors = len(open)
	}
	goroutines := make([]runtime.StackRecord, s.goroutines+100)
	n, _ := runtime.GoroutineProfile(goroutines)
	for _, g := range goroutines[:n] {
		s.goroutinesOf[holder(g.Stack(), true)]++
	}
	n, _ = runtime.MemProfile(nil, false)
	allocated := make([]runtime.MemProfileRecord, n+1000)
	n, _ = runtime.MemProfile(allocated, false)
	for _, a := range allocated[:n] {
		s.heapOf[holder(a.Stack(), false)] += int(a.InUseBytes())
	}
	return s
}

// holder is the package that has begun a goroutine, or that an allocation is for: the outermost or the innermost that is
// not the standard library's.
func holder(stack []uintptr, outermost bool) string {
	found := "the standard library"
	frames := runtime.CallersFrames(stack)
	for {
		frame, more := frames.Next()
		path, rest, _ := strings.Cut(frame.Function, "/")
		if strings.Contains(path, ".") && rest != "" {
			last := strings.LastIndex(frame.Function, "/")
			pkg, _, _ := strings.Cut(frame.Function[last:], ".")
			found = frame.Function[:last] + pkg
			if !outermost {
				return found
			}
		}
		if !more {
			return found
		}
	}
}

func (s stock) since(before stock) stock {
	s.goroutines -= before.goroutines
	s.descriptors -= before.descriptors
	s.heap -= before.heap
	s.stacks -= before.stacks
	for holder, n := range before.goroutinesOf {
		s.goroutinesOf[holder] -= n
	}
	for holder, n := range before.heapOf {
		s.heapOf[holder] -= n
	}
	return s
}

// print shows who holds what, of one worker.
func (s stock) print() {
	t := table.NewWriter()
	t.SetOutputMirror(os.Stdout)
	t.AppendHeader(table.Row{"holder", "goroutines", "KiB of heap"})
	holders := map[string]bool{}
	for holder := range s.goroutinesOf {
		holders[holder] = true
	}
	for holder := range s.heapOf {
		holders[holder] = true
	}
	sorted := slices.SortedFunc(maps.Keys(holders), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.heapOf[b], s.heapOf[a]), cmp.Compare(a, b))
	})
	for _, holder := range sorted {
		goroutines, kib := float64(s.goroutinesOf[holder])/fleetSize, float64(s.heapOf[holder])/fleetSize/1024
		if goroutines >= 0.05 || kib >= 1 {
			t.AppendRow(table.Row{holder, fmt.Sprintf("%.1f", goroutines), fmt.Sprintf("%.0f", kib)})
		}
	}
	t.Render()
}
