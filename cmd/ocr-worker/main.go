// Command ocr-worker takes pages from the queue of a GVPOCR main server, recognizes their text, and stores it in the
// main server's MongoDB. It is configured by the environment: see the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/ocrworker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, as operators expect of one that drains.
	context.AfterFunc(ctx, stop)
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ocr-worker:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var id string
	var lookupds []string
	cmd := &cobra.Command{
		Use:   "ocr-worker [--worker-id ID] [--nsqlookupd ADDR...]",
		Short: "Recognize pages from the queue of a GVPOCR main server",
		Long: `ocr-worker takes tasks from NSQ, recognizes the pages that they name, and stores the text in MongoDB.

It is configured by environment variables, the same as those of the Python worker: MONGO_URI, NSQD_ADDRESS,
NSQLOOKUPD_ADDRESSES and so on. The names in them (mongodb-proxy, nsqd-proxy, nsqlookupd-proxy) are resolved in the
process: MAIN_SERVER_IP says where the main server is, and DIAL_<NAME> where a single service is. All variables are in
the README.`,
		Example: `  MAIN_SERVER_IP=172.12.0.132 \
  MONGO_URI=mongodb://gvpocr_admin:PASSWORD@mongodb-proxy:27017/gvpocr \
  NSQD_ADDRESS=nsqd-proxy:4150 NSQLOOKUPD_ADDRESSES=nsqlookupd-proxy:4161 \
  ocr-worker --worker-id worker-1`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && !cmd.Flags().Changed("nsqlookupd") {
				return fmt.Errorf("unexpected argument %q; see ocr-worker --help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			// The old command line gives several addresses to one flag: --nsqlookupd a:4161 b:4161.
			return run(cmd.Context(), id, append(lookupds, args...))
		},
	}
	cmd.Flags().StringVar(&id, "worker-id", "", "name of this worker in results and logs (overrides WORKER_ID; default: the host name)")
	cmd.Flags().StringSliceVar(&lookupds, "nsqlookupd", nil, "HTTP `address` of nsqlookupd; several may follow (overrides NSQLOOKUPD_ADDRESSES)")
	return cmd
}

func run(ctx context.Context, id string, lookupds []string) error {
	cfg, err := ocrworker.ConfigFromEnv(os.Environ())
	if err != nil {
		return fmt.Errorf("the environment is not right:\n%w", err)
	}
	if id != "" {
		cfg.ID = id
	}
	if len(lookupds) > 0 {
		cfg.Lookupds = lookupds
	}
	worker, err := ocrworker.New(cfg)
	if err != nil {
		return errors.Join(err, cfg.Dialer.Close())
	}
	return errors.Join(worker.Run(ctx), cfg.Dialer.Close())
}
