package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/ocrworker/jobs"
)

// Codes of MongoDB's answers (src/mongo/base/error_codes.yml of the server).
const (
	codeUnauthorized         = 13
	codeAuthenticationFailed = 18
)

// errInterrupted is context.Canceled in the words of the person who did it.
var errInterrupted error = interruptedError{}

type interruptedError struct{}

func (interruptedError) Error() string { return "interrupted" }
func (interruptedError) Unwrap() error { return context.Canceled }

// do runs an operation on the job documents, as jobs.Store.Do does, with errors for people.
func (c *Client) do(ctx context.Context, what string, op func(ctx context.Context, jobs *mongo.Collection) error) error {
	err := c.store.Do(ctx, what, op)
	switch {
	case err == nil, errors.Is(err, ErrNoJob):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return errInterrupted
	}
	return &mongoError{what: what, err: err}
}

// mongoError says in short what MongoDB or the way to it did. The driver's text, which describes its whole view of the
// servers, is left out; its errors are all there for errors.Is and errors.As.
type mongoError struct {
	what string
	err  error
}

func (e *mongoError) Unwrap() error { return e.err }

func (e *mongoError) Error() string {
	text := "MongoDB: " + e.what + ": " + e.cause()
	if jobs.IsOutage(e.err) {
		text += " (ocr-worker check says more)"
	}
	return text
}

func (e *mongoError) cause() string {
	if answer, ok := errors.AsType[mongo.ServerError](e.err); ok {
		switch {
		case answer.HasErrorCode(codeAuthenticationFailed):
			return "the user or the password is refused; both are in MONGO_URI, or in MONGO_USERNAME and MONGO_PASSWORD"
		case answer.HasErrorCode(codeUnauthorized):
			return "the user may not do that, or there is none; MONGO_URI, or MONGO_USERNAME and MONGO_PASSWORD, say who logs in"
		}
	}
	if dial, ok := errors.AsType[*dialer.DialError](e.err); ok {
		return dial.Error()
	}
	if selection, ok := errors.AsType[topology.ServerSelectionError](e.err); ok {
		return noServer(selection)
	}
	if lost, ok := errors.AsType[topology.ConnectionError](e.err); ok && lost.Wrapped != nil && !mongo.IsTimeout(e.err) {
		return lostWords(lost.Wrapped)
	}
	if mongo.IsTimeout(e.err) {
		return "no answer"
	}
	if answer, ok := errors.AsType[mongo.ServerError](e.err); ok {
		return answer.Error()
	}
	return e.err.Error()
}

// noServer says why none of the servers that the driver knows of could be used.
func noServer(e topology.ServerSelectionError) string {
	var causes, silent []string
	for _, server := range e.Desc.Servers {
		why := server.LastError
		if lost, ok := errors.AsType[topology.ConnectionError](why); ok && lost.Wrapped != nil {
			why = lost.Wrapped
		}
		if why == nil {
			silent = append(silent, string(server.Addr))
			continue
		}
		causes = append(causes, fmt.Sprintf("%s: %s", server.Addr, lostWords(why)))
	}
	if len(silent) > 0 {
		causes = append(causes, fmt.Sprintf("no answer of %s, or none of them is primary", strings.Join(silent, ", ")))
	}
	if len(causes) == 0 {
		return "no server was found"
	}
	return strings.Join(slices.Compact(causes), "; ")
}

func lostWords(why error) string {
	if errors.Is(why, io.EOF) {
		return "the server closes the connection, as it does when one side speaks TLS and the other does not"
	}
	return why.Error()
}
