package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker"
)

// statusCommand says how far a job is.
func statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status JOB",
		Short: "Say how far a job is, and which of its files failed",
		Long: `status reads a job's document: what the backend says of it, how many of its files are published and finished, how many of these
were recognized, and why the others failed. It asks once; submit and retry follow a job. A job that a worker should be busy with and
that does not change may have none: ocr-worker check says whether one could work here.

It ends with 0 whatever became of the job, and with 1 if there is none or MongoDB can't be asked; scripts read --json.`,
		Example: `  ocr-worker status 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11
  ocr-worker status --json 0d3e6b52-5a3c-4a0f-9a43-2f9d0f6b7c11 | jq .errors`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withJobs(func(c *batch.Client, _ ocrworker.Config) error {
				j, err := c.Job(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				out := bufio.NewWriter(cmd.OutOrStdout()) // which keeps the first error for Flush
				if asJSON {
					encoder := json.NewEncoder(out)
					encoder.SetIndent("", "  ")
					return errors.Join(encoder.Encode(j), out.Flush())
				}
				state := j.Status
				switch {
				case j.AllFinished():
					state += ", every file is finished"
				case j.CaughtUp():
					state += ", every file that is published so far is finished"
				}
				fmt.Fprintf(out, "job %s: %s\n", j.ID, state)
				fmt.Fprintf(out, "  files    %d of %d finished, %d published: %d recognized (%s), %d failed\n",
					j.Consumed, j.Total, j.Published, j.Recognized(), counted(j.Pages, "page", "pages"), len(j.Errors))
				fmt.Fprintf(out, "  created  %s\n  updated  %s\n", j.Created.Format(time.RFC3339), j.Updated.Format(time.RFC3339))
				printFailed(out, j)
				return out.Flush()
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
