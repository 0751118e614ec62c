package ocrworker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/ocrworker/ocr"
	"github.com/gvpocr/worker/ocrworker/pages"
	"github.com/gvpocr/worker/ocrworker/source"
)

// delivery is one message while it is worked on.
type delivery struct {
	message *nsq.Message
	task    task
	file    jobs.File
	binding *binding // to the documents where the file's job is
	located error    // why Roots does not have the file
	waited  bool     // for a dependency that was away: what is left of its time may be short

	done       chan struct{} // closed when the work has ended
	handedOver bool          // the message is answered and a copy is in the queue, while the work goes on; guarded by Worker.mu
}

// HandleMessage works on one message, from its body to its answer. It is called by the consumer.
func (w *Worker) HandleMessage(m *nsq.Message) error {
	w.handling.Add(1)
	defer w.handling.Done()
	m.DisableAutoResponse()
	t, err := decodeTask(m)
	if err != nil {
		w.deadLetter(m, err)
		return nil
	}
	d := &delivery{message: m, task: t, done: make(chan struct{})}
	if !w.claim(d) {
		// Its connection was lost or its time-out passed while the work goes on. By the time it comes again, the
		// document knows the result. A copy, since nsqd's count of deliveries would take it for one that crashes workers.
		w.putBack(d, t.Attempt, workingDelay)
		return nil
	}
	defer w.release(d)
	defer w.useBinding(d)()
	ctx, cancel := context.WithTimeoutCause(w.work, w.cfg.FileTimeout, errFileTimeout(w.cfg.FileTimeout))
	defer cancel()
	w.locate(d)
	w.settle(d, w.process(ctx, d))
	return nil
}

// locate finds out where the file is, and so the key of its result.
func (w *Worker) locate(d *delivery) {
	location, err := w.cfg.Roots.Locate(d.task.FilePath)
	d.located = err
	d.file = jobs.File{
		JobID:     d.task.JobID,
		Path:      strings.ToValidUTF8(cmp.Or(location.Path, d.task.FilePath), "\uFFFD"), // a link may lead to any bytes, and BSON has text only
		Index:     *d.task.FileIndex,
		MessageID: d.task.FirstID,
	}
}

func errFileTimeout(limit time.Duration) error {
	return fmt.Errorf("not done within %v: raise OCR_FILE_TIMEOUT, and nsqd's --max-msg-timeout above it", limit)
}

// process is the story of one task. It returns nil when the file is counted.
func (w *Worker) process(ctx context.Context, d *delivery) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.logger.Error("panic", "job", d.task.JobID, "file", d.task.FilePath, "panic", r, "stack", string(debug.Stack()))
			err = fail(permanent, fmt.Errorf("the worker failed on this file: %v", r))
		}
	}()
	begin := time.Now()
	state, err := w.classify(ctx, d)
	switch {
	case err != nil:
		return err
	case state == jobs.Done:
		return nil
	case state != jobs.Pending:
		return w.store(ctx, d, func(ctx context.Context) error {
			return w.inDocuments(d, func(docs *documents) error { return notAdded(ctx, docs, d) })
		})
	}
	if d.message.Attempts > maxDeliveries {
		return fail(permanent, fmt.Errorf("delivered %d times without an answer: it seems to crash its workers", d.message.Attempts))
	}
	provider, engine, err := w.engine(d.task)
	if err != nil {
		return err
	}
	document, err := w.find(ctx, d)
	var result jobs.Result
	if err == nil {
		result, err = recognize(ctx, document, engine, d.task)
	}
	if err != nil && ctx.Err() != nil && d.waited {
		return fail(outage, fmt.Errorf("an outage took the time of the task: %w", err))
	}
	if err != nil {
		return err
	}
	result.Provider = provider
	result.WorkerID = w.cfg.ID
	result.Took = time.Since(begin)
	err = w.store(ctx, d, func(ctx context.Context) error {
		return w.inDocuments(d, func(docs *documents) error {
			added, err := docs.AddResult(ctx, d.file, result)
			if err != nil || added {
				return err
			}
			return notAdded(ctx, docs, d)
		})
	})
	if jobs.IsTooLarge(err) {
		return fail(permanent, fmt.Errorf("the job's document has no room for this result of %d bytes: "+
			"MongoDB's limit is 16 MiB a document; make smaller jobs", len(result.Text)))
	}
	if err == nil {
		w.logger.Info("recognized", "job", d.file.JobID, "file", d.file.Path, "words", result.Words,
			"confidence", result.Confidence, "seconds", result.Took.Seconds(), "deliveries", d.message.Attempts)
	}
	return err
}

// engine chooses the engine of a task.
func (w *Worker) engine(t task) (name string, engine ocr.Engine, err error) {
	if t.Mode != "" && t.Mode != "single" {
		return "", nil, fail(w.cfg.unknown(), fmt.Errorf("processing_mode %q is not offered by this worker; it offers single", t.Mode))
	}
	name = cmp.Or(t.Provider, w.cfg.DefaultEngine)
	engine, ok := w.cfg.Engines[name]
	if !ok {
		return "", nil, fail(w.cfg.unknown(), fmt.Errorf("provider %q is not on; this worker has %s", name, w.cfg.engineNames()))
	}
	return name, engine, nil
}

// read opens a file at a source, and finds its pages.
func (w *Worker) read(ctx context.Context, src source.Source, d *delivery) (*pages.File, error) {
	f, err := src.Open(ctx, d.task.FilePath)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return pages.Read(f, filepath.Base(d.file.Path), w.cfg.Limits)
}

// classOf tells what another try can't mend: what is wrong with the path, the file or the page itself.
func classOf(err error) class {
	if _, ok := errors.AsType[*pages.Error](err); ok || ocr.IsPermanent(err) {
		return permanent
	}
	for _, never := range []error{source.ErrPath, source.ErrOutside, source.ErrNotFile, fs.ErrPermission, fs.ErrNotExist} {
		if errors.Is(err, never) {
			return permanent
		}
	}
	return transient // an I/O error, an engine that was killed, a root that is not configured
}

// recognize reads a file page by page. A page that can't be read leaves its error in the text and the others stand, as
// long as one of them can be read.
func recognize(ctx context.Context, document *pages.File, engine ocr.Engine, t task) (jobs.Result, error) {
	result := jobs.Result{
		Languages: t.Languages, Handwriting: t.Handwriting, Retries: t.Attempt, Pages: document.Len(), Size: document.Size,
	}
	var texts []string
	var errs []error
	for page, err := range document.Pages() {
		var r ocr.Result
		if err == nil {
			r, err = engine.Recognize(ctx, ocr.Page{
				Number: page.Number, Image: page.Data, DPI: page.DPI, Languages: t.Languages, Handwriting: t.Handwriting,
			})
		}
		switch {
		case ctx.Err() != nil:
			return result, fail(permanent, context.Cause(ctx))
		case err != nil && classOf(err) != permanent:
			return result, fail(transient, err)
		case err != nil && document.Len() == 1:
			return result, fail(permanent, err)
		case err != nil:
			errs = append(errs, err)
			texts = append(texts, fmt.Sprintf("--- Page %d (Error) ---\n%v", page.Number, err))
			continue
		}
		result.Confidence += r.Confidence
		result.Blocks += r.Blocks
		result.Words += r.Words
		result.DetectedLanguage = cmp.Or(result.DetectedLanguage, r.Language)
		if document.Len() > 1 {
			r.Text = fmt.Sprintf("--- Page %d ---\n%s", page.Number, r.Text)
		}
		texts = append(texts, r.Text)
	}
	recognized := document.Len() - len(errs)
	if recognized == 0 {
		return result, fail(permanent, fmt.Errorf("none of %d pages can be read: %w", document.Len(), errs[0]))
	}
	result.Confidence /= float64(recognized)
	result.Text = strings.TrimSpace(strings.Join(texts, "\n\n"))
	return result, nil
}
