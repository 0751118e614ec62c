package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/internal/batch"
)

func TestFollowSaysWhyNothingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		f := follower{begin: time.Now(), changed: time.Now(), say: &said}
		show := func(status string, finished int, during time.Duration) {
			for range during / followEvery {
				time.Sleep(followEvery)
				f.show(batch.Job{Status: status, Total: 2, Published: 2, Consumed: finished, Pages: finished})
			}
		}
		want := func(text string) {
			t.Helper()
			if diff := cmp.Diff(text, said.String()); diff != "" {
				t.Errorf("it said (-want +got):\n%s", diff)
			}
			said.Reset()
		}
		show("processing", 0, 30*time.Second)
		want("0 of 2 files, 0.00 pages/s \n")
		// However long it is paused, nobody has to look for a worker.
		show("paused", 0, 10*time.Minute)
		want("the job is paused: its files wait until it is resumed\n")
		show("processing", 0, stuckAfter-time.Second)
		want("the job is resumed\n")
		show("processing", 0, 10*time.Minute)
		want("no file was finished for 1m0s: does a worker run? ocr-worker check says whether it can\n")
	})
}
