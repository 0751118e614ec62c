package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

func TestASecondLinkToAFileIsCountedAsADuplicate(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	path := s.put("notice.gif", "scans/real.gif")
	if err := os.Symlink("real.gif", filepath.Join(s.root, "link.gif")); err != nil {
		t.Fatal(err)
	}
	s.worker("worker1")
	done := s.finish(s.submit(
		backend.Task{FilePath: "real.gif"}, backend.Task{FilePath: "link.gif"}, backend.Task{FilePath: "Bhushanji/./real.gif"},
	))
	if len(done.Checkpoint.Errors) != 2 {
		t.Errorf("%d errors, want 2", len(done.Checkpoint.Errors))
	}
	for _, e := range done.Checkpoint.Errors {
		if e.Error != "duplicate of "+path || e.FilePath != path {
			t.Errorf("%s: %q, want duplicate of %s", e.FilePath, e.Error, path)
		}
	}
	done.Checkpoint.Errors = nil
	s.wantResults(done, path)
}

func TestATaskThatIsPublishedTwiceIsCountedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	path := s.put("notice.gif", "scans/1.gif")
	job, err := s.backend.Create(s.ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"job_id": %q, "file_path": "1.gif", "file_index": 0}`, job)
	s.publishRaw(job, body)
	s.publishRaw("", body) // a publisher that did not hear the first answer
	s.worker("worker1", "OCR_CONCURRENCY=2")
	s.worker("worker2")
	s.wantResults(s.finish(job), path)
}

// BSON takes UTF-8 only, and a reader of another driver fails over a whole document with one string that is not.
func TestAFileWhoseNameIsNotUTF8IsRecognized(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	s.put("notice.gif", "scans/not\xffice.gif")
	if err := os.Symlink("not\xffice.gif", filepath.Join(s.root, "link.gif")); err != nil {
		t.Fatal(err)
	}
	s.worker("worker1")
	s.wantResults(s.finish(s.submit(backend.Task{FilePath: "link.gif"})), filepath.Join(s.root, "not\uFFFDice.gif"))
}

func TestAJobThatIsFullSaysSoForItsOtherFiles(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	path := s.put("memo.tif", "scans/memo.tif") // 850 characters, stored twice
	job := s.submit(backend.Task{FilePath: "memo.tif"})
	full := bson.M{"$set": bson.M{"padding": strings.Repeat("x", 16<<20-2500)}}
	if _, err := s.backend.Jobs().UpdateOne(s.ctx, bson.M{"job_id": job}, full); err != nil {
		t.Fatal(err)
	}
	s.worker("worker1")
	done := s.finish(job)
	if len(done.Checkpoint.Errors) != 1 || done.Checkpoint.Errors[0].FilePath != path ||
		!strings.Contains(done.Checkpoint.Errors[0].Error, "16 MiB a document; make smaller jobs") {
		t.Errorf("the errors are %+v, want one that says that the job's document is full", done.Checkpoint.Errors)
	}
}

func TestMessagesThatCantBeRecordedBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	path := s.put("notice.gif", "scans/1.gif")
	w := s.worker("worker1")
	hopeless := []string{
		"no JSON at all",
		"\x00\xff\xfe",
		`{"job_id": "1", "file_path": "1.gif", "file_index": 0} {"job_id": "2"}`,
		`{"job_id": "", "file_path": "1.gif", "file_index": 0}`,
		`{"job_id": "1", "file_path": "1.gif"}`,
		`{"job_id": "1", "file_path": ["1.gif"], "file_index": 0}`,
		`[]`,
	}
	for _, body := range hopeless {
		s.publishRaw("", body)
	}
	s.publishRaw("", `{"job_id": "no-such-job", "file_path": "1.gif", "file_index": 0, "note": "kept"}`)
	s.wantResults(s.finish(s.submit(backend.Task{FilePath: "1.gif"})), path)

	letters := s.deadLetters(len(hopeless) + 1)
	var lost struct {
		JobID   string `json:"job_id"`
		Note    string `json:"note"`
		Attempt int    `json:"attempt"`
	}
	for _, letter := range letters {
		if i := slices.Index(hopeless, letter); i >= 0 {
			hopeless = slices.Delete(hopeless, i, i+1)
			continue
		}
		if err := json.Unmarshal([]byte(letter), &lost); err != nil {
			t.Errorf("this body was never published: %q", letter)
		}
	}
	if len(hopeless) > 0 {
		t.Errorf("no dead letter has these bytes: %q", hopeless)
	}
	if lost.JobID != "no-such-job" || lost.Note != "kept" || lost.Attempt != 2 {
		t.Errorf("the task without a job is a dead letter as %+v, want it after two tries before the last", lost)
	}
	w.waitLog("dead letter", "no job no-such-job", "given up after 3 tries")
	s.wantIdleQueue()
}

func TestATaskForAnotherWorkerOfTheFleetGoesBackToTheQueue(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	s.put("notice.gif", "scans/1.gif")
	w := s.worker("worker1", "UNKNOWN_PROVIDER=requeue")
	job := s.submit(backend.Task{FilePath: "1.gif", Provider: "easyocr"})
	w.waitLog("for another worker", "easyocr")
	eventually(t, "the task is deferred", func() bool { return s.queue().Deferred == 1 })
	j, err := s.backend.Job(s.ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	if j.ConsumedCount != 0 {
		t.Errorf("the file is counted: %+v", j.Checkpoint)
	}
}
