package source

import (
	"errors"
	"net"
	"slices"
	"syscall"

	"github.com/gvpocr/worker/dialer"
)

// ErrAway is what a source's error wraps when the source itself can't be asked at the moment, as when a server answers
// 503: it says nothing about the file.
var ErrAway = errors.New("the source can't be asked now")

// away are the errors of a mounted share whose server is gone. EIO is not among them: it may be one bad file.
var away = []syscall.Errno{
	syscall.ESTALE, syscall.ENOTCONN, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.ENETUNREACH,
	syscall.ETIMEDOUT, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.ENODEV,
}

// IsAway reports whether err says that a source can't be asked at the moment, and nothing of the file: [ErrAway], a root
// that is not there, a share or a server that can't be reached.
func IsAway(err error) bool {
	if errors.Is(err, ErrAway) || errors.Is(err, ErrRootMissing) {
		return true
	}
	if _, ok := errors.AsType[*dialer.DialError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(away, errno)
}
