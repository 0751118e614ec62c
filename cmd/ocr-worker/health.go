package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/status"
)

// healthCommand asks the workers of this machine or container how they are.
func healthCommand() *cobra.Command {
	var id string
	var ready, asJSON bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the running worker whether it is alive",
		Long: `health asks the worker that runs on this machine, or in this container, under the same user and with the same temporary
folder, by a socket in that folder (ocr-worker-<uid> below TMPDIR). It ends with 0 if the worker answers within 3 s, and
with 1 if none runs or one does not answer. It fits a container's HEALTHCHECK and a liveness probe.

A worker whose services are down is healthy: it waits for them, and restarting it would only lose what it holds. The list
says when it last reached each of them.

With --ready it asks MongoDB, nsqd and nsqlookupd, those that are configured, now: one of each must answer within 2 s. The worker
must take tasks, which it does not while MongoDB is away or refuses its user, and must not be stopping. That is for a
readiness probe.`,
		Example: `  ocr-worker health
  ocr-worker health --ready

  HEALTHCHECK CMD ["ocr-worker", "health"]`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			workers, err := status.Find(cmd.Context(), id, ready)
			ok := err == nil
			for _, w := range workers {
				ok = ok && (!ready || w.Ready())
			}
			out := cmd.OutOrStdout()
			if asJSON {
				if err := printWorkersJSON(out, workers); err != nil {
					return err
				}
			} else {
				writeErr := printed(out, func(out io.Writer) {
					for _, w := range workers {
						printWorker(out, w.Worker)
					}
				})
				err = errors.Join(err, writeErr)
			}
			switch {
			case err != nil:
				return err
			case !ok:
				return fmt.Errorf("not ready")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&id, "worker-id", "", "ask the worker with this `ID` only (default: all that run here)")
	cmd.Flags().BoolVar(&ready, "ready", false, "fail unless the worker takes tasks and reaches its services, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printWorkersJSON(out io.Writer, workers []status.Running) error {
	list := []status.Worker{}
	for _, w := range workers {
		list = append(list, w.Worker)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

func printWorker(out io.Writer, w status.Worker) {
	what := "is alive"
	if w.Stopping {
		what = "is stopping"
	}
	fmt.Fprintf(out, "worker %s %s: process %d, since %v, version %s\n", w.ID, what, w.PID, time.Since(w.Since).Round(time.Second), w.Version)
	if w.Paused != "" {
		fmt.Fprintf(out, "  takes no tasks: %s\n", w.Paused)
	}
	for _, s := range w.Services {
		fmt.Fprintf(out, "  %-10s %-24s %s\n", s.Kind, s.Address, s.Text(w.Asked))
	}
}
