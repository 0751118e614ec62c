// Command cmd runs a main server until it is interrupted, to try a worker against it. It prints the lines of a worker's
// environment that say where its services are, then READY, and takes commands from standard input.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
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
	var services, files, members string
	flags := flag.NewFlagSet("mainserver", flag.ContinueOnError)
	flags.StringVar(&services, "services", "", "comma-separated `list` of what to start: mongodb, nsqlookupd, nsqd, backend (default all)")
	flags.StringVar(&cfg.Dir, "dir", "", "`folder` of nsqd's and MongoDB's data (default: a temporary one)")
	flags.StringVar(&files, "files", "", "`folder` that the backend's file API serves (default: none)")
	flags.StringVar(&cfg.Host, "host", "", "`address` on which services listen at the ports that a main server publishes (default: free ports of 127.0.0.1)")
	flags.StringVar(&cfg.BroadcastAddress, "broadcast-address", "", "`name` that nsqd advertises (default gvpocr-nsqd)")
	flags.DurationVar(&cfg.MsgTimeout, "msg-timeout", 0, "nsqd's (default 1m)")
	flags.DurationVar(&cfg.MaxMsgTimeout, "max-msg-timeout", 0, "nsqd's (default 15m)")
	flags.Int64Var(&cfg.SyncEvery, "sync-every", 0, "nsqd's (default 2500)")
	flags.StringVar(&cfg.Mongo.Addr, "mongo-addr", "", "`host:port` of MongoDB (default: a free port of 127.0.0.1)")
	flags.StringVar(&cfg.Mongo.ReplicaSet, "replica-set", "", "`name` of MongoDB's replica set (default: a standalone server)")
	flags.StringVar(&members, "members", "", "comma-separated `list` of the host:port that the replica set's members announce; they listen on those ports")
	flags.DurationVar(&cfg.Mongo.ElectionTime, "election-time", 0, "how long the replica set is without a primary (default 1s)")
	flags.Int64Var(&cfg.MemQueueSize, "mem-queue-size", 0, "nsqd's (default 10000; negative for none)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if services != "" {
		cfg.Services = strings.Split(services, ",")
	}
	if members != "" {
		cfg.Mongo.Members = strings.Split(members, ",")
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
	go obey(server, os.Stdin) // it ends with the process: a read of standard input can't be ended
	<-ctx.Done()
	return server.Close()
}

// obey takes one command a line, and answers each with a line: OK and what came of it, or ERROR and why.
func obey(server *mainserver.Server, commands io.Reader) {
	lines := bufio.NewScanner(commands)
	for lines.Scan() {
		var said string
		var err error
		switch words := strings.Fields(lines.Text()); {
		case len(words) == 1 && words[0] == "stepdown":
			err = server.StepDown()
		case len(words) == 1 && words[0] == "kill-primary":
			said, err = server.KillPrimary()
		case len(words) == 1 && words[0] == "revive":
			err = server.Revive()
		case len(words) == 2 && words[0] == "stop":
			err = server.Stop(words[1])
		case len(words) == 2 && words[0] == "start":
			err = server.Start(words[1])
		default:
			err = fmt.Errorf("%q is no command; there are stepdown, kill-primary, revive, stop SERVICE and start SERVICE", lines.Text())
		}
		if err != nil {
			fmt.Println("ERROR", err)
			continue
		}
		fmt.Println(strings.TrimSpace("OK " + said))
	}
}
