package main

import (
	"fmt"
	"io"

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
job.

Tasks name files by their place in these folders (Bhushanji/1921/1.jpg), so that workers find them wherever they have mounted the folders.
A symbolic link to a file stands for the file, which is in the job once, by its own path. Links to folders, to nothing, and out of the
two folders are left out, and named.`,
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
			files, err := batch.Scan(args[0], cfg.Roots)
			printLeftOut(cmd.ErrOrStderr(), files)
			if err != nil {
				return err
			}
			id, err := c.Submit(cmd.Context(), files.Paths, *options)
			if id != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "job %s: %d files\n", id, len(files.Paths))
			}
			if err != nil || !wait {
				return err
			}
			return follow(cmd, c, id)
		})
	}
	return cmd
}

// printLeftOut says which of a folder's files are not in its job.
func printLeftOut(out io.Writer, files batch.Files) {
	if files.OtherKinds > 0 {
		fmt.Fprintf(out, "%d files of other kinds are left out\n", files.OtherKinds)
	}
	for _, reason := range files.Links[:min(len(files.Links), maxFailed)] {
		fmt.Fprintf(out, "left out: link %s\n", reason)
	}
	if more := len(files.Links) - maxFailed; more > 0 {
		fmt.Fprintf(out, "left out: %d more links\n", more)
	}
}
