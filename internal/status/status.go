// Package status lets other processes on a machine, or in a container, ask a running worker how it is.
//
// A worker listens on a Unix socket in a folder that only its user may enter. What answers is the process itself: a worker
// that has ended, was killed, is frozen or can't get at its own dialer does not answer, and a file left behind says nothing.
// Services that are down do not make a worker unhealthy: it waits for them, and ending it would only lose what it
// holds. They are listed, as the worker remembers them. For those who ask whether it is ready the worker asks them now: what
// it remembers may be a minute old, the time between two questions to a nsqlookupd.
package status

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/services"
)

// Worker is what a running worker says of itself.
type Worker struct {
	ID       string    `json:"id"`
	Version  string    `json:"version"`
	PID      int       `json:"pid"`
	Since    time.Time `json:"since"`
	Stopping bool      `json:"stopping"`         // it drains
	Paused   string    `json:"paused,omitempty"` // why it takes no tasks; empty while it does
	Asked    bool      `json:"asked"`            // services were asked now; else their state is what the worker remembers
	Services []Service `json:"services"`
}

// Service is what a worker knows of one of its services.
type Service struct {
	services.Service
	Reached     bool      `json:"reached"`               // it answered now; or, if nobody asked, when it was last dialed
	Reason      string    `json:"reason,omitempty"`      // why it is not reached
	LastReached time.Time `json:"last_reached,omitzero"` // the last question to it that was answered, or, if nobody asks, dial of it that succeeded
	Open        int       `json:"open"`                  // connections to it

	failed bool // Reason is why the last dial failed
}

// Text says for people how the service is. asked is the Worker's.
func (s Service) Text(asked bool) string {
	ago := "never"
	if !s.LastReached.IsZero() {
		ago = fmt.Sprintf("%v ago", time.Since(s.LastReached).Round(time.Second))
	}
	switch {
	case !s.Reached && asked && s.LastReached.IsZero():
		return "not reached: " + s.Reason // it may have answered the worker all the time, and nobody has asked
	case !s.Reached:
		return fmt.Sprintf("not reached: %s (last reached: %s)", s.Reason, ago)
	case asked:
		return "reached"
	}
	return fmt.Sprintf("reached %s, connections open: %d", ago, s.Open)
}

// Ready reports whether the worker takes tasks and every kind of service is reached: of several nsqlookupds, or members
// of a replica set, one is enough.
func (w Worker) Ready() bool {
	reached := map[services.Kind]bool{}
	for _, s := range w.Services {
		reached[s.Kind] = reached[s.Kind] || s.Reached
	}
	for _, ok := range reached {
		if !ok {
			return false
		}
	}
	return !w.Stopping && w.Paused == ""
}

// Explanation is what a dial of the worker's would do.
type Explanation struct {
	Text  string `json:"text"`
	Fails bool   `json:"fails"`
}

// Explain is [dialer.Dialer.Explain] as text, with a verdict.
func Explain(e dialer.Explanation, err error) Explanation {
	x := Explanation{Text: e.String(), Fails: true}
	if err != nil && e.Verdict == "" {
		x.Text = err.Error() + "\n" // a bad address
	}
	for _, step := range e.Steps {
		if err == nil && step.Action != "skip" {
			x.Fails = false
		}
	}
	return x
}

// longestPath is what fits into a socket's address on every system: 104 bytes with a NUL on macOS and the BSDs.
const longestPath = 103

// longestName is the longest name of a socket within its folder: process, worker, random.
const longestName = len("4294967295-01234567-01234567.sock")

// socketName names a worker's socket. A worker that does not answer is told by it from the one that is asked for.
func socketName(pid int, id string, random [4]byte) string {
	return fmt.Sprintf("%d-%s-%x.sock", pid, mark(id), random)
}

// mark stands for a worker's id, which may hold anything, in the name of its socket.
func mark(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:4])
}

// mayBe reports whether the socket of that name may be the worker's with that id. Names without a mark may be anybody's.
func mayBe(socket, id string) bool {
	parts := strings.Split(socket, "-")
	return id == "" || len(parts) != 3 || parts[1] == mark(id)
}

// folder is where the sockets of this user's workers are, the same for all processes that share a temporary folder.
func folder() string {
	name := fmt.Sprintf("ocr-worker-%d", os.Getuid())
	dir := filepath.Join(os.TempDir(), name)
	if len(dir)+1+longestName > longestPath {
		dir = filepath.Join("/tmp", fmt.Sprintf("%s-%x", name, sha256.Sum256([]byte(os.TempDir())))[:len(name)+9])
	}
	return dir
}
