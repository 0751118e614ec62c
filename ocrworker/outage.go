package ocrworker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/ocrworker/pages"
	"github.com/gvpocr/worker/ocrworker/source"
)

const (
	// unbegunHold is how long a task that nothing was done for waits for MongoDB. Then it goes back to the queue: if only
	// this worker can't reach MongoDB, another one gets it.
	unbegunHold = 2 * time.Minute

	// sourceHold is how long a task waits for a source. lastPlaceHold is how long it does if all others wait already: the
	// queue can't be asked for tasks that need another source, so this place looks for them, a task a second.
	sourceHold    = time.Minute
	lastPlaceHold = time.Second

	// A task gives up when it has failed so often while its dependency gave signs of life: it keeps out others. MongoDB's
	// failures are never the task's fault, so it goes back without a lost try.
	mongoStrikes  = 10
	sourceStrikes = 2
)

// mongoGate returns the gate before MongoDB, closed until MongoDB has answered for the first time.
func (w *Worker) mongoGate() *gate {
	g := newGate("MongoDB", w.cfg.Concurrency, isOutage, w.logger)
	g.stops, g.resumes = "intake is paused", "intake goes on"
	g.ping = w.pingMongo
	g.reachable = w.mongoReachable
	g.startClosed()
	return g
}

// isOutage also sees questions that end as a failure of the task: MongoDB has answered them.
func isOutage(err error) bool {
	_, settled := errors.AsType[*failure](err)
	return !settled && jobs.IsOutage(err)
}

// pingMongo adds to the driver's error, which is that its time was up, why nothing could be dialed.
func (w *Worker) pingMongo(ctx context.Context) error {
	docs := w.useDocuments()
	defer w.leaveDocuments(docs)
	err := docs.Ping(ctx)
	if err == nil {
		return nil
	}
	for _, host := range w.mongoHosts {
		if health, _ := w.cfg.Dialer.Health(host); health.Err != nil {
			return fmt.Errorf("%w (%s: %w)", err, host, health.Err)
		}
	}
	return err
}

// mongoReachable asks the dialer whether one of MongoDB's hosts can be dialed.
func (w *Worker) mongoReachable() (ready bool, changed <-chan struct{}) {
	for _, host := range w.mongoHosts {
		health, c := w.cfg.Dialer.Health(host)
		if changed == nil {
			changed = c // the earliest of channels that are all closed by a change of any
		}
		ready = ready || health.Ready
	}
	return ready, changed
}

// throttle keeps the intake at what the gate before MongoDB allows.
func (w *Worker) throttle(setMaxInFlight func(int)) {
	last := w.cfg.Concurrency
	for w.work.Err() == nil {
		n, changed := w.mongo.limit()
		if n != last {
			setMaxInFlight(n)
			last = n
		}
		select {
		case <-changed:
		case <-w.work.Done():
		}
	}
}

// classify asks what the job document says of the file.
func (w *Worker) classify(ctx context.Context, d *delivery) (state jobs.State, err error) {
	hold, cancel := context.WithTimeout(ctx, unbegunHold)
	defer cancel()
	defer context.AfterFunc(w.draining, cancel)()
	err = w.ask(hold, d, func(ctx context.Context) error {
		return w.inDocuments(d, func(docs *documents) error {
			if state, err = docs.Classify(ctx, d.file); err == nil && state == jobs.NoJob {
				return fail(noJob, errNoJob(d))
			}
			return err
		})
	})
	return state, err
}

// ask puts a question to MongoDB as soon as its gate lets it through, and again after an outage. It fails with the class
// outage when it would have to wait after wait has ended. The question itself is not cut short by that.
func (w *Worker) ask(wait context.Context, d *delivery, question func(context.Context) error) error {
	var own strikes
	for {
		asked, err := w.mongo.try(w.work, question)
		if w.work.Err() != nil {
			return err // shutting down; it says nothing about MongoDB
		}
		if asked && !isOutage(err) {
			return err
		}
		d.waited = true
		if asked && own.add(w.mongo) >= mongoStrikes {
			return fail(outage, err)
		}
		if err := w.mongo.await(wait); err != nil {
			return fail(outage, err)
		}
	}
}

func isAway(err error) bool {
	_, ok := errors.AsType[*errAway](err)
	return ok
}

// store puts a question to MongoDB that has the outcome of a task, and does not give it up for an outage: when wait ends,
// the message goes back to the queue as a copy, so that nsqd does not count its time-out as a delivery, and the outcome
// waits on here, for which the copy will be found to be done. If this process ends before MongoDB is back, the copy is left.
func (w *Worker) store(wait context.Context, d *delivery, question func(context.Context) error) error {
	err := w.ask(wait, d, question)
	if !isAway(err) || w.work.Err() != nil {
		return err
	}
	w.logger.Info("task goes back to the queue, its outcome is kept until the outage ends",
		"job", d.file.JobID, "file", d.file.Path, "error", err)
	w.mu.Lock()
	d.handedOver = true
	w.mu.Unlock()
	if !d.message.HasResponded() {
		w.putBack(d, d.task.Attempt, outageDelay)
	}
	return w.ask(w.work, d, question)
}

// sourceGates returns a gate for each thing that may be away by itself: the roots of the disk, and other sources.
func (w *Worker) sourceGates() map[string]*gate {
	gates := map[string]*gate{}
	for i, src := range w.cfg.Sources {
		for _, path := range []string{"", "newsletters/"} {
			what := w.neededOf(i, src, path)
			gates[what] = newGate(what, 0, source.IsAway, w.logger)
		}
	}
	return gates
}

// neededOf names what has to be there for a task's path to be read from a source.
func (w *Worker) neededOf(i int, src source.Source, path string) string {
	if _, disk := src.(*source.Disk); !disk {
		return fmt.Sprintf("file source %d", i+1)
	}
	if news := w.cfg.Roots.Newsletters; strings.HasPrefix(path, "newsletters/") || news != "" && strings.HasPrefix(path, news+"/") {
		return "the folder " + news
	}
	return "the folder " + w.cfg.Roots.GVPOCR
}

// find reads the file at the first source that has it. If none has, and one is away that might, it waits for that one.
func (w *Worker) find(ctx context.Context, d *delivery) (*pages.File, error) {
	if d.located != nil && !errors.Is(d.located, fs.ErrNotExist) && !d.rootIsAway() {
		return nil, fail(classOf(d.located), d.located)
	}
	own := map[*gate]*strikes{}
	var hold context.Context
	for {
		document, away, err := w.readAny(ctx, d)
		if away == nil {
			if d.rootIsAway() {
				w.locate(d) // it came back between: now it is known where its links lead
			}
			return document, err
		}
		if !isAway(err) {
			if own[away] == nil {
				own[away] = &strikes{}
			}
			if own[away].add(away) >= sourceStrikes {
				return nil, fail(transient, err)
			}
		}
		d.waited = true
		if hold == nil {
			var cancel func()
			hold, cancel = w.holdForSource(ctx)
			defer cancel()
		}
		if err := away.await(hold); err != nil {
			return nil, fail(sourceAway, err)
		}
	}
}

// rootIsAway reports whether the file's root is not there, though it is configured.
func (d *delivery) rootIsAway() bool {
	return source.IsAway(d.located) && filepath.IsAbs(d.file.Path)
}

// readAny asks the sources in order. When none has the file, away is the gate of the first that could not be asked.
func (w *Worker) readAny(ctx context.Context, d *delivery) (document *pages.File, away *gate, err error) {
	for i, src := range w.cfg.Sources {
		g := w.gates[w.neededOf(i, src, d.task.FilePath)]
		asked, e := g.try(ctx, func(ctx context.Context) (err error) {
			document, err = w.read(ctx, src, d)
			return err
		})
		switch {
		case e == nil:
			return document, nil, nil
		case ctx.Err() != nil:
			return nil, nil, fail(permanent, context.Cause(ctx))
		case !asked || source.IsAway(e):
			if away == nil {
				away, err = g, e
			}
		case !errors.Is(e, fs.ErrNotExist):
			return nil, nil, fail(classOf(e), e)
		}
	}
	if away == nil {
		err = fail(permanent, fmt.Errorf("file not found: %s", d.file.Path))
	}
	return nil, away, err
}

// holdForSource returns a context that ends when a task has to stop waiting for a source.
func (w *Worker) holdForSource(ctx context.Context) (hold context.Context, cancel func()) {
	w.mu.Lock()
	w.waiting++
	limit := sourceHold
	if w.waiting >= w.cfg.Concurrency {
		limit = lastPlaceHold
	}
	w.mu.Unlock()
	hold, end := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(w.draining, end)
	return hold, func() {
		stop()
		end()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting--
	}
}
