package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// patience is how long a worker may take to answer. It answers from memory; only one that is frozen takes longer.
	patience = 3 * time.Second

	// greetTimeout bounds how long a worker asks its services, when it is asked whether it is ready.
	greetTimeout = 2 * time.Second

	// ExplainTimeout bounds an explanation, which may have to ask a name server.
	ExplainTimeout = 15 * time.Second

	maxAnswer = 1 << 20
)

// Running is a worker that runs on this machine under this user.
type Running struct {
	Worker
	path string
}

// ErrNone says that no worker runs.
var ErrNone = errors.New("no worker runs here under this user")

// Find returns the running workers, those named id if it is not empty. With ask they ask their services now. The error wraps ErrNone, or says which worker does
// not answer; the others are returned all the same.
func Find(ctx context.Context, id string, ask bool) ([]Running, error) {
	query, limit := url.Values{}, patience
	if ask {
		query.Set("ask", "")
		limit += greetTimeout
	}
	dir := folder()
	var found []Running
	var errs []error
	paths := sockets(dir)
	if len(paths) > 0 {
		if err := checkFolder(dir); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
	}
	for _, path := range paths {
		if !mayBe(filepath.Base(path), id) {
			continue
		}
		w := Running{path: path}
		err := w.ask(ctx, "/status", query, limit, &w.Worker)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
			// A worker was killed and could not remove it, or has ended in this moment.
		case err != nil:
			errs = append(errs, fmt.Errorf("a worker does not answer (%s): %w", filepath.Base(path), err))
		case id == "" || w.ID == id:
			found = append(found, w)
		}
	}
	if len(found)+len(errs) == 0 && id != "" {
		return nil, fmt.Errorf("%w with the name %s", ErrNone, id)
	}
	if len(found)+len(errs) == 0 {
		return nil, ErrNone
	}
	return found, errors.Join(errs...)
}

// Explain asks the worker what a dial of address would do now.
func (w Running) Explain(ctx context.Context, address string) (Explanation, error) {
	var e Explanation
	err := w.ask(ctx, "/explain", url.Values{"address": {address}}, ExplainTimeout+patience, &e)
	return e, err
}

func sockets(dir string) []string {
	entries, _ := os.ReadDir(dir) // no folder, no workers
	var paths []string
	for _, e := range entries {
		if e.Type()&fs.ModeSocket != 0 {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

func (w Running) ask(ctx context.Context, path string, query url.Values, limit time.Duration, answer any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", w.path)
		},
	}
	u := url.URL{Scheme: "http", Host: "worker", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers with status %d", resp.StatusCode)
		}
		err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(answer)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
