package ocrworker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/ocrworker/jobs"
)

// class says what becomes of a task that failed.
type class int

const (
	permanent  class = iota // another try would fail alike: record the error
	transient               // another try may do better: at most maxTries, then record the error
	outage                  // of MongoDB: nothing is wrong with the task. Put it back, no try is lost
	sourceAway              // likewise, of the source that may have the file
	noJob                   // as transient, but there is no document that could hold the error: in the end a dead letter
	elsewhere               // another worker of the fleet may have what this one lacks
)

type failure struct {
	class class
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(c class, err error) error { return &failure{c, err} }

const (
	maxTries = 3

	// maxDeliveries guards against a task that kills its worker: nsqd's count rises with every delivery, ours with
	// every failure that was seen.
	maxDeliveries = 20

	outageDelay    = 5 * time.Second  // nobody takes it while the gate is closed
	sourceDelay    = 10 * time.Second // it is taken again: the queue can't tell which tasks need the source
	elsewhereDelay = 10 * time.Second
	workingDelay   = 10 * time.Second // until what this process works on is asked for again

	// recordTimeout is how long an error waits for MongoDB before its message is handed over: the file's time may be over by
	// then, and nsqd's comes soon after.
	recordTimeout = 30 * time.Second

	deadTopic = "bulk_ocr_file_tasks_dead"
)

// retryDelay is 2 s, then 8 s: long enough for a share that is remounted, short beside a page's time.
func retryDelay(attempt int) time.Duration {
	return 2 * time.Second << (2 * min(attempt, maxTries))
}

// settle answers a message according to how its task ended.
func (w *Worker) settle(d *delivery, err error) {
	m, attempt := d.message, d.task.Attempt
	log := w.logger.With("job", d.file.JobID, "file", d.file.Path, "message", string(m.ID[:]))
	if w.work.Err() != nil {
		m.RequeueWithoutBackoff(0) // shutting down; whatever failed did so for that
		return
	}
	if err == nil {
		m.Finish()
		return
	}
	f := &failure{transient, err}
	errors.As(err, &f)
	switch {
	case f.class == permanent:
		w.recordError(d, f.err)
	case m.HasResponded():
		log.Info("the task's copy in the queue is tried next", "error", f.err)
	case f.class == outage:
		log.Info("task goes back to the queue until the outage ends", "error", f.err)
		w.putBack(d, attempt, outageDelay)
	case f.class == sourceAway:
		log.Debug("task goes back to the queue until its file can be read", "error", f.err)
		w.putBack(d, attempt, sourceDelay)
	case f.class == elsewhere && m.Attempts < maxDeliveries:
		log.Info("task goes back to the queue for another worker", "error", f.err)
		m.RequeueWithoutBackoff(elsewhereDelay)
	case f.class == elsewhere:
		w.recordError(d, f.err)
	case attempt+1 < maxTries:
		log.Warn("task failed; it is tried again", "attempt", attempt+1, "of", maxTries, "error", f.err)
		w.putBack(d, attempt+1, retryDelay(attempt))
	case f.class == noJob:
		w.deadLetter(m, fmt.Errorf("given up after %d tries: %w", maxTries, f.err))
	default:
		w.recordError(d, fmt.Errorf("given up after %d tries: %w", maxTries, f.err))
	}
}

// recordError stores why a file has no result.
func (w *Worker) recordError(d *delivery, reason error) {
	// Not the task's context: its time may be up, which is what has to be recorded.
	ctx, cancel := context.WithTimeout(w.work, recordTimeout)
	defer cancel()
	err := w.store(ctx, d, func(ctx context.Context) error { return w.count(ctx, d, reason) })
	f, _ := errors.AsType[*failure](err)
	switch {
	case w.work.Err() != nil:
		d.message.RequeueWithoutBackoff(0)
	case err == nil:
		w.logger.Warn("error recorded", "job", d.file.JobID, "file", d.file.Path, "error", reason)
		d.message.Finish()
	case d.message.HasResponded():
		w.logger.Warn("the task's copy in the queue is tried next", "job", d.file.JobID, "file", d.file.Path, "error", err)
	case f != nil && f.class == outage:
		w.putBack(d, d.task.Attempt, outageDelay)
	default:
		w.deadLetter(d.message, fmt.Errorf("%w; and that can't be recorded: %w", reason, err))
	}
}

// count adds the error, or finds that another worker counted the file, or that it is a second link to one.
func (w *Worker) count(ctx context.Context, d *delivery, reason error) error {
	return w.inDocuments(d, func(docs *documents) error {
		added, err := docs.AddError(ctx, d.file, reason.Error())
		if err != nil || added {
			return err
		}
		return notAdded(ctx, docs, d)
	})
}

func errNoJob(d *delivery) error { return fmt.Errorf("no job %s", d.file.JobID) }

// notAdded asks why an update matched nothing, and does what is left to do.
func notAdded(ctx context.Context, docs *documents, d *delivery) error {
	state, err := docs.Classify(ctx, d.file)
	if err != nil {
		return err
	}
	switch state {
	case jobs.NoJob:
		return fail(noJob, errNoJob(d))
	case jobs.Duplicate:
		_, err := docs.AddDuplicate(ctx, d.file)
		return err
	case jobs.Pending:
		// It was refused a moment ago: somebody takes entries out of the document. The next try sees what it is then.
		return fail(transient, fmt.Errorf("job %s changed while its result was stored", d.file.JobID))
	}
	return nil // counted by another delivery
}

// putBack publishes a copy of the task to the nsqd that it came from, and finishes the message. A crash in between
// leaves both, of which only one is counted, since they share the first message's id.
func (w *Worker) putBack(d *delivery, attempt int, delay time.Duration) {
	body, err := d.task.withAttempt(d.message.Body, attempt)
	if err == nil {
		err = w.publish(d.message, topic, delay, body)
	}
	w.finishIf(d.message, err)
}

// deadLetter publishes the body, byte for byte, to the topic of what can't be recorded.
func (w *Worker) deadLetter(m *nsq.Message, reason error) {
	err := w.publish(m, deadTopic, 0, m.Body)
	w.logger.Error("dead letter", "topic", deadTopic, "message", string(m.ID[:]), "deliveries", m.Attempts, "reason", reason)
	w.finishIf(m, err)
}

func (w *Worker) publish(m *nsq.Message, topic string, delay time.Duration, body []byte) error {
	ctx, cancel := context.WithTimeout(w.work, publishTimeout)
	defer cancel()
	return nsqdial.Publish(ctx, m, topic, delay, body)
}

// publishTimeout is beyond the time in which a dead connection is noticed by its heartbeats.
const publishTimeout = 30 * time.Second

// finishIf finishes a message whose copy is published. Otherwise it goes back as it is: a message is never lost, even if
// a try is then not counted.
func (w *Worker) finishIf(m *nsq.Message, err error) {
	if err == nil {
		m.Finish()
		return
	}
	w.logger.Warn("the copy was not taken; the message itself goes back", "message", string(m.ID[:]), "error", err)
	m.RequeueWithoutBackoff(outageDelay)
}
