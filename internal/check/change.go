package check

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// WriteChange writes for a log what has changed since the report before, if anything has: the services that changed, the
// verdict, and what is in the way now, each line with the time.
func WriteChange(w io.Writer, before *Report, now Report) {
	known := map[string]bool{}
	verdict := ""
	if before != nil {
		verdict = before.verdict()
		for _, s := range before.Services {
			known[s.Line()] = true
		}
	}
	changed := verdict != now.verdict()
	var lines []string
	for _, s := range now.Services {
		isNew := !known[s.Line()]
		changed = changed || isNew
		if isNew || !s.OK {
			lines = append(lines, s.Line())
		}
	}
	if !changed {
		return
	}
	for _, line := range slices.Concat(lines, []string{now.Summary}, now.Verdicts) {
		fmt.Fprintf(w, "%s %s\n", now.Time.Format(time.RFC3339), line)
	}
}

// verdict is all that is said of the whole.
func (r Report) verdict() string { return r.Summary + "\n" + strings.Join(r.Verdicts, "\n") }
