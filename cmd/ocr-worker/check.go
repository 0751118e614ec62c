package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/internal/check"
	"github.com/gvpocr/worker/internal/services"
)

// watchEvery is the pause between two checks of --watch.
const watchEvery = 2 * time.Second

// checkCommand says whether the main server can be used from here.
func checkCommand() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "check [NAME[:PORT]...]",
		Short: "Say whether the main server can be used from here, and what is in the way",
		Long: `check says for each service who resolved its name and to what, how long TCP took to connect, and whether what answers
speaks the service's protocol: MongoDB hello, a login and a read of the jobs as the worker does them, over TLS where MONGO_URI or
DIALER_TLS asks for it; NSQ identify and a clean close; nsqlookupd /ping and /lookup; HTTP; SMB negotiate. Addresses that servers
hand out are tried as the worker would. Each endpoint is tried, once; one that answers in other words, or in none, is asked what
it is.

Without names it checks the services that the environment names: MONGO_URI, NSQD_ADDRESS, NSQLOOKUPD_ADDRESSES; if it names
none, mongodb-proxy, nsqd-proxy and nsqlookupd-proxy at their usual ports. It fails if one of these settings is missing and the
worker would not start without it. GVPOCR_SERVER_URL and SAMBA_HOST are checked too, but not counted:
the worker does not use them yet, and they decide neither the verdict nor the exit code. What is named on the command line is
checked alone, and counts.

The main server's services may be named without a port, and by their names on the main server. nsqd-proxy:4151 (nsqd's HTTP) and
nsqlookupd-proxy:4160 (where nsqds register) are known as well.

It ends with 0 if all is well, and with 1 otherwise. No password is shown.

With --watch it checks again every 2 s until it is interrupted: on a terminal the table is drawn anew; elsewhere each change is
printed, with the time, the verdict and its cause, and nothing while all stays as it is. Its exit code is that of the last check.`,
		Example: `  MAIN_SERVER_IP=172.12.0.132 ocr-worker check mongodb-proxy nsqd-proxy nsqlookupd-proxy
  docker exec gvpocr-worker-worker1-1 ocr-worker check
  ocr-worker check mongodb-proxy --json | jq .ok
  ocr-worker check --watch`,
		ValidArgsFunction: cobra.FixedCompletions(services.Names(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := checkConfig(args)
			if err != nil {
				return err
			}
			p := reportPrinter{out: cmd.OutOrStdout(), json: asJSON, compact: watch}
			if watch {
				return watchChecks(cmd.Context(), cfg, &p)
			}
			report, err := check.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if err := p.print(report); err != nil {
				return err
			}
			return failed(!report.OK)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON; with --watch one object a line")
	cmd.Flags().BoolVar(&watch, "watch", false, "check again every 2 s until interrupted")
	return cmd
}

// checkConfig finds out what to check.
func checkConfig(names []string) (check.Config, error) {
	worker, err := configWithoutEngines()
	if err != nil {
		return check.Config{}, err
	}
	worker.Dialer.Close() // check has its own
	dial, err := dialer.ConfigFromEnv(os.Environ())
	if err != nil {
		return check.Config{}, err
	}
	cfg := check.Config{Dialer: dial, MongoURI: worker.MongoURI, NSQ: worker.NSQ, Topic: batch.Topic}
	used := services.Of(worker)
	files, filesErr := services.Files(os.Environ())
	configured := slices.Concat(used, files)
	if len(names) == 0 {
		cfg.Services, cfg.Unused, cfg.Missing = used, files, worker.Missing()
		if filesErr != nil {
			cfg.Notes = strings.Split(filesErr.Error(), "\n")
		}
	}
	if len(names) == 0 && len(used) == 0 {
		names = []string{"mongodb-proxy", "nsqd-proxy", "nsqlookupd-proxy"}
	}
	for _, name := range names {
		named, err := services.Named(name, configured)
		switch {
		case errors.Is(err, services.ErrPort):
			return cfg, fmt.Errorf("%q: say which port, as in %s:27017; %w", name, name, err)
		case err != nil:
			return cfg, fmt.Errorf("a name on the command line: %w; MONGO_URI and the like are read from the environment", err)
		}
		for _, s := range named {
			if !slices.Contains(cfg.Services, s) {
				cfg.Services = append(cfg.Services, s)
			}
		}
	}
	if !slices.ContainsFunc(cfg.Services, func(s services.Service) bool { return s.Kind == services.MongoDB && slices.Contains(configured, s) }) {
		cfg.MongoURI = "" // it leads to another MongoDB than those that are checked
	}
	return cfg, nil
}

// reportPrinter prints reports as a table or as JSON.
type reportPrinter struct {
	out     io.Writer
	json    bool
	compact bool // JSON on one line
}

// terminal returns the width of the terminal that is printed to.
func (p reportPrinter) terminal() (width int, ok bool) {
	f, isFile := p.out.(*os.File)
	if !isFile || !isatty.IsTerminal(f.Fd()) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return width, err == nil
}

func (p reportPrinter) print(r check.Report) error {
	if p.json {
		encoder := json.NewEncoder(p.out)
		if !p.compact {
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(r)
	}
	width, terminal := p.terminal()
	return printed(p.out, func(w io.Writer) {
		check.Table{Color: terminal && os.Getenv("NO_COLOR") == "", Width: width}.Write(w, r)
	})
}

// watchChecks checks until ctx ends, and returns what the last check said.
func watchChecks(ctx context.Context, cfg check.Config, p *reportPrinter) error {
	_, terminal := p.terminal()
	terminal = terminal && !p.json
	var last *check.Report
	if terminal {
		// The other screen has no history that a table taller than the window would fill. What was said last stays on this one.
		fmt.Fprint(p.out, "\x1b[?1049h")
		defer func() {
			fmt.Fprint(p.out, "\x1b[?1049l")
			if last != nil {
				_ = p.print(*last) // the watch has ended, and says how by its exit code
			}
		}()
	}
	for {
		report, err := check.Run(ctx, cfg)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case p.json:
			err = p.print(report)
		case terminal:
			fmt.Fprintf(p.out, "\x1b[H\x1b[2J%s, every %v; interrupt to end\n\n", report.Time.Format(time.TimeOnly), watchEvery)
			err = p.print(report)
		default:
			err = printed(p.out, func(w io.Writer) { check.WriteChange(w, last, report) })
		}
		if err != nil {
			return err
		}
		last = &report
		timer := time.NewTimer(watchEvery)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
			timer.Stop()
		}
		break
	}
	return failed(last == nil || !last.OK)
}
