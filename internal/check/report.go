package check

import (
	"fmt"
	"time"

	"github.com/gvpocr/worker/internal/services"
)

// Report is what was found. Its fields are the JSON output.
type Report struct {
	OK       bool     `json:"ok"`
	Services []Result `json:"services"`

	// Verdicts say what holds for several services, once: a host that is down, DNS that does not answer.
	Verdicts []string `json:"verdicts"`
}

// Result is what was found of one service.
type Result struct {
	services.Service
	OK         bool    `json:"ok"`
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
	if s, failed := r.Failure(); failed {
		return fmt.Sprintf("%s FAILED: %s %s: %s", r.Address, s.Name, s.Target, s.Text)
	}
	return r.Address + " ok"
}
