package nsqdial

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/httpget"
)

// Ping connects to an nsqd, makes itself known, and leaves: what a consumer or producer does first. cfg is as in
// ConsumerConfig.
func Ping(ctx context.Context, d *dialer.Dialer, nsqd string, cfg *nsq.Config) error {
	config, err := nsqConfig(cfg)
	if err != nil {
		return err
	}
	s, err := sessionConfig{cfg: config, logger: orSilent(nil)}.open(ctx, d.DialContext, nsqd)
	if err != nil {
		return err
	}
	s.finish()
	return nil
}

// PingLookupd asks a nsqlookupd for a sign of life. The address is as in ConsumerConfig.
func PingLookupd(ctx context.Context, d *dialer.Dialer, address string) error {
	u, err := lookupURL(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	answer, err := httpget.Get(ctx, httpget.Client(d.DialContext), u.JoinPath("../ping").String(), 16)
	switch {
	case err != nil && !errors.Is(err, httpget.ErrTooLarge):
		return fmt.Errorf("nsqlookupd %s: %w", u.Host, err)
	case answer.Status != http.StatusOK || string(answer.Body) != "OK":
		return fmt.Errorf("nsqlookupd %s: it answers a ping with status %d", u.Host, answer.Status)
	}
	return nil
}
