// Command cmd runs a main server until it is interrupted, to try a worker against it. It prints the lines of a worker's
// environment that say where its services are.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gvpocr/worker/test/mainserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mainserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var cfg mainserver.Config
	var services, files string
	flags := flag.NewFlagSet("mainserver", flag.ContinueOnError)
	flags.StringVar(&services, "services", "", "comma-separated `list` of what to start: mongodb, nsqlookupd, nsqd, backend (default all)")
	flags.StringVar(&cfg.Dir, "dir", "", "`folder` of nsqd's data (default: a temporary one)")
	flags.StringVar(&files, "files", "", "`folder` that the backend's file API serves (default: none)")
	flags.StringVar(&cfg.BroadcastAddress, "broadcast-address", "", "`name` that nsqd advertises (default gvpocr-nsqd)")
	flags.DurationVar(&cfg.MsgTimeout, "msg-timeout", 0, "nsqd's (default 1m)")
	flags.DurationVar(&cfg.MaxMsgTimeout, "max-msg-timeout", 0, "nsqd's (default 15m)")
	flags.Int64Var(&cfg.MemQueueSize, "mem-queue-size", 0, "nsqd's (default 10000; negative for none)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if services != "" {
		cfg.Services = strings.Split(services, ",")
	}
	if files != "" {
		cfg.Files = os.DirFS(files)
	}
	server, err := mainserver.Start(ctx, cfg)
	if err != nil {
		return err
	}
	for _, line := range append(server.Environ(), server.Addresses()...) {
		fmt.Println(line)
	}
	fmt.Println("READY")
	<-ctx.Done()
	return server.Close()
}
