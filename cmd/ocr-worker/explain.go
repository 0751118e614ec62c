package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/internal/status"
)

// explainCommand says what a dial would do.
func explainCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "explain NAME:PORT",
		Short: "Say what a dial of a name would do now, and why",
		Long: `explain says who resolves a name and to what, and what a dial would do with each endpoint: dial it, take a ready connection,
or skip it because its breaker is open. Nothing is dialed.

If a worker runs here, it is asked: only it knows which endpoints have failed. Otherwise the answer is what a worker with
this environment would do at its start. It ends with 1 if the dial would fail.`,
		Example: `  MAIN_SERVER_IP=172.12.0.132 ocr-worker explain mongodb-proxy:27017
  docker exec gvpocr-worker-worker1-1 ocr-worker explain nsqd-proxy:4150`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions([]cobra.Completion{"mongodb-proxy:27017", "nsqd-proxy:4150", "nsqlookupd-proxy:4161"}, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			address := args[0]
			named, err := services.Named(address, nil)
			switch {
			case errors.Is(err, services.ErrAddress):
				return err
			case err == nil:
				address = named[0].Address // the port of a service of the main server may be left out
			}
			workers, err := status.Find(cmd.Context(), id, false)
			if errors.Is(err, status.ErrNone) && id == "" {
				return explainHere(cmd, address)
			}
			fails := false
			for _, w := range workers {
				e, explainErr := w.Explain(cmd.Context(), address)
				if explainErr != nil {
					err = errors.Join(err, fmt.Errorf("worker %s: %w", w.ID, explainErr))
					continue
				}
				err = errors.Join(err, printed(cmd.OutOrStdout(), func(out io.Writer) { fmt.Fprintf(out, "worker %s: %s", w.ID, e.Text) }))
				fails = fails || e.Fails
			}
			if err != nil {
				return err
			}
			return failed(fails)
		},
	}
	cmd.Flags().StringVar(&id, "worker-id", "", "ask the running worker with this `ID` (default: all that run here)")
	return cmd
}

// explainHere explains with a dialer of this process, which knows names and no failures.
func explainHere(cmd *cobra.Command, address string) error {
	cfg, err := dialer.ConfigFromEnv(os.Environ())
	if err != nil {
		return fmt.Errorf("the environment is not right:\n%w", err)
	}
	d, err := dialer.New(cfg)
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), status.ExplainTimeout)
	defer cancel()
	e := status.Explain(d.Explain(ctx, address))
	if err := printed(cmd.OutOrStdout(), func(out io.Writer) { fmt.Fprint(out, e.Text) }); err != nil {
		return err
	}
	return failed(e.Fails)
}

func failed(fails bool) error {
	if fails {
		return errSaid
	}
	return nil
}
