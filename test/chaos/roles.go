package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/goleak"

	"github.com/gvpocr/worker/ocrworker"
	"github.com/gvpocr/worker/ocrworker/ocr"
	"github.com/gvpocr/worker/test/mainserver"
)

// The roles that this program is run in by itself.
const (
	serviceRole = "service" // of a main server; its config is a mainserver.Config
	workerRole  = "worker"  // configured by its environment; its config is the stand-in engine
)

// playRole does what this process was started for, if another one of this program started it.
func playRole() (played bool, code int) {
	role, ok := os.LookupEnv(roleVariable)
	if !ok {
		return false, 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	play, ok := map[string]func(context.Context, []byte) error{
		serviceRole: playService,
		workerRole:  playWorker,
	}[role]
	if !ok {
		fmt.Fprintf(os.Stderr, "unknown role %q\n", role)
		return true, 2
	}
	if err := play(ctx, []byte(os.Getenv(configVariable))); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		return true, 1
	}
	return true, 0
}

func playService(ctx context.Context, config []byte) error {
	var cfg mainserver.Config
	if err := json.Unmarshal(config, &cfg); err != nil {
		return err
	}
	server, err := mainserver.Start(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Println(readyLine)
	go obey(server) // it ends with the process: a read of standard input can't be ended
	<-ctx.Done()
	return server.Close()
}

// The commands that MongoDB's process takes.
const (
	stepDown    = "step down"
	killPrimary = "kill primary"
	revive      = "revive"
)

func obey(server *mainserver.Server) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var err error
		switch lines.Text() {
		case stepDown:
			err = server.StepDown()
		case killPrimary:
			_, err = server.KillPrimary()
		case revive:
			err = server.Revive()
		default:
			err = errors.New("no such command")
		}
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(okLine)
	}
}

// playWorker runs the worker as its command does, but for the engine. No goroutine may be left at its end.
func playWorker(ctx context.Context, config []byte) error {
	engine, err := newStandIn(config)
	if err != nil {
		return err
	}
	cfg, err := ocrworker.ConfigFromEnv(os.Environ())
	if err != nil {
		return err
	}
	cfg.Engines = map[string]ocr.Engine{provider: engine}
	worker, err := ocrworker.New(cfg)
	if err != nil {
		return errors.Join(err, cfg.Dialer.Close())
	}
	fmt.Println(readyLine)
	return errors.Join(worker.Run(ctx), cfg.Dialer.Close(), engine.close(), goleak.Find())
}
