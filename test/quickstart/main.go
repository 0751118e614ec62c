// Command quickstart runs the main job from end to end: it starts a main server in a process of its own, creates a job
// over page images, starts the real worker with the environment that a compose file gives it today plus the DIAL_ lines
// that say where the main server is, and shows what the worker recognized.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cheggaaa/pb/v3"
	"github.com/mattn/go-isatty"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/samples"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// pageTime is how long the worker may be silent: no page of a size that is accepted takes longer on a slow machine.
const pageTime = 3 * time.Minute

func run(ctx context.Context) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	keep := flags.Bool("keep", false, "leave the main server running, and say how to reach it")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "Usage: ./test/quickstart/run [--keep] [FOLDER of page images]")
		flags.PrintDefaults()
	}
	folders, err := parse(flags, os.Args[1:])
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "quickstart")
	if err != nil {
		return err
	}
	kept, finished := false, false
	defer func() {
		if !kept {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	job, err := preparePages(dir, folders)
	if err != nil {
		return err
	}

	fmt.Println("Building the worker and the main server ...")
	programs, err := build(ctx, dir)
	if err != nil {
		return err
	}
	server, err := startServer(ctx, programs.server, dir)
	if err != nil {
		return err
	}
	defer func() {
		if *keep && finished {
			kept = true
			server.describe(os.Stdout, job.folder, dir)
			return
		}
		err = errors.Join(err, server.stop())
	}()

	b, err := backend.Connect(server.vars["MONGO_DIRECT_URI"], server.vars["NSQD_TCP"])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	id, err := publish(ctx, b, job)
	if err != nil {
		return err
	}
	worker, err := startWorker(programs.worker, dir, job.folder, server.dialLines())
	if err != nil {
		return err
	}
	done, err := follow(ctx, b, id, worker)
	if ctx.Err() != nil {
		return errors.Join(errors.New("interrupted"), worker.stop())
	}
	if err != nil {
		return errors.Join(err, worker.stop(), worker.showLog(os.Stderr))
	}
	finished = true
	if err := worker.stop(); err != nil {
		return errors.Join(fmt.Errorf("worker: %w", err), worker.showLog(os.Stderr))
	}
	return report(os.Stdout, job, done)
}

// parse takes flags before and after the folder.
func parse(flags *flag.FlagSet, args []string) (folders []string, err error) {
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if args = flags.Args(); len(args) > 0 {
			folders, args = append(folders, args[0]), args[1:]
		}
	}
	return folders, nil
}

// job is the pages of one job.
type job struct {
	pages  fs.FS
	images []string // in the top folder of pages
	folder string   // of the pages on disk
	own    bool     // the project's samples, whose error rates are known
}

// preparePages finds the pages: the project's, copied to disk, or those of a folder.
func preparePages(dir string, args []string) (job, error) {
	j := job{pages: samples.Pages(), folder: filepath.Join(dir, "pages"), own: true}
	switch len(args) {
	case 0:
		if err := os.CopyFS(j.folder, j.pages); err != nil {
			return job{}, err
		}
	case 1:
		j.own = false
		j.folder = args[0]
		if from := os.Getenv("QUICKSTART_CALLED_FROM"); !filepath.IsAbs(j.folder) && from != "" {
			j.folder = filepath.Join(from, j.folder)
		}
		var err error
		if j.folder, err = filepath.Abs(j.folder); err != nil {
			return job{}, err
		}
		j.pages = os.DirFS(j.folder)
	default:
		return job{}, errors.New("one folder at most")
	}
	var err error
	j.images, err = samples.Images(j.pages)
	if err == nil && len(j.images) == 0 {
		err = fmt.Errorf("%s holds no page images (.jpg, .png, .tif, .bmp, .gif, .webp)", j.folder)
	}
	return j, err
}

// publish creates the job as the backend does.
func publish(ctx context.Context, b *backend.Backend, j job) (id string, err error) {
	id, err = b.Create(ctx, len(j.images))
	if err != nil {
		return "", err
	}
	for i, image := range j.images {
		err := b.Publish(ctx, backend.Task{
			JobID: id, FilePath: "Bhushanji/" + image, FileIndex: i, TotalFiles: len(j.images),
			Languages: samples.Languages(j.pages, image),
		})
		if err != nil {
			return "", err
		}
	}
	return id, nil
}

// follow shows a progress bar until the job is done. It gives up when the worker ends, or is silent for too long.
func follow(ctx context.Context, b *backend.Backend, id string, w *worker) (backend.Job, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-w.exited:
			cancel(errors.New("the worker has ended"))
		case <-ended:
		}
	}()
	silence := time.AfterFunc(pageTime, func() {
		cancel(fmt.Errorf("the worker has finished no page for %v", pageTime))
	})
	defer silence.Stop()

	show, finish := progress()
	defer finish()
	counted := -1
	return b.Wait(ctx, id, func(j backend.Job) {
		if j.ConsumedCount > counted {
			counted = j.ConsumedCount
			silence.Reset(pageTime)
			show(j.ConsumedCount, j.PublishedCount)
		}
	})
}

// progress shows a bar on a terminal, and a line for each page elsewhere.
func progress() (show func(done, of int), finish func()) {
	if !isatty.IsTerminal(os.Stderr.Fd()) {
		return func(done, of int) { fmt.Printf("Recognized %d of %d pages\n", done, of) }, func() {}
	}
	bar := pb.New(0).SetTemplateString(`Recognizing {{counters . }} {{bar . }} {{percent . }} {{etime . }}`).Start()
	return func(done, of int) { bar.SetTotal(int64(of)).SetCurrent(int64(done)) }, func() { bar.Finish() }
}
