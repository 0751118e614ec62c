package main

import (
	"fmt"
	"io"
	"time"

	"github.com/cheggaaa/pb/v3"
	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker/jobs"
)

const (
	followEvery = 500 * time.Millisecond

	// stuckAfter is how long no file may be finished before it is said that there may be no worker.
	stuckAfter = time.Minute
)

// follow shows how far a job is until what was published of it is done, and sums it up. The caller knows that no more is published.
func follow(cmd *cobra.Command, c *batch.Client, id string) error {
	f := follower{begin: time.Now(), changed: time.Now(), say: cmd.ErrOrStderr()}
	f.bar = newBar(f.say, `{{counters . }} {{bar . }} {{percent . }} {{string . "speed"}} {{string . "left"}}`)
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		j, err := c.Job(cmd.Context(), id)
		switch {
		case cmd.Context().Err() != nil:
			f.end()
			return fmt.Errorf("interrupted; the job goes on: ocr-worker status %s", id)
		case jobs.IsOutage(err):
			f.away(err)
		case err != nil:
			f.end()
			return err
		default:
			f.show(j)
		}
		if err == nil && (j.CaughtUp() || j.Ended()) {
			f.end()
			return sumUp(cmd.OutOrStdout(), j, f.pages(j), time.Since(f.begin))
		}
		select {
		case <-ticker.C:
		case <-cmd.Context().Done():
		}
	}
}

// follower shows a bar on a terminal, and lines elsewhere.
type follower struct {
	begin   time.Time
	changed time.Time // when a file was finished last
	bar     *pb.ProgressBar
	say     io.Writer

	seen       bool
	first      batch.Job // as it was found
	finished   int
	paused     bool
	saidStuck  bool
	saidOutage bool
}

func (f *follower) show(j batch.Job) {
	if f.saidOutage {
		f.saidOutage = false
		f.line("MongoDB is back")
	}
	if !f.seen {
		f.seen, f.first, f.finished = true, j, -1
	}
	if j.Consumed != f.finished {
		f.finished, f.changed, f.saidStuck = j.Consumed, time.Now(), false
		if f.bar == nil {
			fmt.Fprintf(f.say, "%d of %s, %s %s\n", j.Consumed, files(j.Published), f.speed(j), f.left(j))
		}
	}
	if f.bar != nil {
		f.bar.SetTotal(int64(j.Published)).SetCurrent(int64(j.Consumed)).Set("speed", f.speed(j)).Set("left", f.left(j))
	}
	if paused := j.Status == "paused"; paused != f.paused {
		f.paused, f.changed = paused, time.Now()
		if paused {
			f.line("the job is paused: its files wait until it is resumed")
		} else {
			f.line("the job is resumed")
		}
	}
	if !f.paused && !f.saidStuck && time.Since(f.changed) > stuckAfter {
		f.saidStuck = true
		f.line(fmt.Sprintf("no file was finished for %v: does a worker run? ocr-worker check says whether it can", stuckAfter))
	}
}

// pages are those that were recognized since the job is followed.
func (f *follower) pages(j batch.Job) int { return max(j.Pages-f.first.Pages, 0) }

func (f *follower) speed(j batch.Job) string {
	return fmt.Sprintf("%.2f pages/s", float64(f.pages(j))/max(time.Since(f.begin).Seconds(), 0.001))
}

// left is the time for the files that are left, at the pace of those since the job is followed.
func (f *follower) left(j batch.Job) string {
	done := j.Consumed - f.first.Consumed
	if done <= 0 {
		return ""
	}
	each := time.Since(f.begin) / time.Duration(done)
	return fmt.Sprintf("%v left", (time.Duration(max(j.Published-j.Consumed, 0)) * each).Round(time.Second))
}

func (f *follower) away(err error) {
	if !f.saidOutage {
		f.saidOutage = true
		f.line(fmt.Sprintf("MongoDB is away; it is asked again: %v", err))
	}
}

// clearLine is for a terminal that shows a bar.
const clearLine = "\r\x1b[K"

// line says something above the bar.
func (f *follower) line(text string) {
	if f.bar != nil {
		fmt.Fprint(f.say, clearLine)
	}
	fmt.Fprintln(f.say, text)
}

func (f *follower) end() {
	if f.bar != nil {
		f.bar.Finish()
	}
}

// sumUp says how a job has ended.
func sumUp(out io.Writer, j batch.Job, pages int, took time.Duration) error {
	_, err := fmt.Fprintf(out, "%s: %d recognized, %d failed; %s in %v, %.2f pages/s\n", files(j.Consumed), j.Recognized(), len(j.Errors),
		counted(pages, "page", "pages"), took.Round(100*time.Millisecond), float64(pages)/max(took.Seconds(), 0.001))
	printFailed(out, j)
	switch {
	case err != nil:
		return err
	case j.Ended():
		return fmt.Errorf("the job's status is %s", j.Status)
	case len(j.Errors) > 0:
		return fmt.Errorf("%s failed; ocr-worker retry %s tries again", files(len(j.Errors)), j.ID)
	}
	return nil
}

// maxFailed bounds how many failed files are listed for people.
const maxFailed = 20

func printFailed(out io.Writer, j batch.Job) {
	for _, e := range j.Errors[:min(len(j.Errors), maxFailed)] {
		fmt.Fprintf(out, "  %s: %s\n", e.Path, e.Reason)
	}
	if more := len(j.Errors) - maxFailed; more > 0 {
		fmt.Fprintf(out, "  and %d more; ocr-worker status --json %s lists all\n", more, j.ID)
	}
}
