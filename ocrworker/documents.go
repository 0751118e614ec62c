package ocrworker

import (
	"context"
	"time"

	"github.com/gvpocr/worker/ocrworker/jobs"
)

// documents are the job documents of one main server. When DNS leads to another one, the result of a task goes to the server
// that the task came from.
type documents struct {
	*jobs.Store

	// Guarded by Worker.mu. The last user of documents that are not the current ones any more closes them.
	users   int
	retired bool

	left   <-chan struct{} // closed when MongoDB has left their place for good
	closed chan struct{}
}

func (w *Worker) openDocuments() (*documents, error) {
	store, err := jobs.Open(jobs.Config{URI: w.cfg.MongoURI, Dialer: w.cfg.Dialer, Logger: w.cfg.Logger, OnePlace: true})
	if err != nil {
		return nil, err
	}
	return &documents{Store: store, left: store.Left(), closed: make(chan struct{})}, nil
}

// useDocuments returns the current ones: of the main server that MongoDB's name led to last.
func (w *Worker) useDocuments() *documents {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs.users++
	return w.jobs
}

func (w *Worker) leaveDocuments(docs *documents) {
	w.mu.Lock()
	docs.users--
	last := docs.retired && docs.users == 0
	w.mu.Unlock()
	if last {
		w.closeDocuments(docs)
	}
}

func (w *Worker) closeDocuments(docs *documents) {
	close(docs.closed)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := docs.Close(ctx); err != nil {
		w.logger.Debug("close", "error", err)
	}
}

// followMongoDB opens documents at the place where MongoDB's name leads now, if that is another one.
func (w *Worker) followMongoDB() {
	docs := w.useDocuments()
	defer w.leaveDocuments(docs)
	from, moved := docs.Moved(w.work)
	if !moved {
		return
	}
	next, err := w.openDocuments()
	if err != nil {
		w.logger.Error("MongoDB has moved, and can't be connected to anew", "from", from, "error", err)
		return
	}
	docs.Keep(from)
	if !w.succeed(docs, next) { // another call was quicker
		w.closeDocuments(next)
		return
	}
	w.logger.Info("MongoDB has moved; tasks that come from there are stored there", "from", from)
	w.watchDocuments(next)
	w.flow.Go(func() { w.hold(docs) })
}

// formerHold is how long jobs are looked for at the main server that was left, too: longer than answers are kept, so that all of
// its names have left.
const formerHold = 10 * time.Minute

// hold ends what succeed has begun: the use of documents as the former ones.
func (w *Worker) hold(docs *documents) {
	timer := time.NewTimer(formerHold)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.work.Done():
	}
	w.mu.Lock()
	if w.former == docs {
		w.former = nil
	}
	w.mu.Unlock()
	w.leaveDocuments(docs)
}

// succeed reports false if docs are not the current ones any more. Otherwise next are, and docs, the former ones, get a user.
func (w *Worker) succeed(docs, next *documents) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.jobs != docs {
		return false
	}
	docs.retired = true
	docs.users++
	w.jobs, w.former = next, docs
	return true
}

// watchDocuments follows MongoDB when it has left the place of docs for good, before the connections to there are closed.
func (w *Worker) watchDocuments(docs *documents) {
	w.flow.Go(func() {
		select {
		case <-docs.left:
		case <-docs.closed:
			return
		case <-w.work.Done():
			return
		}
		ticker := time.NewTicker(movePace)
		defer ticker.Stop()
		for range 10 { // an answer may be in the way for a moment
			w.followMongoDB()
			if !w.isCurrent(docs) {
				return
			}
			select {
			case <-ticker.C:
			case <-w.work.Done():
				return
			}
		}
	})
}

func (w *Worker) isCurrent(docs *documents) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return docs == w.jobs
}
