package ocrworker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/gvpocr/worker/dialer/nsqdial"
)

// service is what a worker needs of its main server, and how to see that it is there.
type service struct {
	name, address string
	check         func(ctx context.Context) error
}

func (w *Worker) services() []service {
	list := []service{{"mongodb", strings.Join(w.mongoHosts, ","), func(ctx context.Context) error {
		docs := w.useDocuments()
		defer w.leaveDocuments(docs)
		return docs.Ping(ctx)
	}}}
	if w.cfg.NSQD != "" {
		list = append(list, service{"nsqd", w.cfg.NSQD, func(ctx context.Context) error {
			return nsqdial.Ping(ctx, w.cfg.Dialer, w.cfg.NSQD, w.queueConfig())
		}})
	}
	for _, address := range w.cfg.Lookupds {
		list = append(list, service{"nsqlookupd", address, func(ctx context.Context) error {
			return nsqdial.PingLookupd(ctx, w.cfg.Dialer, address)
		}})
	}
	return list
}

// announceServices logs for each service that its connection is successful, or that it fails and, later, that it is
// successful. It returns a function that waits for that to end, which it does with ctx.
func (w *Worker) announceServices(ctx context.Context) (wait func()) {
	var checks sync.WaitGroup
	for _, s := range w.services() {
		checks.Go(func() { w.announce(ctx, s) })
	}
	return checks.Wait
}

func (w *Worker) announce(ctx context.Context, s service) {
	log := w.logger.With("service", s.name, "address", s.address)
	for failures := 0; ; failures++ {
		err := s.check(ctx)
		if err == nil {
			log.Info("connection successful") // what operators look for in the logs
			return
		}
		if ctx.Err() != nil {
			return
		}
		level := slog.LevelDebug
		if failures == 0 {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "connection failed; the worker goes on and tries again", "error", err)
		timer := time.NewTimer(time.Second/2 + rand.N(time.Second))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
