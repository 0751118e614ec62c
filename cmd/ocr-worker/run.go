package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/check"
	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/internal/status"
	"github.com/gvpocr/worker/ocrworker"
)

// runCommand is the worker itself, under its own name and as what is done without a command.
func runCommand() *cobra.Command {
	var id string
	var lookupds []string
	cmd := &cobra.Command{
		Use:   "run [--worker-id ID] [--nsqlookupd ADDR...]",
		Short: "Run the worker (this is also done without a command)",
		Long: `run takes tasks from NSQ, recognizes the pages that they name, and stores the text in MongoDB, until it is interrupted or
gets SIGTERM. Then it takes no more tasks, finishes those that it works on within SHUTDOWN_TIMEOUT (8 s), and puts the others
back. A service that is down does not end it.`,
		Example: `  MAIN_SERVER_IP=172.12.0.132 \
  MONGO_URI=mongodb://gvpocr_admin:PASSWORD@mongodb-proxy:27017/gvpocr \
  NSQD_ADDRESS=nsqd-proxy:4150 NSQLOOKUPD_ADDRESSES=nsqlookupd-proxy:4161 \
  ocr-worker --worker-id worker-1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			// The old command line gives several addresses to one flag: --nsqlookupd a:4161 b:4161.
			return run(cmd.Context(), id, append(lookupds, args...))
		},
	}
	cmd.Flags().StringVar(&id, "worker-id", "", "name of this worker in results and logs (overrides WORKER_ID; default: the host name)")
	cmd.Flags().StringSliceVar(&lookupds, "nsqlookupd", nil, "HTTP `address` of nsqlookupd; several may follow (overrides NSQLOOKUPD_ADDRESSES)")
	return cmd
}

func runArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && !cmd.Flags().Changed("nsqlookupd") {
		return fmt.Errorf("unexpected argument %q; see ocr-worker --help", args[0])
	}
	given, err := cmd.Flags().GetStringSlice("nsqlookupd")
	if err != nil {
		return err
	}
	for _, arg := range append(given, args...) {
		if strings.Contains(arg, "@") {
			return errors.New("what --nsqlookupd says holds a user or password, which nsqlookupd does not know: write host:port")
		}
		authority, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(arg), "http://"), "/")
		if _, _, err := net.SplitHostPort(authority); err == nil {
			continue
		}
		if c, _, err := cmd.Root().Find([]string{arg}); err == nil && c.HasParent() {
			return fmt.Errorf("%q is a command, not the address of a nsqlookupd: a command comes first, with flags of its own; see ocr-worker %s --help", arg, c.Name())
		}
		return fmt.Errorf("%q is not the address of a nsqlookupd, as host:port; see ocr-worker --help", arg)
	}
	return nil
}

func run(ctx context.Context, id string, lookupds []string) error {
	environment := os.Environ()
	if len(lookupds) > 0 {
		environment = append(environment, "NSQLOOKUPD_ADDRESSES="+strings.Join(lookupds, ","))
	}
	cfg, err := config(environment)
	if err != nil {
		return err
	}
	cfg.ID = cmp.Or(id, cfg.ID)
	if cfg.ID == "" {
		cfg.ID, _ = os.Hostname() // as the worker would; the status server says it too
	}
	worker, err := ocrworker.New(cfg)
	if err != nil {
		return errors.Join(err, cfg.Dialer.Close())
	}
	cfg.Logger.Info("ocr-worker", "version", version())
	answers, err := status.Serve(status.Config{
		ID: cfg.ID, Version: version(), Dialer: cfg.Dialer, Services: services.Of(cfg),
		Stopping: func() bool { return ctx.Err() != nil },
		Paused:   worker.Paused,
		Greet:    check.NewGreeter(cfg.Dialer, cfg.MongoURI, cfg.NSQ).Greet,
	})
	if err != nil {
		cfg.Logger.Warn("ocr-worker health and explain can't ask this worker", "error", err)
	} else {
		defer func() {
			if err := answers.Close(); err != nil {
				cfg.Logger.Debug("stop answering", "error", err)
			}
		}()
	}
	return errors.Join(worker.Run(ctx), cfg.Dialer.Close())
}

// config reads the environment.
func config(environment []string) (ocrworker.Config, error) {
	cfg, err := ocrworker.ConfigFromEnv(environment)
	if err != nil {
		return cfg, fmt.Errorf("the environment is not right:\n%w", err)
	}
	return cfg, nil
}

// configWithoutEngines reads the environment for commands that recognize nothing, and so do not need Tesseract. They say
// what they have to say by themselves: the worker's log is left out unless LOG_LEVEL is debug.
func configWithoutEngines() (ocrworker.Config, error) {
	environment := append(os.Environ(), "TESSERACT_ENABLED=false")
	if os.Getenv("LOG_LEVEL") != "debug" {
		environment = append(environment, "LOG_LEVEL=error")
	}
	return config(environment)
}
