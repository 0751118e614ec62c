package ocrworker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/ocrworker/jobs"
)

// Worker takes tasks from the queue and stores their results. Run runs it, once.
type Worker struct {
	cfg    Config
	logger *slog.Logger
	jobs   *jobs.Store
	mongo  outageLog

	work     context.Context // of the handlers; ends when a shutdown's time is up
	stopWork context.CancelFunc
	handling sync.WaitGroup

	mu     sync.Mutex // guards active
	active map[string]bool
}

// New returns a Worker. It opens no connection. The error names the setting that is wrong.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	store, err := jobs.Open(jobs.Config{URI: cfg.MongoURI, Dialer: cfg.Dialer, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, logger: cfg.Logger, jobs: store, active: map[string]bool{}}
	w.mongo.logger = cfg.Logger
	w.work, w.stopWork = context.WithCancel(context.Background())
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
		Logger:      w.logger,
	}, w)
	if err != nil {
		return err
	}
	announced := w.announceServices(ctx)
	<-ctx.Done()
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

// closeTimeout is how long a cancelled handler may take: one that waits for the kernel to read from a share that hangs
// can't be ended.
const closeTimeout = time.Second

// close ends what the handlers still do and waits for them.
func (w *Worker) close() {
	w.stopWork()
	ended := make(chan struct{})
	go func() {
		w.handling.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTimeout):
		w.logger.Warn("a task does not end, as when a share hangs; leaving it")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := w.jobs.Close(ctx); err != nil {
		w.logger.Debug("close", "error", err)
	}
}

// claim takes a task for this process, unless it works on it already.
func (w *Worker) claim(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active[id] {
		return false
	}
	w.active[id] = true
	return true
}

func (w *Worker) release(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.active, id)
}
