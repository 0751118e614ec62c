package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// The other worker of a mixed fleet is this test program itself, started with these variables.
const (
	pythonID    = "E2E_PYTHON_WORKER"
	pythonNSQD  = "E2E_PYTHON_NSQD"
	pythonMongo = "E2E_PYTHON_MONGO"
	pythonRoot  = "E2E_PYTHON_ROOT"
	pythonDieAt = "E2E_PYTHON_DIE_AT" // after so many results are stored it ends, with that message unanswered
)

func init() {
	if id := os.Getenv(pythonID); id != "" {
		if err := pythonWorker(id); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// pythonWorker works as the Python worker does, faults included: it takes one message at a time off the channel that all
// workers share, reads the whole job document to see whether the file is done, does not touch the message, requeues what
// fails without a trace in the body, and keys its update by the path and the message's own id.
func pythonWorker(id string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv(pythonMongo)))
	if err != nil {
		return err
	}
	dieAt, _ := strconv.Atoi(os.Getenv(pythonDieAt)) // 0: never
	w := &python{
		id: id, root: os.Getenv(pythonRoot), dieAt: dieAt,
		jobs: client.Database("gvpocr").Collection("bulk_jobs", options.Collection().SetWriteConcern(writeconcern.Majority())),
	}
	consumer, err := nsq.NewConsumer(backend.Topic, "bulk_ocr_workers", nsq.NewConfig())
	if err != nil {
		return err
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	consumer.AddHandler(w)
	if err := consumer.ConnectToNSQD(os.Getenv(pythonNSQD)); err != nil {
		return err
	}
	<-ctx.Done()
	consumer.Stop()
	<-consumer.StopChan
	return client.Disconnect(context.Background())
}

type python struct {
	id, root      string
	jobs          *mongo.Collection
	stored, dieAt int
}

func (w *python) HandleMessage(m *nsq.Message) error {
	fmt.Println("began", string(m.ID[:]))
	ctx := context.Background()
	var task backend.Task
	if err := json.Unmarshal(m.Body, &task); err != nil {
		return err
	}
	path := filepath.Join(w.root, task.FilePath)
	var job struct {
		Checkpoint struct {
			Done []string `bson:"processed_files"`
		} `bson:"checkpoint"`
	}
	if err := w.jobs.FindOne(ctx, bson.M{"job_id": task.JobID}).Decode(&job); err != nil {
		return err
	}
	if slices.Contains(job.Checkpoint.Done, path) {
		return nil
	}
	if task.FileIndex%7 == 6 && m.Attempts == 1 { // what failed goes back as it came
		m.RequeueWithoutBackoff(100 * time.Millisecond)
		return nil
	}
	<-time.After(400 * time.Millisecond) // recognizing
	now := time.Now().UTC()
	updated, err := w.jobs.UpdateOne(ctx,
		bson.M{
			"job_id": task.JobID, "checkpoint.processed_files": bson.M{"$ne": path},
			"checkpoint.processed_message_ids": bson.M{"$ne": string(m.ID[:])},
		},
		bson.M{
			"$push": bson.M{"checkpoint.results": bson.M{
				"file": filepath.Base(path), "file_path": path, "file_index": task.FileIndex, "status": "success", "provider": task.Provider,
				"text": "text", "full_text": "text", "confidence": 0.9, "blocks_count": 1, "words_count": 0, "pages_processed": 1,
				"metadata":     bson.M{"processing_time": 0.4, "worker_id": w.id},
				"processed_at": now.Format("2006-01-02T15:04:05.000000"), "retry_count": 0,
			}},
			"$addToSet": bson.M{"checkpoint.processed_files": path, "checkpoint.processed_message_ids": string(m.ID[:])},
			"$inc":      bson.M{"consumed_count": 1},
			"$set":      bson.M{"updated_at": now, "progress.filename": filepath.Base(path)},
		})
	if err != nil {
		return err
	}
	if w.stored += int(updated.ModifiedCount); w.stored == w.dieAt {
		os.Exit(1)
	}
	return nil
}

// startPython starts the other worker. The test's end ends it.
func (s *scene) startPython(id string, env ...string) *worker {
	s.t.Helper()
	dir := s.t.TempDir()
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	w := &worker{t: s.t, cmd: exec.Command(os.Args[0]), log: out.Name(), exited: make(chan struct{})}
	w.cmd.Env = slices.Concat(systemEnvironment(dir), env, []string{
		pythonID + "=" + id, pythonNSQD + "=" + s.server.NSQDAddr, pythonMongo + "=" + s.server.MongoURI, pythonRoot + "=" + s.root,
	})
	w.cmd.Stdout, w.cmd.Stderr = out, out
	if err := w.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(w.exited)
		w.cmd.Wait()
	}()
	s.t.Cleanup(func() {
		w.signal(syscall.SIGTERM)
		if code := w.exitCode(); code != 0 && !w.fails {
			s.t.Errorf("%s ended with code %d:\n%s", id, code, w.text())
		}
	})
	return w
}

func TestAPythonWorkerAndOursShareAJobAndEveryFileIsCountedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{MsgTimeout: takeBack})
	submit := func(folder string, files int) (job string, paths []string) {
		var tasks []backend.Task
		for i := range files {
			name := fmt.Sprintf("%s/%02d.gif", folder, i)
			paths = append(paths, s.put("notice.gif", "scans/"+name))
			tasks = append(tasks, backend.Task{FilePath: name})
		}
		return s.submit(tasks...), paths
	}
	counted := func(j backend.Job, worker string) (n int) {
		for _, r := range j.Checkpoint.Results {
			if strings.HasPrefix(r.Metadata.WorkerID, worker) {
				n++
			}
		}
		return n
	}
	g := newGate(t)
	s.worker("ours", g.environ(), "OCR_CONCURRENCY=1")
	first := s.startPython("python-1", pythonDieAt+"=5")
	first.fails = true
	job, paths := submit("a", 10)
	// It dies between its fifth result and the answer to the message, which comes to ours then.
	g.waitBegun(1)
	<-first.exited
	g.open()
	done := s.finish(job)
	s.wantResults(done, paths...)
	if ours, theirs := counted(done, "ours"), counted(done, "python-1"); ours != 5 || theirs != 5 {
		t.Errorf("%d by ours and %d by the other worker, want 5 and 5", ours, theirs)
	}

	second := s.startPython("python-2")
	job, paths = submit("b", 30)
	eventually(t, "the other worker is in the middle of its third task", func() bool { return strings.Count(second.text(), "began") >= 3 })
	second.kill()
	s.startPython("python-3")
	done = s.finish(job)
	s.wantResults(done, paths...)
	t.Logf("%d by ours, %d by the other worker before it was killed and %d after", counted(done, "ours"), counted(done, "python-2"), counted(done, "python-3"))
}
