package e2e_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
	"github.com/gvpocr/worker/test/samples"
)

// scene is a main server, its backend, and the folders that its workers see.
type scene struct {
	t           *testing.T
	ctx         context.Context // ends with the test, by its patience at the latest
	server      *mainserver.Server
	backend     *backend.Backend
	dir         string // holds the folders below, and what is outside of them
	root        string // GVPOCR_PATH
	newsletters string // NEWSLETTERS_PATH
}

func newScene(t *testing.T, cfg mainserver.Config) *scene {
	t.Helper()
	needTesseract(t)
	// Workers store paths that are free of symbolic links, and a system's temporary folder may be one.
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	s := &scene{t: t, ctx: ctx, dir: dir, root: filepath.Join(dir, "scans"), newsletters: filepath.Join(dir, "letters")}
	for _, folder := range []string{s.root, s.newsletters} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if s.server, err = mainserver.Start(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.server.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.backend, err = backend.Connect(s.server.MongoURI, s.server.NSQDAddr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.backend.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// allow gives the test another time than its patience.
func (s *scene) allow(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	s.t.Cleanup(cancel)
	s.ctx = ctx
}

// worker starts a worker as the compose file does, with the lines that say where the main server is.
func (s *scene) worker(id string, env ...string) *worker {
	s.t.Helper()
	return runWorker(s.t, s.environ(id, env...))
}

func (s *scene) environ(id string, env ...string) []string {
	return slices.Concat(composeEnvironment(id, s.root, s.newsletters), s.server.Environ(), env)
}

// put copies a sample page to a path below the scene's folder, and returns its absolute path.
func (s *scene) put(sample, path string) string {
	s.t.Helper()
	data, err := fs.ReadFile(samples.Pages(), sample)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.write(path, data)
}

func (s *scene) write(path string, data []byte) string {
	s.t.Helper()
	path = filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// submit publishes a job of tasks, which get its id and their place in it.
func (s *scene) submit(tasks ...backend.Task) (job string) {
	s.t.Helper()
	job, err := s.backend.Create(s.ctx, len(tasks))
	if err != nil {
		s.t.Fatal(err)
	}
	for i, task := range tasks {
		task.JobID, task.FileIndex, task.TotalFiles = job, i, len(tasks)
		if err := s.backend.Publish(s.ctx, task); err != nil {
			s.t.Fatal(err)
		}
	}
	return job
}

// publishRaw publishes a body, and counts it for the job as the backend does unless the job is empty.
func (s *scene) publishRaw(job, body string) {
	s.t.Helper()
	if err := s.backend.PublishRaw(s.ctx, []byte(body)); err != nil {
		s.t.Fatal(err)
	}
	if job == "" {
		return
	}
	_, err := s.backend.Jobs().UpdateOne(s.ctx, bson.M{"job_id": job}, bson.M{"$inc": bson.M{"published_count": 1}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// finish waits until a job is done by the aggregator's condition and the queue holds nothing of it any more.
func (s *scene) finish(job string) backend.Job {
	s.t.Helper()
	if _, err := s.backend.Wait(s.ctx, job, nil); err != nil {
		s.t.Fatal(err)
	}
	s.wantIdleQueue()
	// What was left in the queue could have been counted meanwhile.
	done, err := s.backend.Job(s.ctx, job)
	if err != nil {
		s.t.Fatal(err)
	}
	if !done.Done() {
		s.t.Errorf("the job is not done any more: published %d, consumed %d, results %d, errors %d", done.PublishedCount,
			done.ConsumedCount, len(done.Checkpoint.Results), len(done.Checkpoint.Errors))
	}
	return done
}

// wantResults checks that a job's files were all recognized, each once.
func (s *scene) wantResults(job backend.Job, paths ...string) {
	s.t.Helper()
	for _, e := range job.Checkpoint.Errors {
		s.t.Errorf("%s: %s", e.FilePath, e.Error)
	}
	var got []string
	for _, r := range job.Checkpoint.Results {
		got = append(got, r.FilePath)
		if r.Status != "success" {
			s.t.Errorf("%s: status %q", r.FilePath, r.Status)
		}
	}
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(paths)); !slices.Equal(got, want) {
		s.t.Errorf("recognized are %q, want %q", got, want)
	}
}

// errorRateIsLow checks a recognized text against the sample's true one.
func (s *scene) errorRateIsLow(sample string, r backend.Result) {
	s.t.Helper()
	truth, err := samples.Truth(samples.Pages(), sample)
	if err != nil {
		s.t.Fatal(err)
	}
	limit := 0.02
	if slices.Contains(samples.Languages(samples.Pages(), sample), "hi") {
		limit = 0.05
	}
	if rate := samples.ErrorRate(truth, r.Text); rate >= limit {
		s.t.Errorf("%s: %.2f %% of the characters are wrong, not less than %.0f %%", r.File, 100*rate, 100*limit)
	}
}
