package ocrworker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gvpocr/worker/dialer/nsqdial"
)

// binding says to which documents the tasks of one connection to an nsqd belong. The connection and its tasks use it.
type binding struct {
	// Guarded by Worker.mu; bindings use their documents.
	users int
	docs  *documents
	moved bool // docs are not those that it began with
}

// bind is called before messages are taken from an nsqd that has been connected to. It may be that of another main server: while
// it is not sure that nsqd has moved, it is bound when MongoDB has moved, too.
func (w *Worker) bind(ctx context.Context, _ string, beside any) (attached any, ended func()) {
	w.followMongoDB()
	if old, ok := beside.(*binding); ok {
		w.awaitMove(ctx, old)
	}
	b := &binding{users: 1, docs: w.useDocuments()}
	return b, func() { w.unbind(b) }
}

func (w *Worker) unbind(b *binding) {
	w.mu.Lock()
	b.users--
	last, docs := b.users == 0, b.docs
	w.mu.Unlock()
	if last {
		w.leaveDocuments(docs)
	}
}

// movePace is how often it is looked whether MongoDB has moved where nsqd may have.
const movePace = 2 * time.Second

// awaitMove returns when MongoDB is elsewhere than for a connection that was there before, or ctx ends.
func (w *Worker) awaitMove(ctx context.Context, before *binding) {
	ticker := time.NewTicker(movePace)
	defer ticker.Stop()
	for {
		w.mu.Lock()
		moved := before.moved || before.docs != w.jobs
		w.mu.Unlock()
		if moved {
			return
		}
		select {
		case <-ticker.C:
			w.followMongoDB()
		case <-ctx.Done():
			return
		}
	}
}

// useBinding gives a delivery the binding of its connection.
func (w *Worker) useBinding(d *delivery) (leave func()) {
	b, ok := nsqdial.Attached(d.message).(*binding)
	if !ok {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if b.users == 0 { // the connection is lost, and nsqd takes the message back
		return func() {}
	}
	b.users++
	d.binding = b
	return func() { w.unbind(b) }
}

// inDocuments does what is to be done in a job's document: in that of the main server that the task came from. If MongoDB has
// left there for good the job has moved with it, as when a server is replaced; if it has not, it is where it was. do
// returns errNoJob for documents that do not have the job.
func (w *Worker) inDocuments(d *delivery, do func(*documents) error) error {
	var asked []*documents
	var unknown, away error
	for {
		docs := w.nextDocuments(d.binding, asked)
		if docs == nil {
			break
		}
		err := do(docs)
		current := w.isCurrent(docs)
		w.leaveDocuments(docs)
		switch {
		case isNoJob(err):
			unknown = err
		case !current && isOutage(err):
			away = err
		default:
			return err
		}
		asked = append(asked, docs)
		w.followMongoDB() // its name may lead elsewhere by now
	}
	if away != nil { // which says nothing about the current ones, nor that there is no such job
		return fail(outage, fmt.Errorf("the main server that was left: %w", away))
	}
	return unknown
}

func isNoJob(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.class == noJob
}

// nextDocuments returns those where a job of the binding is looked for after others, or nil. The caller leaves them.
func (w *Worker) nextDocuments(b *binding, asked []*documents) *documents {
	w.mu.Lock()
	defer w.mu.Unlock()
	candidates := []*documents{w.jobs, w.former}
	if b != nil {
		w.rebindLocked(b)
		candidates = []*documents{b.docs, w.jobs, w.former}
	}
	for _, docs := range candidates {
		if docs != nil && !slices.Contains(asked, docs) {
			docs.users++
			return docs
		}
	}
	return nil
}

// rebindLocked binds a connection that stays while MongoDB has left its place for good to the current documents.
func (w *Worker) rebindLocked(b *binding) {
	select {
	case <-b.docs.left:
	default:
		return
	}
	if b.docs == w.jobs {
		return
	}
	was := b.docs
	b.docs, b.moved = w.jobs, true
	b.docs.users++
	w.flow.Go(func() { w.leaveDocuments(was) }) // which may close them
}
