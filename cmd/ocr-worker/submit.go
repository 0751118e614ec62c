package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker"
)

// submitCommand makes a job of a folder.
func submitCommand() *cobra.Command {
	wait := true
	cmd := &cobra.Command{
		Use:   "submit FOLDER",
		Short: "Make a job of a folder's files, and follow it",
		Long: `submit makes a job of all page images in a folder and the folders below it, or of one file, as the main server's backend does: a
document in MongoDB and a message for each file. The folder must be below GVPOCR_PATH or NEWSLETTERS_PATH, where workers look for files. It
prints the job's id, shows how far the workers are, and sums up. It ends with 1 if a file failed. An interrupt ends the waiting, not the
job.`,
		Example: `  ocr-worker submit /app/Bhushanji/1921 --languages hi,en
  ocr-worker submit --wait=false /app/newsletters/2026-01`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	options := taskOptions(cmd, "tesseract")
	cmd.Flags().BoolVar(&wait, "wait", wait, "follow the job to its end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withJobs(func(c *batch.Client, cfg ocrworker.Config) error {
			paths, left, err := batch.Scan(args[0], cfg.Roots)
			if err != nil {
				return err
			}
			if left > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d files of other kinds are left out\n", left)
			}
			id, err := c.Submit(cmd.Context(), paths, *options)
			if id != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "job %s: %d files\n", id, len(paths))
			}
			if err != nil || !wait {
				return err
			}
			return follow(cmd, c, id)
		})
	}
	return cmd
}
