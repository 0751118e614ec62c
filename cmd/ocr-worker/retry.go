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

The job's document knows a failed file by its path on the worker where it failed, which may have its folders elsewhere than others.
If submit made the job, the task is published with the path that it had at first (Bhushanji/1921/1.jpg). Else the path is made
relative in this form, so that every worker finds the file, if it lies below GVPOCR_PATH or NEWSLETTERS_PATH as they are set here, or
below /app/Bhushanji or /app/newsletters. They may be set to the folders of the worker where it failed, which need not exist here. A
file that lies elsewhere is published with the path as it is, and named.

Refused are a job that still runs, since its other files may yet fail (ocr-worker status shows when it is at its end), and a cancelled
one, whose tasks workers leave alone: submit its files again. A file that is in the job twice, as when two links lead to it, is left
alone.`,
		Example: `  ocr-worker retry 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11
  ocr-worker retry --languages hi --wait=false 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11
  GVPOCR_PATH=/Volumes/Bhushanji ocr-worker retry 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11`,
		Args: cobra.ExactArgs(1),
	}
	options := taskOptions(cmd, "")
	cmd.Flags().BoolVar(&wait, "wait", wait, "follow the job to its end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withJobs(func(c *batch.Client, cfg ocrworker.Config) error {
			done, err := c.Retry(cmd.Context(), args[0], cfg.Roots, *options)
			for _, reason := range done.Skipped {
				fmt.Fprintf(cmd.ErrOrStderr(), "left alone: %s\n", reason)
			}
			for _, path := range done.Foreign {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: only workers that have the folders of the one where it failed will find it; ocr-worker retry --help says more\n", path)
			}
			if err == nil || len(done.Published) > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "job %s: %s tried again\n", args[0], counted(len(done.Published), "file is", "files are"))
			}
			if err != nil || !wait || len(done.Published) == 0 {
				return err
			}
			return follow(cmd, c, args[0])
		})
	}
	return cmd
}
