// Package batch makes jobs and follows them, as the main server's backend does: a document in MongoDB, a message for
// each file, and counts that have to agree in the end.
package batch

import (
	"context"
	"errors"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/ocrworker/jobs"
)

// Topic is where workers take tasks from.
const Topic = "bulk_ocr_file_tasks"

// Config says where the main server is.
type Config struct {
	Dialer   *dialer.Dialer // the caller's to close
	MongoURI string
	NSQD     string      // where tasks are published; empty for a Client that publishes none
	NSQ      *nsq.Config // TLS, secret and compression towards nsqd; nil = nsqdial's defaults
}

// Client makes and reads jobs. It is safe for concurrent use; Close ends it.
type Client struct {
	store    *jobs.Store
	producer *nsqdial.Producer // nil without NSQD
}

// Open returns a Client. It opens no connection. The error names the setting that is wrong.
func Open(cfg Config) (*Client, error) {
	if cfg.MongoURI == "" {
		return nil, errors.New("MONGO_URI is not set")
	}
	c := &Client{}
	var err error
	if cfg.NSQD != "" {
		if c.producer, err = nsqdial.NewProducer(nsqdial.ProducerConfig{Dialer: cfg.Dialer, NSQD: cfg.NSQD, NSQ: cfg.NSQ}); err != nil {
			return nil, err
		}
	}
	if c.store, err = jobs.Open(jobs.Config{URI: cfg.MongoURI, Dialer: cfg.Dialer}); err != nil {
		if c.producer != nil {
			c.producer.Close()
		}
		return nil, err
	}
	return c, nil
}

// Close disconnects.
func (c *Client) Close() error {
	if c.producer != nil {
		c.producer.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return c.store.Close(ctx)
}
