package dialer

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Transport returns a new http.Transport over this Dialer, for an http.Client whose URLs have logical names. It uses no
// HTTP proxy. Its idle connections are closed as soon as the answer for a name lacks an endpoint of theirs, so that the next
// request goes where the service is now; one that is never idle, as those of HTTP/2 may be, is closed DrainAfter the
// endpoint has left. To use addresses that a service handed out, set its DialContext to that of [Dialer.Behind].
func (d *Dialer) Transport() *http.Transport {
	t := &http.Transport{
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		d.watches.mu.Lock()
		conn.(connection).state().transport = t
		d.watches.mu.Unlock()
		return conn, nil
	}
	return t
}
