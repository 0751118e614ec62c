package check

import (
	"strings"
	"time"

	"github.com/gvpocr/worker/internal/services"
)

// Report is what was found. Its fields are the JSON output.
type Report struct {
	Time     time.Time `json:"time"` // when the check began
	OK       bool      `json:"ok"`
	Summary  string    `json:"summary"`
	Services []Result  `json:"services"`

	// Missing are the settings without which the worker does not start, in words.
	Missing []string `json:"missing_settings,omitempty"`

	// Verdicts say what holds for several services, once: a host that is down, DNS that does not answer.
	Verdicts []string `json:"verdicts"`
}

// summary says in one line whether the worker can do its work.
func (r Report) summary() string {
	var failed []string
	used := 0
	for _, s := range r.Services {
		if s.Unused {
			continue
		}
		used++
		if step, bad := s.Failure(); bad {
			failed = append(failed, s.Address+" ("+step.Name+")")
		}
	}
	none := len(failed) == used && used > 1
	switch {
	case len(r.Missing) > 0:
		parts := []string{"FAILED: the worker does not start: " + strings.Join(r.Missing, ", ")}
		if none {
			parts = append(parts, "no service can be used from here")
		} else if len(failed) > 0 {
			parts = append(parts, strings.Join(failed, ", "))
		}
		return strings.Join(parts, "; ")
	case len(failed) == 0 && used < len(r.Services):
		return "OK: all that the worker uses can be used from here"
	case len(failed) == 0:
		return "OK: all that was checked can be used from here"
	case none:
		return "FAILED: no service can be used from here"
	}
	return "FAILED: " + strings.Join(failed, ", ")
}

// Result is what was found of one service.
type Result struct {
	services.Service
	OK         bool    `json:"ok"`
	Unused     bool    `json:"unused,omitempty"` // the worker does not use it yet: it does not count
	ResolvedBy string  `json:"resolved_by,omitempty"`
	TTL        float64 `json:"ttl_seconds,omitempty"` // 0 = unknown
	Stale      bool    `json:"stale,omitempty"`
	Steps      []Step  `json:"steps"`
}

// Names of steps.
const (
	Resolve    = "resolve"    // the name became endpoints
	Connect    = "connect"    // TCP, and TLS where DIALER_TLS asks for it
	Hello      = "hello"      // the protocol's greeting
	Login      = "login"      // MongoDB took user and password
	Lookup     = "lookup"     // nsqlookupd was asked for the nsqds of the topic
	Advertised = "advertised" // an address that a server hands out was reached
)

// Step is one thing that was tried.
type Step struct {
	Name   string  `json:"step"`
	Target string  `json:"target,omitempty"` // an ip:port, or a name that a server hands out
	OK     bool    `json:"ok"`
	Text   string  `json:"text"` // what came of it, and what to do
	Millis float64 `json:"milliseconds"`

	fault fault // how it failed, to find those that failed alike
	cause error
}

// add appends a step and reports whether it went well.
func (r *Result) add(s Step, since time.Time) bool {
	s.Millis = millis(time.Since(since))
	r.Steps = append(r.Steps, s)
	r.OK = r.OK && s.OK
	return s.OK
}

func millis(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// Failure returns the first step that failed.
func (r Result) Failure() (Step, bool) {
	for _, s := range r.Steps {
		if !s.OK {
			return s, true
		}
	}
	return Step{}, false
}

// Line says in one line how the service is.
func (r Result) Line() string {
	line := r.Address
	if r.Unused {
		line += " (not used yet)"
	}
	s, failed := r.Failure()
	if !failed {
		return line + " ok"
	}
	line += " FAILED: " + s.Name
	if s.Target != "" {
		line += " " + s.Target
	}
	return line + ": " + s.Text
}
