package source_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"testing"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/ocrworker/source"
)

func TestAnOutageOfTheSourceIsToldFromAFailureOfTheFile(t *testing.T) {
	of := func(err error) error { return &fs.PathError{Op: "open", Path: "/a.jpg", Err: err} }
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"a root that is not mounted":   {of(source.ErrRootMissing), true},
		"a server that is overloaded":  {of(fmt.Errorf("status 503: %w", source.ErrAway)), true},
		"a stale handle":               {of(syscall.ESTALE), true},
		"a share whose host is down":   {of(syscall.EHOSTDOWN), true},
		"a server that refuses":        {of(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), true},
		"a dial that failed":           {of(&dialer.DialError{Name: "backend-proxy:5000"}), true},
		"a file that is not there":     {of(fs.ErrNotExist), false},
		"a file that may not be read":  {of(syscall.EACCES), false},
		"a bad sector":                 {of(syscall.EIO), false},
		"a path that leads outside":    {of(source.ErrOutside), false},
		"the end of the caller's time": {of(context.DeadlineExceeded), false},
		"something else":               {errors.New("500"), false},
		"nothing":                      {nil, false},
	} {
		if got := source.IsAway(test.err); got != test.want {
			t.Errorf("%s: %v, want %v (%v)", name, got, test.want, test.err)
		}
	}
}
