package ocrworker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gvpocr/worker/dialer/nsqdial"
)

// Worker takes tasks from the queue and stores their results. Run runs it, once.
type Worker struct {
	cfg        Config
	mongoHosts []string // of the URI
	logger     *slog.Logger
	mongo      *gate            // before jobs; the intake is its limit
	gates      map[string]*gate // before sources, by what may be away

	work     context.Context // of the handlers; ends when a shutdown's time is up
	stopWork context.CancelFunc
	draining context.Context // ends when a shutdown begins
	drain    context.CancelFunc
	handling sync.WaitGroup
	flow     sync.WaitGroup // of what keeps the intake in step with MongoDB

	mu      sync.Mutex // guards the fields below
	jobs    *documents
	former  *documents // nil = MongoDB has not moved of late
	active  map[string]*delivery
	waiting int // tasks that wait for a source
}

// New returns a Worker. It opens no connection. The error names the setting that is wrong.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, logger: cfg.Logger, active: map[string]*delivery{}}
	if w.jobs, err = w.openDocuments(); err != nil {
		return nil, err
	}
	w.mongoHosts = w.jobs.Hosts()
	w.mongo = w.mongoGate()
	w.gates = w.sourceGates()
	w.work, w.stopWork = context.WithCancel(context.Background())
	w.draining, w.drain = context.WithCancel(w.work)
	return w, nil
}

// Run works until ctx ends. Then it takes no more tasks, waits ShutdownTimeout for those that it works on, puts the
// others back in the queue, and closes its connections. It returns nil after a clean drain, and an error that says how
// many tasks went back otherwise. A service that is down does not end it.
func (w *Worker) Run(ctx context.Context) error {
	defer w.close()
	w.logger.Info("worker starts", "worker", w.cfg.ID, "concurrency", w.cfg.Concurrency, "providers", w.cfg.engineNames())
	consumer, err := nsqdial.NewConsumer(nsqdial.ConsumerConfig{
		Dialer:      w.cfg.Dialer,
		Topic:       topic,
		Channel:     channel,
		Lookupds:    w.cfg.Lookupds,
		NSQDs:       w.cfg.nsqds(),
		MaxInFlight: w.cfg.Concurrency,
		NSQ:         w.queueConfig(),
		Connected:   w.bind,
		Logger:      w.logger,
	}, w)
	if err != nil {
		return err
	}
	w.flow.Go(w.announceFolders) // a share may hang
	w.flow.Go(func() { w.mongo.watch(w.work) })
	w.mu.Lock()
	docs := w.jobs
	w.mu.Unlock()
	w.watchDocuments(docs)
	w.flow.Go(func() { w.throttle(consumer.SetMaxInFlight) })
	announced := w.announceServices(ctx)
	<-ctx.Done()
	w.drain()
	w.logger.Info("worker stops", "tasks", consumer.Stats().InFlight, "within", w.cfg.ShutdownTimeout)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.ShutdownTimeout)
	defer cancel()
	err = consumer.Stop(drain)
	announced()
	if err != nil {
		return fmt.Errorf("worker %s: %w", w.cfg.ID, err)
	}
	w.logger.Info("worker stopped", "worker", w.cfg.ID)
	return nil
}

// Paused returns why the worker takes no tasks: MongoDB is away, refuses its user, or was not asked yet. It returns nil
// while tasks are taken. It asks nothing now, and may be called at any time, also before Run.
func (w *Worker) Paused() error { return w.mongo.away() }

// closeTimeout is how long a cancelled handler may take: one that waits for the kernel to read from a share that hangs
// can't be ended.
const closeTimeout = time.Second

// close ends what the handlers still do and waits for them.
func (w *Worker) close() {
	w.stopWork()
	ended := make(chan struct{})
	go func() {
		w.handling.Wait()
		w.flow.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTimeout):
		w.logger.Warn("a task does not end, as when a share hangs; leaving it")
	}
	w.mu.Lock()
	docs := w.jobs
	w.mu.Unlock()
	w.closeDocuments(docs)
}

// claim makes d the one delivery of its task that this process works on. It reports false if another one is. Where that
// only waits for MongoDB to take its result, the message is not needed any more once it has, so claim waits too.
func (w *Worker) claim(d *delivery) bool {
	for {
		other, handedOver := w.claimed(d)
		if other == nil {
			return true
		}
		if !handedOver {
			return false
		}
		select {
		case <-other.done:
		case <-w.draining.Done():
			return false
		}
	}
}

func (w *Worker) claimed(d *delivery) (by *delivery, handedOver bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other := w.active[d.task.FirstID]; other != nil {
		return other, other.handedOver
	}
	w.active[d.task.FirstID] = d
	return nil, false
}

func (w *Worker) release(d *delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.active, d.task.FirstID)
	close(d.done)
}
