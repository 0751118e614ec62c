package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker"
)

// formats write a job's results.
var formats = map[string]func(io.Writer, batch.Job, []batch.Entry) error{
	"text": resultsAsText,
	"json": resultsAsJSON,
	"csv":  resultsAsCSV,
}

// resultsCommand prints what was recognized.
func resultsCommand() *cobra.Command {
	format := "text"
	names := slices.Sorted(maps.Keys(formats))
	cmd := &cobra.Command{
		Use:   "results JOB",
		Short: "Print what was recognized in a job",
		Long: `results prints the files of a job in its order: as text, each under a line with its name; as one JSON object, which has all that
is stored of each file in .results; or as CSV, a line for each file. Failed files are in their places with their errors. Where a
job of the backend's has several, their places are not known: they are put, by their paths, into those that are left, and have
no file_index.

It prints what is finished. If that is not the whole job it says so on standard error.`,
		Example: `  ocr-worker results 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11 >text.txt
  ocr-worker results --format csv 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11 >job.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := formats[format]
			if !ok {
				return fmt.Errorf("--format %s: not one of %s", format, strings.Join(names, ", "))
			}
			return withJobs(func(c *batch.Client, cfg ocrworker.Config) error {
				j, entries, err := c.Results(cmd.Context(), args[0], cfg.Roots)
				if err != nil {
					return err
				}
				if !j.AllFinished() {
					fmt.Fprintf(cmd.ErrOrStderr(), "job %s: %s; %d of %d files are finished, and the others are not in its results\n", j.ID, j.Status, j.Consumed, j.Total)
				}
				out := bufio.NewWriter(cmd.OutOrStdout())
				return errors.Join(write(out, j, entries), out.Flush())
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "text, json or csv")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)) // fails only without the flag
	return cmd
}

func resultsAsText(out io.Writer, _ batch.Job, entries []batch.Entry) error {
	for _, e := range entries {
		if e.Failed != nil {
			fmt.Fprintf(out, "=== %s ===\nERROR: %s\n\n", e.Failed.Path, e.Failed.Reason)
			continue
		}
		fmt.Fprintf(out, "=== %s ===\n%s\n\n", e.Result.Path, e.Result.Text)
	}
	return nil // the buffer keeps the first error for Flush
}

func resultsAsJSON(out io.Writer, j batch.Job, entries []batch.Entry) error {
	if entries == nil {
		entries = []batch.Entry{}
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		batch.Job
		Results []batch.Entry `json:"results"`
	}{j, entries})
}

func resultsAsCSV(out io.Writer, _ batch.Job, entries []batch.Entry) error {
	w := csv.NewWriter(out)
	rows := [][]string{{"file_path", "file_index", "status", "provider", "confidence", "words", "pages", "seconds", "worker", "text", "error"}}
	for _, e := range entries {
		if f := e.Failed; f != nil {
			index := ""
			if e.Certain {
				index = strconv.Itoa(e.Index)
			}
			rows = append(rows, []string{f.Path, index, "error", "", "", "", "", "", "", "", f.Reason})
			continue
		}
		r := e.Result
		rows = append(rows, []string{
			r.Path, strconv.Itoa(r.Index), r.Status, r.Provider, fmt.Sprintf("%.4f", r.Confidence), strconv.Itoa(r.Words), strconv.Itoa(r.Pages),
			fmt.Sprintf("%.2f", r.Metadata.Seconds), r.Metadata.Worker, r.Text, "",
		})
	}
	return w.WriteAll(rows)
}
