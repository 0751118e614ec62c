package containers_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/samples"
)

// scene is a main server in a network of its own, and a second network, with a folder of pages, for workers.
type scene struct {
	t               *testing.T
	ctx             context.Context // ends with the test, by its patience at the latest
	engine          *testcontainers.DockerClient
	inside, outside *testcontainers.DockerNetwork
	server          *mainServer
	folder          string // of pages, on this machine
}

// inContainer is where workers see the folder.
const inContainer = "/app/Bhushanji"

func newScene(t *testing.T) *scene {
	t.Helper()
	docker := needEngine(t)
	needImages(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	s := &scene{t: t, ctx: ctx, engine: docker, folder: t.TempDir()}
	// The worker is another user than this one.
	if err := os.Chmod(s.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	s.inside, s.outside = s.network(), s.network()
	s.server = newMainServer(s)
	return s
}

func (s *scene) network() *testcontainers.DockerNetwork {
	s.t.Helper()
	n, err := tcnetwork.New(s.ctx)
	testcontainers.CleanupNetwork(s.t, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// cleanupContext is for calls after the test's own context.
func (s *scene) cleanupContext() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s.t.Cleanup(cancel)
	return ctx
}

// job publishes a job over total pages, which are the project's samples in turn, and returns its id and the paths under
// which its results have to be.
func (s *scene) job(total int) (id string, paths []string) {
	s.t.Helper()
	names := []string{"notice.gif", "letter.jpg", "accounts.png", "memo.tif"}
	id, err := s.server.backend.Create(s.ctx, total)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range total {
		sample := names[i%len(names)]
		data, err := fs.ReadFile(samples.Pages(), sample)
		if err != nil {
			s.t.Fatal(err)
		}
		name := fmt.Sprintf("page-%03d%s", i, filepath.Ext(sample))
		if err := os.WriteFile(filepath.Join(s.folder, name), data, 0o644); err != nil {
			s.t.Fatal(err)
		}
		task := backend.Task{JobID: id, FilePath: "Bhushanji/" + name, FileIndex: i, TotalFiles: total, Languages: []string{"en"}}
		if err := s.server.backend.Publish(s.ctx, task); err != nil {
			s.t.Fatal(err)
		}
		paths = append(paths, inContainer+"/"+name)
	}
	return id, paths
}

// counted reads how many files of a job are counted.
func (s *scene) counted(id string) int {
	s.t.Helper()
	job, err := s.server.backend.Job(s.ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return job.ConsumedCount
}

func (s *scene) waitCounted(id string, n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d files are counted", n), func() bool { return s.counted(id) >= n })
}

// finish waits for a job and checks that each of its files was recognized, once, and that nothing is left in the queue.
func (s *scene) finish(id string, paths []string) backend.Job {
	s.t.Helper()
	if _, err := s.server.backend.Wait(s.ctx, id, nil); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "nothing is left in the queue", func() bool {
		q := s.server.queue()
		return q.Depth == 0 && q.InFlight == 0 && q.Deferred == 0
	})
	// What was left in the queue could have been counted meanwhile.
	job, err := s.server.backend.Job(s.ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	if !job.Done() {
		s.t.Errorf("the job is not done any more: published %d, consumed %d, results %d, errors %d", job.PublishedCount,
			job.ConsumedCount, len(job.Checkpoint.Results), len(job.Checkpoint.Errors))
	}
	for _, e := range job.Checkpoint.Errors {
		s.t.Errorf("%s: %s", e.FilePath, e.Error)
	}
	var got []string
	for _, r := range job.Checkpoint.Results {
		got = append(got, r.FilePath)
		if r.Status != "success" || r.Words == 0 {
			s.t.Errorf("%s: status %q, %d words", r.FilePath, r.Status, r.Words)
		}
		if r.Retries != 0 {
			s.t.Errorf("%s: it was tried again %d times; an outage costs no try", r.FilePath, r.Retries)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, paths) {
		s.t.Errorf("recognized are %q, want %q", got, paths)
	}
	return job
}

// shares tells how many files each worker has recognized.
func shares(job backend.Job) map[string]int {
	done := map[string]int{}
	for _, r := range job.Checkpoint.Results {
		done[r.Metadata.WorkerID]++
	}
	return done
}

// wantShares checks which workers have recognized files.
func (s *scene) wantShares(job backend.Job, workers ...string) {
	s.t.Helper()
	done := shares(job)
	s.t.Logf("files per worker: %v", done)
	if got := slices.Sorted(maps.Keys(done)); !slices.Equal(got, workers) {
		s.t.Errorf("files were recognized by %q, want %q", got, workers)
	}
}

// passes lets time go by: the length of an outage.
func (s *scene) passes(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
		s.t.Fatal(context.Cause(s.ctx))
	}
}

func readLogs(c testcontainers.Container) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := c.Logs(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}
