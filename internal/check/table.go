package check

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Table says how a report is written for people.
type Table struct {
	Color bool
	Width int // of the terminal, in columns; 0 = lines are as long as they get
}

// Write writes a row for each step, and below them what is said once.
func (t Table) Write(w io.Writer, r Report) {
	if t.Width > 0 && t.room(r) < least {
		t.writeNarrow(w, r)
	} else {
		t.writeRows(w, r)
	}
	var unused []string
	for _, s := range r.Services {
		if s.Unused {
			unused = append(unused, s.Address)
		}
	}
	if len(unused) > 0 {
		fmt.Fprintf(w, "\nnot used by the worker yet, and not counted: %s\n", strings.Join(unused, ", "))
	}
	color := text.FgGreen
	if !r.OK {
		color = text.FgRed
	}
	fmt.Fprintf(w, "\n%s\n", t.colored(color, r.Summary))
	for _, v := range r.Verdicts {
		fmt.Fprintf(w, "%s\n", t.colored(text.FgRed, v))
	}
}

func (t Table) writeRows(w io.Writer, r Report) {
	out := table.NewWriter()
	out.SetOutputMirror(w)
	out.SuppressTrailingSpaces()
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	out.SetStyle(style)
	out.AppendHeader(table.Row{"SERVICE", "CHECK", "", "TIME", "WHAT"})
	last := table.ColumnConfig{Name: "WHAT"}
	if t.Width > 0 {
		last.WidthMax, last.WidthMaxEnforcer = t.room(r), text.WrapSoft
	}
	out.SetColumnConfigs([]table.ColumnConfig{{Name: "TIME", Align: text.AlignRight}, last})
	for _, s := range r.Services {
		name := s.Address
		for _, step := range s.Steps {
			out.AppendRow(table.Row{name, step.Name, t.verdict(step.OK, s.Unused), duration(step.Millis), what(step)})
			name = ""
		}
	}
	out.Render()
}

// writeNarrow writes what has no room in columns below each other.
func (t Table) writeNarrow(w io.Writer, r Report) {
	const indent = "  "
	for _, s := range r.Services {
		fmt.Fprintln(w, s.Address)
		for _, step := range s.Steps {
			line := fmt.Sprintf("%s %s, %s: %s", step.Name, t.verdict(step.OK, s.Unused), duration(step.Millis), what(step))
			for part := range strings.SplitSeq(text.WrapSoft(line, max(t.Width-len(indent), 1)), "\n") {
				fmt.Fprintf(w, "%s%s\n", indent, strings.TrimRight(part, " "))
			}
		}
	}
}

func what(s Step) string {
	if s.Target == "" {
		return s.Text
	}
	return s.Target + ": " + s.Text
}

// least is how narrow the last column may be.
const least = 30

// room returns what the terminal has for the last column beside the others.
func (t Table) room(r Report) int {
	others := len("  advertised  FAILED  10000.0 ms    ")
	longest := len("SERVICE")
	for _, s := range r.Services {
		longest = max(longest, len(s.Address))
	}
	return t.Width - others - longest
}

func (t Table) verdict(ok, unused bool) string {
	switch {
	case ok:
		return t.colored(text.FgGreen, "ok")
	case unused:
		return t.colored(text.FgYellow, "failed")
	}
	return t.colored(text.FgRed, "FAILED")
}

func (t Table) colored(c text.Color, s string) string {
	if !t.Color {
		return s
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c, s)
}

func duration(ms float64) string {
	return fmt.Sprintf("%.1f ms", float64(time.Duration(ms*float64(time.Millisecond)))/float64(time.Millisecond))
}
