package check

import (
	"context"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/internal/printable"
	"github.com/gvpocr/worker/internal/services"
)

// Greeter asks services for a sign of life, by a running worker's own dialer and as the worker would connect. It is safe
// for concurrent use.
type Greeter struct {
	dialer *dialer.Dialer
	uri    mongoURI
	nsq    *nsq.Config
}

// NewGreeter returns a Greeter; mongoURI and nsq are as in Config.
func NewGreeter(d *dialer.Dialer, mongoURI string, nsq *nsq.Config) *Greeter {
	return &Greeter{d, readURI(mongoURI), nsq}
}

// Greet connects to a service, greets it in its protocol, and leaves. Nobody logs in. The error is that of the connection or
// of the protocol; its text is fit to be shown.
func (g *Greeter) Greet(ctx context.Context, s services.Service) error {
	if err := g.greet(ctx, s); err != nil {
		return &shownError{err}
	}
	return nil
}

// shownError is an error with other words.
type shownError struct{ error }

func (e *shownError) Error() string { return printable.Error(e.error) }
func (e *shownError) Unwrap() error { return e.error }

func (g *Greeter) greet(ctx context.Context, s services.Service) error {
	switch s.Kind {
	case services.NSQD:
		return nsqdial.Ping(ctx, g.dialer, s.Address, g.nsq)
	case services.NSQLookupd:
		return nsqdial.PingLookupd(ctx, g.dialer, s.Address)
	case services.MongoDB:
		return (&line{dialer: g.dialer}).speakMongoDB(ctx, s.Address, g.uri, &said{})
	}
	return (&line{dialer: g.dialer}).speakNothing(ctx, s.Address, &said{})
}
