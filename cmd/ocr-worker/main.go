// Command ocr-worker takes pages from the queue of a GVPOCR main server, recognizes their text, and stores it in the
// main server's MongoDB. It is configured by the environment: see the README.
//
// Each of its commands is in a file of its own; what they share with nobody else is in internal packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		// A second signal ends the process at once, as operators expect of one that drains: before anything says that it does.
		signal.Stop(signals)
		cancel()
	}()
	err := command().ExecuteContext(ctx)
	if err == nil {
		return
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintln(os.Stderr, "ocr-worker:", err)
	}
	os.Exit(1)
}

// errSaid ends a command with exit code 1 when its output has said why.
var errSaid = errors.New("see the output")

func command() *cobra.Command {
	root := runCommand()
	root.Use = "ocr-worker [--worker-id ID] [--nsqlookupd ADDR...]"
	root.Short = "Recognize pages from the queue of a GVPOCR main server"
	root.Long = `ocr-worker takes tasks from NSQ, recognizes the pages that they name, and stores the text in MongoDB.

It is configured by environment variables, the same as those of the Python worker: MONGO_URI, NSQD_ADDRESS,
NSQLOOKUPD_ADDRESSES and so on. The names in them (mongodb-proxy, nsqd-proxy, nsqlookupd-proxy) are resolved in the
process: MAIN_SERVER_IP says where the main server is, and DIAL_<NAME> where a single service is. All variables are in
the README.

Without a command it runs the worker. "ocr-worker check" says whether the main server can be reached, and what is in the
way.`
	root.Version = version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SuggestionsMinimumDistance = 2
	root.SilenceUsage = true
	root.SilenceErrors = true
	root.Args = func(cmd *cobra.Command, args []string) error {
		err := runArgs(cmd, args)
		if err == nil || len(args) == 0 {
			return err
		}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return fmt.Errorf("unexpected argument %q; did you mean %q? See ocr-worker --help", args[0], near[0])
		}
		return err
	}
	run := runCommand()
	run.Args = runArgs
	root.AddCommand(
		run, checkCommand(), explainCommand(), healthCommand(), recognizeCommand(),
		submitCommand(), statusCommand(), retryCommand(), resultsCommand(),
		migrateCommand(),
	)
	root.SetHelpCommand(helpCommand())
	sayWhatIsMissing(root)
	return root
}
