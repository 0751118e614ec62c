package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gvpocr/worker/test/backend"
)

// sound is a job of three files, and the document of one that is done.
func sound() (*job, document) {
	j := &job{}
	var d document
	for i := range 3 {
		path := fmt.Sprintf("/files/%d.png", i)
		j.paths = append(j.paths, path)
		d.Checkpoint.Results = append(d.Checkpoint.Results, backend.Result{FilePath: path, FileIndex: i, Text: pageText(i)})
		d.Checkpoint.Files = append(d.Checkpoint.Files, path)
		d.Checkpoint.Messages = append(d.Checkpoint.Messages, fmt.Sprint(i))
	}
	d.Published, d.Consumed = 3, 3
	d.Progress.Current, d.Progress.Percentage = 3, 100
	return j, d
}

func TestAJobIsFoundSoundOrWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil              func(j *job, d *document)
		lost, twice, burnt int
		says               string // empty: sound
	}{
		"sound": {spoil: func(*job, *document) {}},
		"a task is lost": {
			spoil: func(_ *job, d *document) {
				c := &d.Checkpoint
				c.Results, c.Files, c.Messages, d.Consumed = c.Results[:2], c.Files[:2], c.Messages[:2], 2
			},
			lost: 1, says: "1 tasks are lost, want 0",
		},
		"a task that had to be lost is lost": {
			spoil: func(j *job, d *document) {
				c := &d.Checkpoint
				c.Results, c.Files, c.Messages, d.Consumed, j.missing = c.Results[:2], c.Files[:2], c.Messages[:2], 2, 1
			},
			lost: 1,
		},
		"a task that had to be lost is there": {
			spoil: func(j *job, _ *document) { j.missing = 1 }, says: "0 tasks are lost, want 1",
		},
		"a task is counted twice": {
			spoil: func(_ *job, d *document) {
				d.Checkpoint.Results = append(d.Checkpoint.Results, d.Checkpoint.Results[0])
				d.Consumed++
			},
			twice: 1, says: "1 tasks are counted twice",
		},
		"a result and an error of one file": {
			spoil: func(j *job, d *document) {
				d.Checkpoint.Errors = append(d.Checkpoint.Errors, backend.Error{FilePath: j.paths[0], Error: "no"})
			},
			twice: 1, says: "1 tasks are counted twice",
		},
		"a try is burnt": {
			spoil: func(_ *job, d *document) { d.Checkpoint.Results[1].Retries = 2 }, burnt: 2, says: "2 tries were burnt",
		},
		"a page has another's text": {
			spoil: func(_ *job, d *document) { d.Checkpoint.Results[1].Text = pageText(2) }, says: "index 1, is \"page 2\"",
		},
		"a count is too high":         {spoil: func(_ *job, d *document) { d.Consumed = 4 }, says: "consumed_count: 4"},
		"a message is counted twice":  {spoil: func(_ *job, d *document) { d.Checkpoint.Messages = make([]string, 4) }, says: "processed_message_ids: 4"},
		"progress stays behind":       {spoil: func(_ *job, d *document) { d.Progress.Current = 2 }, says: "progress says 2"},
		"a file is not of the job":    {spoil: func(j *job, _ *document) { j.paths[2] = "/files/other.png" }, lost: 1, says: "/files/2.png is no file of the job"},
		"a file's error was recorded": {spoil: func(_ *job, d *document) { d.Checkpoint.Errors = []backend.Error{{File: "9.png", Error: "unreadable"}} }, says: "unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, d := sound()
			c.spoil(j, &d)
			got := j.examine(d)
			if got.lost != c.lost || got.twice != c.twice || got.burnt != c.burnt {
				t.Errorf("%d lost, %d twice, %d burnt, want %d, %d, %d", got.lost, got.twice, got.burnt, c.lost, c.twice, c.burnt)
			}
			said := strings.Join(got.problems, "\n")
			if !strings.Contains(said, c.says) || c.says == "" && said != "" {
				t.Errorf("the problems are %q, want one with %q", said, c.says)
			}
		})
	}
}

func TestTheFirstResultAfterAFaultIsToldFromThatOfATaskBegunSince(t *testing.T) {
	t.Parallel()
	end := time.Now()
	at := func(after time.Duration, took float64) event {
		return event{Time: end.Add(after), Msg: "recognized", Seconds: took}
	}
	events := []event{at(-time.Second, 0.1), at(time.Second, 3), {Time: end.Add(time.Second), Msg: "consuming"}, at(2*time.Second, 0.5)}
	first, fresh := latency(events, end)
	if first != time.Second || fresh != 2*time.Second {
		t.Errorf("first result after %v, of a task begun since after %v, want 1 s and 2 s", first, fresh)
	}
	if first, fresh := latency(events[:1], end); first >= 0 || fresh >= 0 {
		t.Errorf("first result after %v and %v, though there is none", first, fresh)
	}
}

func TestTheBusiestWindowIsFoundWhereverItBegins(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var times []time.Time
	for _, ms := range []int{0, 250, 90, 190, 180, 400} {
		times = append(times, now.Add(time.Duration(ms)*time.Millisecond))
	}
	if got := busiest(times, 100*time.Millisecond); got != 3 { // 180, 190, 250; 90 and 190 are 100 ms apart
		t.Errorf("%d in the busiest 100 ms, want 3", got)
	}
}
