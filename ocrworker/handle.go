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

	"github.com/cenkalti/backoff/v4"
	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/ocrworker/ocr"
	"github.com/gvpocr/worker/ocrworker/pages"
	"github.com/gvpocr/worker/ocrworker/source"
)

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
	if !w.claim(t.FirstID) {
		// Its connection was lost or its time-out passed while the work goes on. By the time it comes again, the
		// document knows the result. A copy, since nsqd's count of deliveries would take it for one that crashes workers.
		w.putBack(m, t, t.Attempt, workingDelay)
		return nil
	}
	defer w.release(t.FirstID)
	ctx, cancel := context.WithTimeoutCause(w.work, w.cfg.FileTimeout, errFileTimeout(w.cfg.FileTimeout))
	defer cancel()
	location, located := w.cfg.Roots.Locate(t.FilePath)
	file := jobs.File{
		JobID:     t.JobID,
		Path:      strings.ToValidUTF8(cmp.Or(location.Path, t.FilePath), "\uFFFD"), // a link may lead to any bytes, and BSON has text only
		Index:     *t.FileIndex,
		MessageID: t.FirstID,
	}
	err = w.process(ctx, m, t, file, located)
	w.settle(m, t, file, err)
	return nil
}

func errFileTimeout(limit time.Duration) error {
	return fmt.Errorf("not done within %v: raise OCR_FILE_TIMEOUT, and nsqd's --max-msg-timeout above it", limit)
}

// process is the story of one task. It returns nil when the file is counted.
func (w *Worker) process(ctx context.Context, m *nsq.Message, t task, file jobs.File, located error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.logger.Error("panic", "job", t.JobID, "file", t.FilePath, "panic", r, "stack", string(debug.Stack()))
			err = fail(permanent, fmt.Errorf("the worker failed on this file: %v", r))
		}
	}()
	begin := time.Now()
	var state jobs.State
	err = w.keep(ctx, func(ctx context.Context) (err error) {
		state, err = w.jobs.Classify(ctx, file)
		return err
	})
	switch {
	case err != nil:
		return err
	case state == jobs.Done:
		return nil
	case state != jobs.Pending:
		return w.keep(ctx, func(ctx context.Context) error { return w.notAdded(ctx, file) })
	}
	if m.Attempts > maxDeliveries {
		return fail(permanent, fmt.Errorf("delivered %d times without an answer: it seems to crash its workers", m.Attempts))
	}
	provider, engine, err := w.engine(t)
	if err != nil {
		return err
	}
	document, err := w.read(ctx, t, file, located)
	if err != nil {
		return err
	}
	result, err := recognize(ctx, document, engine, t)
	if err != nil {
		return err
	}
	result.Provider = provider
	result.WorkerID = w.cfg.ID
	result.Took = time.Since(begin)
	err = w.keep(ctx, func(ctx context.Context) error {
		added, err := w.jobs.AddResult(ctx, file, result)
		if err != nil || added {
			return err
		}
		return w.notAdded(ctx, file)
	})
	if jobs.IsTooLarge(err) {
		return fail(permanent, fmt.Errorf("the job's document has no room for this result of %d bytes: "+
			"MongoDB's limit is 16 MiB a document; make smaller jobs", len(result.Text)))
	}
	if err == nil {
		w.logger.Info("recognized", "job", t.JobID, "file", file.Path, "words", result.Words,
			"confidence", result.Confidence, "seconds", result.Took.Seconds())
	}
	return err
}

// keep repeats what is asked of MongoDB until it answers, so that a page that is recognized is not recognized again,
// and a task is not sent round while nobody can count it. It gives up when ctx ends.
func (w *Worker) keep(ctx context.Context, ask func(context.Context) error) error {
	waits := backoff.NewExponentialBackOff(backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	for {
		err := ask(ctx)
		_, settled := errors.AsType[*failure](err)
		if err != nil && w.work.Err() != nil {
			return err // shutting down; it says nothing about MongoDB
		}
		if settled || !jobs.IsOutage(err) {
			w.mongo.up()
			return err
		}
		w.mongo.down(err)
		timer := time.NewTimer(waits.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fail(outage, err)
		}
	}
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

// read opens the file at the first source that has it, and finds its pages.
func (w *Worker) read(ctx context.Context, t task, file jobs.File, located error) (*pages.File, error) {
	if located != nil && !errors.Is(located, fs.ErrNotExist) {
		return nil, fail(classOf(located), located)
	}
	for _, src := range w.cfg.Sources {
		f, err := src.Open(ctx, t.FilePath)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fail(classOf(err), err)
		}
		defer f.Close()
		document, err := pages.Read(f, filepath.Base(file.Path), w.cfg.Limits)
		if err != nil {
			return nil, fail(classOf(err), err)
		}
		return document, nil
	}
	return nil, fail(permanent, fmt.Errorf("file not found: %s", file.Path))
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
	return transient // an I/O error, a root that is not mounted, an engine that was killed
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
