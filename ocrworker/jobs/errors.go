package jobs

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
)

// Codes of MongoDB's answers (src/mongo/base/error_codes.yml of the server).
const codeAuthenticationFailed = 18

// maxDocument is MongoDB's limit, in bytes.
const maxDocument = 16 << 20

// errTooLarge: no document can hold the result. It is found before it is sent: a server cuts the connection at a message
// of 48 MB, which would look like an outage.
var errTooLarge = errors.New("the result is larger than a document can be")

var (
	// tooLarge: the document would grow beyond 16 MiB.
	tooLarge = []int{10334, 17419, 17420}

	// serverAway: the server can't do it now and another, or the same one later, can: not primary, shutting down, in
	// recovery, starting up, or it refuses the user, which an operator has to mend while the work waits.
	serverAway = []int{6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 50, 13, codeAuthenticationFailed}
)

// IsTooLarge reports whether an update was refused because the job document would pass MongoDB's limit of 16 MiB.
func IsTooLarge(err error) bool {
	return errors.Is(err, errTooLarge) || isCode(err, tooLarge...)
}

// IsOutage reports whether err says that MongoDB can't be asked at the moment, and nothing of what was asked: no
// server, no connection, no answer in time, not primary, or a login that is refused.
func IsOutage(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, errTooLarge) {
		return false
	}
	if isCode(err, serverAway...) || mongo.IsNetworkError(err) || mongo.IsTimeout(err) {
		return true
	}
	// The driver gives this the form of an answer: there was no connection, since another operation had lost one.
	var cleared driver.RetryablePoolError
	if errors.As(err, &cleared) {
		return true
	}
	_, answered := errors.AsType[mongo.ServerError](err)
	return !answered // everything else that the driver returns is about servers and connections
}

func isCode(err error, codes ...int) bool {
	se, ok := errors.AsType[mongo.ServerError](err)
	return ok && slices.ContainsFunc(codes, se.HasErrorCode)
}
