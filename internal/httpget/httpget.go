// Package httpget asks small questions of a server over HTTP: one connection each, no redirect, and never more of an answer
// than the one who asks is ready to hold.
package httpget

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxHeader bounds an answer's header, in bytes.
const maxHeader = 64 << 10

// ErrTooLarge says that an answer is larger than was asked for.
var ErrTooLarge = errors.New("the answer is larger than was asked for")

// Answer is what a server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Client returns a client that dials with dial and keeps nothing open.
func Client(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		// Who asks one question in a minute pays less for a connection each than for one that is kept.
		Transport: &http.Transport{
			DialContext:            dial,
			DisableKeepAlives:      true,
			DisableCompression:     true, // what is small packed may be large unpacked
			MaxResponseHeaderBytes: maxHeader,
		},
		// A redirect would lead away from the server that was named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Get asks for u and reads at most most bytes of the body. A longer one is an error that wraps ErrTooLarge, with the answer
// so far. Errors do not repeat u.
func Get(ctx context.Context, client *http.Client, u string, most int64) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return Answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err == nil && int64(len(body)) > most {
		body, err = body[:most], fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	}
	return Answer{resp.StatusCode, resp.Header, body}, err
}
