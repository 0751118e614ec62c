package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker"
)

// retryCommand tries a job's failed files again.
func retryCommand() *cobra.Command {
	wait := true
	cmd := &cobra.Command{
		Use:   "retry JOB",
		Short: "Try a job's failed files again, and follow it",
		Long: `retry takes the errors of a job's failed files out of its document and publishes their tasks again; the results that are there
stay. Files are tried with the provider and the languages that the job had, unless flags say otherwise.

A file that is in the job twice, as when two links lead to it, is left alone.`,
		Example: `  ocr-worker retry 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11
  ocr-worker retry --languages hi --wait=false 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11`,
		Args: cobra.ExactArgs(1),
	}
	options := taskOptions(cmd, "")
	cmd.Flags().BoolVar(&wait, "wait", wait, "follow the job to its end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withJobs(func(c *batch.Client, _ ocrworker.Config) error {
			done, err := c.Retry(cmd.Context(), args[0], *options)
			for _, reason := range done.Skipped {
				fmt.Fprintf(cmd.ErrOrStderr(), "left alone: %s\n", reason)
			}
			if err == nil || len(done.Published) > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "job %s: %d files are tried again\n", args[0], len(done.Published))
			}
			if err != nil || !wait || len(done.Published) == 0 {
				return err
			}
			return follow(cmd, c, args[0])
		})
	}
	return cmd
}
