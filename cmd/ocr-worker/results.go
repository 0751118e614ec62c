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
var formats = map[string]func(io.Writer, batch.Job, []batch.Result) error{
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
		Long: `results prints the files of a job in its order: as text, each under a line with its name; as one JSON object with all that
is stored; or as CSV, a line for each file. Failed files are in it with their errors.`,
		Example: `  ocr-worker results 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11 >text.txt
  ocr-worker results --format csv 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11 >job.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := formats[format]
			if !ok {
				return fmt.Errorf("--format %s: not one of %s", format, strings.Join(names, ", "))
			}
			return withJobs(func(c *batch.Client, _ ocrworker.Config) error {
				j, results, err := c.Results(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				out := bufio.NewWriter(cmd.OutOrStdout())
				return errors.Join(write(out, j, results), out.Flush())
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "text, json or csv")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)) // fails only without the flag
	return cmd
}

func resultsAsText(out io.Writer, j batch.Job, results []batch.Result) error {
	for _, r := range results {
		fmt.Fprintf(out, "=== %s ===\n%s\n\n", r.Path, r.Text)
	}
	for _, e := range j.Errors {
		fmt.Fprintf(out, "=== %s ===\nERROR: %s\n\n", e.Path, e.Reason)
	}
	return nil // the buffer keeps the first error for Flush
}

func resultsAsJSON(out io.Writer, j batch.Job, results []batch.Result) error {
	if results == nil {
		results = []batch.Result{}
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		batch.Job
		Results []batch.Result `json:"results"`
	}{j, results})
}

func resultsAsCSV(out io.Writer, j batch.Job, results []batch.Result) error {
	w := csv.NewWriter(out)
	rows := [][]string{{"file_path", "file_index", "status", "provider", "confidence", "words", "pages", "seconds", "worker", "text", "error"}}
	for _, r := range results {
		rows = append(rows, []string{
			r.Path, strconv.Itoa(r.Index), r.Status, r.Provider, fmt.Sprintf("%.4f", r.Confidence), strconv.Itoa(r.Words), strconv.Itoa(r.Pages),
			fmt.Sprintf("%.2f", r.Metadata.Seconds), r.Metadata.Worker, r.Text, "",
		})
	}
	for _, e := range j.Errors {
		rows = append(rows, []string{e.Path, "", "error", "", "", "", "", "", "", "", e.Reason})
	}
	return w.WriteAll(rows)
}
