package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/samples"
)

// Most of a sample's characters that may be wrong.
const (
	mostWrong      = 0.02
	mostWrongHindi = 0.05
)

// report prints what was recognized, and returns an error if a page failed or the project's samples were read badly.
func report(w io.Writer, j job, done backend.Job) error {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"file", "words", "confidence", "seconds", "wrong characters", "first words"})
	t.SetColumnConfigs([]table.ColumnConfig{
		{Name: "words", Align: text.AlignRight}, {Name: "confidence", Align: text.AlignRight},
		{Name: "seconds", Align: text.AlignRight}, {Name: "wrong characters", Align: text.AlignRight},
		{Name: "first words", WidthMax: 80},
	})
	var bad []string
	slices.SortFunc(done.Checkpoint.Results, func(a, b backend.Result) int { return a.FileIndex - b.FileIndex })
	for _, r := range done.Checkpoint.Results {
		wrong, ok, err := errorRate(j, r)
		if err != nil {
			return err
		}
		if !ok {
			bad = append(bad, r.File)
		}
		t.AppendRow(table.Row{
			r.File, r.Words, fmt.Sprintf("%.2f", r.Confidence), fmt.Sprintf("%.2f", r.Metadata.Seconds), wrong, firstWords(r.Text),
		})
	}
	for _, e := range done.Checkpoint.Errors {
		t.AppendRow(table.Row{e.File, "", "", "", "", "error: " + e.Error})
	}
	t.Render()
	fmt.Fprintf(w, "%d pages: %d recognized, %d failed. published %d = consumed %d = results %d + errors %d\n",
		done.TotalFiles, len(done.Checkpoint.Results), len(done.Checkpoint.Errors),
		done.PublishedCount, done.ConsumedCount, len(done.Checkpoint.Results), len(done.Checkpoint.Errors))
	switch {
	case len(done.Checkpoint.Errors) > 0:
		return fmt.Errorf("%d pages failed", len(done.Checkpoint.Errors))
	case len(bad) > 0:
		return fmt.Errorf("too many characters are wrong in %s", strings.Join(bad, ", "))
	}
	return nil
}

// errorRate compares a page with its true text, if there is one. It reports false for a sample of the project that was
// read worse than it is known to be.
func errorRate(j job, r backend.Result) (string, bool, error) {
	truth, err := samples.Truth(j.pages, r.File)
	if errors.Is(err, fs.ErrNotExist) {
		return "", true, nil
	}
	if err != nil {
		return "", false, err
	}
	limit := mostWrong
	if slices.Contains(samples.Languages(j.pages, r.File), "hi") {
		limit = mostWrongHindi
	}
	rate := samples.ErrorRate(truth, r.Text)
	return fmt.Sprintf("%.2f %%", 100*rate), !j.own || rate < limit, nil
}

func firstWords(s string) string {
	words := strings.Fields(s)
	return strings.Join(words[:min(len(words), 6)], " ")
}
