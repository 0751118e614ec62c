package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

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
job; but while tasks are still being published it cuts the job off, which then ends with those that are published.

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
			found, err := batch.Scan(args[0], cfg.Roots)
			printLeftOut(cmd.ErrOrStderr(), found)
			if err != nil {
				return err
			}
			id, err := c.Create(cmd.Context(), found.Paths, *options)
			if err != nil {
				return err
			}
			_, notSaid := fmt.Fprintf(cmd.OutOrStdout(), "job %s: %s\n", id, files(len(found.Paths)))
			err = publish(cmd.Context(), cmd.ErrOrStderr(), len(found.Paths), func(published func()) error {
				return c.Publish(cmd.Context(), id, found.Paths, *options, published)
			})
			if err = errors.Join(err, notSaid); err != nil || !wait {
				return err
			}
			return follow(cmd, c, id)
		})
	}
	return cmd
}

// publishingTold is how often it is said how many tasks are published.
const publishingTold = 2 * time.Second

// publish calls do, and shows how many of the tasks it has published. An interrupt is answered at once, although do ends only
// with the tasks that it has begun.
func publish(ctx context.Context, say io.Writer, total int, do func(published func()) error) error {
	var published atomic.Int64
	done := make(chan error, 1)
	go func() { done <- do(func() { published.Add(1) }) }()
	bar := newBar(say, `published {{counters . }} {{bar . }} {{percent . }}`)
	if bar != nil {
		bar.SetTotal(int64(total))
		defer bar.Finish()
	}
	every := publishingTold
	if bar != nil {
		every = followEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	interrupted := ctx.Done()
	for {
		select {
		case <-interrupted:
			interrupted = nil
			if bar != nil {
				fmt.Fprint(say, clearLine)
			}
			fmt.Fprintln(say, "interrupted; the tasks that are on their way to nsqd are waited for")
		case err := <-done:
			if bar != nil {
				bar.SetCurrent(published.Load())
			}
			return err
		case <-ticker.C:
			if bar != nil {
				bar.SetCurrent(published.Load())
			} else {
				fmt.Fprintf(say, "%d of %s published\n", published.Load(), counted(total, "task is", "tasks are"))
			}
		}
	}
}

// printLeftOut says which of a folder's files are not in its job.
func printLeftOut(out io.Writer, found batch.Files) {
	if found.OtherKinds > 0 {
		fmt.Fprintf(out, "%s left out\n", counted(found.OtherKinds, "file of another kind is", "files of other kinds are"))
	}
	for _, reason := range found.Links[:min(len(found.Links), maxFailed)] {
		fmt.Fprintf(out, "left out: link %s\n", reason)
	}
	if more := len(found.Links) - maxFailed; more > 0 {
		fmt.Fprintf(out, "left out: %s\n", counted(more, "more link", "more links"))
	}
}
