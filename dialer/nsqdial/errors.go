package nsqdial

import (
	"errors"
	"fmt"
	"strings"
)

// ErrLost says that the connection to nsqd broke before it answered. A message that was being published may have been
// taken or not.
var ErrLost = errors.New("connection to nsqd lost")

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

// about reports whether the error is about a message that was answered too late, and not about the connection.
func (e *ServerError) aboutMessage() bool {
	switch e.Code {
	case "E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED":
		return true
	}
	return false
}
