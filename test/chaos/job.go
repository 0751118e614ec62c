package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/test/backend"
)

// job is what the backend asks for, and what workers have made of it.
type job struct {
	id    string
	paths []string // of its pages; page i is at paths[i]
	// missing is how many of its tasks are known to be lost, since the queue that held them in memory was killed.
	missing int
}

// submit makes a job of as many pages. publish publishes its tasks.
func (r *run) submit(ctx context.Context, tasks int) (*job, error) {
	id, err := r.backend.Create(ctx, tasks)
	if err != nil {
		return nil, err
	}
	j := &job{id: id}
	folder := filepath.Join(r.pages, id)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	for i := range tasks {
		image, err := pageImage(i)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(folder, fmt.Sprintf("%05d.png", i))
		if err := os.WriteFile(path, image, 0o644); err != nil {
			return nil, err
		}
		j.paths = append(j.paths, path)
	}
	r.jobs = append(r.jobs, j)
	return j, nil
}

// publish publishes a job's tasks from one page up to another to a server, and counts them as the backend does.
func (r *run) publish(ctx context.Context, to *server, j *job, from, end int) error {
	var bodies [][]byte
	for i := from; i < end; i++ {
		body, err := json.Marshal(backend.Task{
			JobID: j.id, FilePath: "Bhushanji/" + j.id + "/" + filepath.Base(j.paths[i]), FileIndex: i, TotalFiles: len(j.paths),
			ProcessingMode: "single", Provider: provider, Languages: []string{"en"},
			EnqueuedAt: time.Now().UTC().Format("2006-01-02T15:04:05.000000"),
		})
		if err != nil {
			return err
		}
		bodies = append(bodies, body)
	}
	if err := to.publish(ctx, bodies); err != nil {
		return err
	}
	_, err := r.backend.Jobs().UpdateOne(ctx, bson.M{"job_id": j.id}, bson.M{"$inc": bson.M{"published_count": end - from}})
	return err
}

// document is a job's document, as far as it must be consistent.
type document struct {
	Status     string `bson:"status"`
	Published  int    `bson:"published_count"`
	Consumed   int    `bson:"consumed_count"`
	Checkpoint struct {
		Files    []string         `bson:"processed_files"`
		Messages []string         `bson:"processed_message_ids"`
		Results  []backend.Result `bson:"results"`
		Errors   []backend.Error  `bson:"errors"`
	} `bson:"checkpoint"`
	Progress struct {
		Current    int `bson:"current"`
		Percentage int `bson:"percentage"`
	} `bson:"progress"`
}

func (r *run) document(ctx context.Context, j *job) (document, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var d document
	err := r.backend.Jobs().FindOne(ctx, bson.M{"job_id": j.id}).Decode(&d)
	return d, err
}

// counts compares a job's document with what it has to be.
type counts struct {
	tasks, lost, twice, burnt int
	problems                  []string
}

func (c *counts) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *counts) add(o counts) {
	c.tasks += o.tasks
	c.lost += o.lost
	c.twice += o.twice
	c.burnt += o.burnt
	c.problems = append(c.problems, o.problems...)
}

// examine checks that each task is in the document once, with its own page's text, and that the counts agree.
func (j *job) examine(d document) counts {
	c := counts{tasks: len(j.paths)}
	times := map[string]int{}
	for _, result := range d.Checkpoint.Results {
		times[result.FilePath]++
		c.burnt += result.Retries
		if i := result.FileIndex; i < 0 || i >= len(j.paths) || j.paths[i] != result.FilePath || result.Text != pageText(i) {
			c.problem("the result of %s, index %d, is %q", result.File, result.FileIndex, result.Text)
		}
	}
	for _, failure := range d.Checkpoint.Errors {
		times[failure.FilePath]++
		c.problem("an error is recorded of %s: %s", failure.File, failure.Error)
	}
	known := map[string]bool{}
	for _, path := range j.paths {
		known[path] = true
		if times[path] == 0 {
			c.lost++
		}
		if times[path] > 1 {
			c.twice++
		}
	}
	for path := range times {
		if !known[path] {
			c.problem("%s is no file of the job", path)
		}
	}
	want := len(j.paths) - c.lost
	for what, got := range map[string]int{
		"consumed_count":                     d.Consumed,
		"results and errors":                 len(d.Checkpoint.Results) + len(d.Checkpoint.Errors),
		"processed_files":                    len(d.Checkpoint.Files),
		"processed_message_ids":              len(d.Checkpoint.Messages),
		"published_count, less what is lost": d.Published - c.lost,
	} {
		if got != want {
			c.problem("%s: %d, and %d files are counted", what, got, want)
		}
	}
	switch {
	case c.lost != j.missing:
		c.problem("%d tasks are lost, want %d", c.lost, j.missing)
	case c.lost == 0 && (d.Progress.Current != want || d.Progress.Percentage != 100):
		// It follows once a second, and at the last file.
		c.problem("the job is done, and progress says %d files, %d %%", d.Progress.Current, d.Progress.Percentage)
	}
	if c.twice > 0 {
		c.problem("%d tasks are counted twice", c.twice)
	}
	if c.burnt > 0 {
		c.problem("%d tries were burnt", c.burnt)
	}
	return c
}
