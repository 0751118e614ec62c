package nsqdial

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("../ping").String(), nil)
	if err != nil {
		return err
	}
	resp, err := lookupClient(d).Do(req)
	if err != nil {
		return withoutURL(u, err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(io.LimitReader(resp.Body, 16)); err != nil || resp.StatusCode != http.StatusOK || string(body) != "OK" {
		return fmt.Errorf("nsqlookupd %s: it answers a ping with status %d", u.Host, resp.StatusCode)
	}
	return nil
}
