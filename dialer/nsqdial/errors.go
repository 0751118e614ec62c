package nsqdial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
)

// ErrLost says that the connection to nsqd broke before it answered. A message that was being published may have been
// taken or not.
var ErrLost = errors.New("connection to nsqd lost")

// handshakeError is why a connection that stood is of no use.
type handshakeError struct {
	nsqd string
	err  error
}

func (e *handshakeError) Error() string { return e.nsqd + ": " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// lasting reports whether err may last until a person mends it: it is what a server says in the handshake, and not that
// it is gone.
func lasting(err error) bool {
	if _, ok := errors.AsType[*handshakeError](err); !ok {
		return false
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return false
	}
	return !slices.ContainsFunc([]error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, os.ErrDeadlineExceeded, context.Canceled,
	}, func(gone error) bool { return errors.Is(err, gone) })
}

// errNoTLS says that nsqd would go on without the TLS that it was asked for.
var errNoTLS = errors.New("nsqd offers no TLS, and the configuration asks for it (TlsV1, NSQ_TLS)")

func errSecured(field, host string) error {
	return fmt.Errorf("nsqdial: %s: the Dialer secures %s (its TLS, DIALER_TLS), but nsqd begins without TLS and negotiates it: "+
		"set TlsV1 and TlsConfig in NSQ instead (NSQ_TLS)", field, host)
}

// ServerError is an error that nsqd answered.
type ServerError struct {
	Code string // E_BAD_TOPIC, E_UNAUTHORIZED, …
	Text string
}

func (e *ServerError) Error() string { return fmt.Sprintf("nsqd says %s: %s", e.Code, e.Text) }

func serverError(data []byte) *ServerError {
	const most = 300 // the text comes from outside and ends in a log
	code, text, _ := strings.Cut(string(data[:min(len(data), most)]), " ")
	return &ServerError{Code: code, Text: strings.ToValidUTF8(text, "?")}
}

// aboutMessage reports whether the error is about a message that was answered too late, and not about the connection.
func (e *ServerError) aboutMessage() bool {
	switch e.Code {
	case "E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED":
		return true
	}
	return false
}
