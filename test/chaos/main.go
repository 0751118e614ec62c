// Command chaos runs jobs while something breaks: services of the main server, the network, the workers. Workers and
// services are processes of their own; only the engine is a stand-in, which takes a known time for a page.
//
//	./test/chaos/run -list
//	./test/chaos/run [-seeds N] [-seed FIRST] [-outage DURATION] [-parallel N] [-keep] [SCENARIO...]
//	./test/chaos/run -for DURATION    a random mixture of faults
//	./test/chaos/run -scale           200 workers while the main server restarts
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

func main() {
	if played, code := playRole(); played {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	switch err := command(ctx, os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// options are the same for all runs.
type options struct {
	outage time.Duration // of the scenarios that say so
	slack  time.Duration // beyond every limit, for machines that do much else
	keep   bool
	dir    string // where the runs' folders are; empty means the system's place for temporary files
	say    func(line string)
}

func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	list := flags.Bool("list", false, "list the scenarios")
	seeds := flags.Uint64("seeds", 1, "run each scenario with `N` seeds, which vary instants and durations")
	first := flags.Uint64("seed", 1, "the first `seed`")
	mixed := flags.Duration("for", 0, "run a random mixture of faults for `DURATION`, beside the scenarios that are named")
	outage := flags.Duration("outage", time.Minute, "how long services are away in scenarios that say so")
	parallel := flags.Int("parallel", 2, "run `N` at a time")
	slack := flags.Duration("slack", 0, "let everything take so much longer than its limit, on a machine that does much else")
	keep := flags.Bool("keep", false, "keep all logs and data; those of a run with a fault are kept anyway")
	scale := flags.Bool("scale", false, "measure 200 workers while the main server restarts")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "Usage: ./test/chaos/run [flags] [SCENARIO...]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	var printing sync.Mutex
	opts := options{outage: *outage, slack: *slack, keep: *keep, say: func(line string) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Println(line)
	}}
	switch {
	case *list:
		for _, s := range scenarios {
			fmt.Printf("%-20s %s\n", s.name, s.about)
		}
		return nil
	case *scale:
		return measureScale(ctx, opts)
	}
	var chosen []scenario
	if flags.NArg() > 0 || *mixed == 0 {
		var err error
		if chosen, err = find(flags.Args()); err != nil {
			return err
		}
	}
	var tasks []func() outcome
	for seed := *first; seed < *first+*seeds; seed++ {
		for _, s := range chosen {
			tasks = append(tasks, func() outcome { return play(ctx, s, seed, opts) })
		}
		if *mixed > 0 {
			tasks = append(tasks, func() outcome { return play(ctx, mixture(*mixed), seed, opts) })
		}
	}
	outcomes := inParallel(ctx, *parallel, tasks)
	summarize(outcomes)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	failed := 0
	for _, o := range outcomes {
		if !o.ok() {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d runs have a fault", failed, len(outcomes))
	}
	return nil
}

// inParallel runs tasks, n at a time, and returns what came of those that were begun before ctx ended.
func inParallel(ctx context.Context, n int, tasks []func() outcome) []outcome {
	outcomes := make([]outcome, len(tasks))
	room := make(chan struct{}, max(n, 1))
	var running sync.WaitGroup
	begun := 0
	for i, task := range tasks {
		room <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		begun++
		running.Go(func() {
			outcomes[i] = task()
			<-room
		})
	}
	running.Wait()
	return outcomes[:begun]
}

// summarize prints a line for each run.
func summarize(outcomes []outcome) {
	t := table.NewWriter()
	t.SetOutputMirror(os.Stdout)
	t.AppendHeader(table.Row{"scenario", "seed", "tasks", "lost", "twice", "tries burnt", "first result", "begun since", "took", ""})
	for _, o := range outcomes {
		verdict := "ok"
		if o.skipped != "" {
			verdict = "skipped: " + o.skipped
		}
		if !o.ok() {
			problem, _, _ := strings.Cut(o.problems[0], "\n")
			verdict = fmt.Sprintf("FAULT: %.100s (%s)", problem, o.dir)
		}
		t.AppendRow(table.Row{o.scenario, o.seed, o.tasks, o.lost, o.twice, o.burnt, seconds(o.first), seconds(o.fresh), seconds(o.took), verdict})
	}
	fmt.Println()
	t.Render()
	fmt.Println("first result: after a fault's end, of any task; begun since: of a task that was begun after it. The worst of a run.")
}
