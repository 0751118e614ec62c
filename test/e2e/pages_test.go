package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// The sample pages in all the ways in which a task may name a file, and with all the fields that may be missing.
func TestAJobsPagesAreRecognizedAndItsDocumentKeepsTheContract(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	// A root that is a symbolic link, as /app/Bhushanji may be.
	link := filepath.Join(s.dir, "Bhushanji")
	if err := os.Symlink(s.root, link); err != nil {
		t.Fatal(err)
	}
	const id = "tod-mac-worker-1"
	s.worker(id, "GVPOCR_PATH="+link)

	type page struct {
		sample, file string // below the scene's folder
		task         string // with %s for the job's id and %d for its place in the job
		languages    []string
		extension    string
	}
	pages := []page{
		{"letter.jpg", "scans/a/b/LETTER.JPG", `{"job_id": %q, "file_path": "Bhushanji/a/b/LETTER.JPG", "file_index": %d, "total_files": 5,
			"processing_mode": "single", "provider": "tesseract", "languages": ["en", "hi"], "handwriting": false, "attempt": 0,
			"enqueued_at": "2026-01-31T12:00:00.123456"}`, []string{"en", "hi"}, ".jpg"},
		{"hindi-letter.jpg", "letters/पत्र.jpeg", `{"job_id": %q, "file_path": "newsletters/पत्र.jpeg", "file_index": %d, "languages": ["hi"],
			"unknown_field": {"a": [1, 2]}}`, []string{"hi"}, ".jpeg"},
		{"memo.tif", "scans/memo.tif", `{"job_id": %q, "file_path": "memo.tif", "file_index": %d}`, nil, ".tif"},
		{"accounts.png", "scans/accounts.png", `{"job_id": %q, "file_path": "` + filepath.Join(link, "accounts.png") + `", "file_index": %d, "total_files": null,
			"processing_mode": null, "provider": null, "languages": null, "handwriting": null, "attempt": null, "enqueued_at": null}`, nil, ".png"},
		{"notice.gif", "scans/notice.gif", `{"job_id": %q, "file_path": "Bhushanji/notice.gif", "file_index": %d, "handwriting": true}`, nil, ".gif"},
	}
	job, err := s.backend.Create(s.ctx, len(pages))
	if err != nil {
		t.Fatal(err)
	}
	created := time.Now()
	var paths []string
	for i, p := range pages {
		paths = append(paths, s.put(p.sample, p.file))
		s.publishRaw(job, fmt.Sprintf(p.task, job, i))
	}
	done := s.finish(job)
	s.wantResults(done, paths...)
	for _, r := range done.Checkpoint.Results {
		s.errorRateIsLow(pages[r.FileIndex].sample, r)
	}

	document, err := s.backend.Jobs().FindOne(s.ctx, bson.M{"job_id": job}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	wantFields(t, "job", document, jobFields(job, len(pages), paths))
	if updated := document.Lookup("updated_at").Time(); updated.Before(created.Truncate(time.Millisecond)) {
		t.Errorf("updated_at is %v, before the files were counted", updated)
	}
	results, err := document.Lookup("checkpoint", "results").Array().Values()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range results {
		result := v.Document()
		index := int(result.Lookup("file_index").AsInt64())
		p := pages[index]
		info, err := os.Stat(paths[index])
		if err != nil {
			t.Fatal(err)
		}
		wantFields(t, p.sample, result, resultFields(paths[index], index, p.languages, int(info.Size()), p.extension, id))
		if result.Lookup("handwriting").Boolean() != (p.sample == "notice.gif") {
			t.Errorf("%s: handwriting is not the task's", p.sample)
		}
		if result.Lookup("text").StringValue() != result.Lookup("full_text").StringValue() {
			t.Errorf("%s: text and full_text differ", p.sample)
		}
	}
}

func TestManyWorkersCountEachFileOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	for i := range 3 { // worker1, worker2, worker3
		s.worker(fmt.Sprintf("worker%d", i+1))
	}
	var tasks []backend.Task
	var paths []string
	for i := range 9 {
		name := fmt.Sprintf("%d.gif", i)
		paths = append(paths, s.put("notice.gif", "scans/"+name))
		tasks = append(tasks, backend.Task{FilePath: "Bhushanji/" + name})
	}
	s.wantResults(s.finish(s.submit(tasks...)), paths...)
}
