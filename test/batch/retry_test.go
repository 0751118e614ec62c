package batch_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker/source"
	"github.com/gvpocr/worker/test/mainserver"
)

func failed(path, reason string) bson.M {
	return bson.M{"file": path[strings.LastIndex(path, "/")+1:], "file_path": path, "error": reason, "processed_at": "2026-01-31T12:00:00.123456"}
}

// insert makes a job of six files: two results, three errors of files of their own, and one of a link to a recognized file.
func (s *scene) insert(id string) {
	s.t.Helper()
	_, err := s.backend.Jobs().InsertOne(s.ctx, bson.M{
		"job_id": id, "status": "completed", "total_files": 6, "published_count": 6, "consumed_count": 6,
		"checkpoint": bson.M{
			"processed_files":       bson.A{"/r/a.jpg", "/r/b.jpg", "/r/c.jpg", "/r/d.jpg", "/r/e.jpg"},
			"processed_message_ids": bson.A{"1", "2", "3", "4", "5", "6"},
			"results": bson.A{
				bson.M{"file_path": "/r/a.jpg", "file_index": 0, "provider": "tesseract", "languages": bson.A{"hi"}, "handwriting": true},
				bson.M{"file_path": "/r/c.jpg", "file_index": 2, "provider": "tesseract", "languages": bson.A{"hi"}, "handwriting": true},
			},
			"errors": bson.A{failed("/r/e.jpg", "e"), failed("/r/b.jpg", "b"), failed("/r/c.jpg", "duplicate of /r/c.jpg"), failed("/r/d.jpg", "d")},
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestRetryTakesFailedFilesOutAndPublishesThemWithTheirOptions(t *testing.T) {
	s := newScene(t)
	s.insert("job")
	done, err := s.client.Retry(s.ctx, "job", source.Roots{}, batch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/r/b.jpg", "/r/d.jpg", "/r/e.jpg"}; !slices.Equal(done.Published, want) {
		t.Errorf("published %q, want %q", done.Published, want)
	}
	if len(done.Skipped) != 1 || !strings.Contains(done.Skipped[0], "/r/c.jpg: it is in the job twice") {
		t.Errorf("skipped %q", done.Skipped)
	}
	var indexes []float64
	for _, m := range s.messages(3) {
		indexes = append(indexes, m["file_index"].(float64))
		if diff := cmp.Diff([]any{"hi"}, m["languages"]); diff != "" || m["handwriting"] != true || m["total_files"] != 6.0 || m["attempt"] != 0.0 {
			t.Errorf("%v\n%s", m, diff)
		}
	}
	if want := []float64{1, 3, 4}; !slices.Equal(indexes, want) {
		t.Errorf("indexes %v, want %v", indexes, want)
	}
	d := s.document("job")
	checkpoint := d["checkpoint"].(bson.M)
	if d["status"] != "processing" || d["consumed_count"] != int32(3) || d["published_count"] != int32(6) ||
		!cmp.Equal(checkpoint["processed_files"], bson.A{"/r/a.jpg", "/r/c.jpg"}) || len(checkpoint["errors"].(bson.A)) != 1 {
		t.Errorf("%v", d)
	}
	// They are tried already.
	if done, err := s.client.Retry(s.ctx, "job", source.Roots{}, batch.Options{}); !errors.Is(err, batch.ErrRuns) || len(done.Published) > 0 {
		t.Errorf("once more: %+v, %v", done, err)
	}
}

// insertFailed makes a job at its end, of which all files have failed at these paths.
func (s *scene) insertFailed(id string, extra bson.M, paths ...string) {
	s.t.Helper()
	errs, files := bson.A{}, bson.A{}
	for _, path := range paths {
		errs = append(errs, failed(path, "wrong"))
		files = append(files, path)
	}
	document := bson.M{
		"job_id": id, "status": "completed", "total_files": len(paths), "published_count": len(paths), "consumed_count": len(paths),
		"checkpoint": bson.M{"processed_files": files, "processed_message_ids": bson.A{}, "results": bson.A{}, "errors": errs},
	}
	for name, value := range extra {
		document[name] = value
	}
	if _, err := s.backend.Jobs().InsertOne(s.ctx, document); err != nil {
		s.t.Fatal(err)
	}
}

// The worker that failed may have its folders elsewhere than the one that tries again.
func TestRetryPublishesPathsThatEveryWorkerHas(t *testing.T) {
	here := t.TempDir()
	roots := source.Roots{GVPOCR: filepath.Join(here, "scans"), Newsletters: filepath.Join(here, "letters")}
	s := newScene(t)
	for _, c := range []struct {
		name, says string
		noted      bson.A
		failed     []string
		want       []string // by index
		foreign    int
	}{
		{
			name: "noted", says: "submit noted the paths, and the worker has its folders elsewhere: paths and indexes are those of the first time",
			noted:  bson.A{"Bhushanji/z/1.jpg", "newsletters/1.jpg", "Bhushanji/b.jpg"},
			failed: []string{"/Volumes/News/1.jpg", "/Volumes/Scans/b.jpg", "/Volumes/Scans/z/1.jpg"},
			want:   []string{"Bhushanji/z/1.jpg", "newsletters/1.jpg", "Bhushanji/b.jpg"},
		},
		{
			name: "two", says: "two of the noted paths may be that of one file, and what the other file leaves tells which",
			noted:  bson.A{"Bhushanji/1.jpg", "Bhushanji/0/1.jpg"},
			failed: []string{"/scans/0/1.jpg", "/scans/1.jpg"},
			want:   []string{"Bhushanji/1.jpg", "Bhushanji/0/1.jpg"},
		},
		{
			name: "known", says: "each of the noted paths may be that of each file, but for the folder, which this process has",
			noted:  bson.A{"Bhushanji/scans/1.jpg", "Bhushanji/1.jpg"},
			failed: []string{filepath.Join(here, "scans/1.jpg"), filepath.Join(here, "scans/scans/1.jpg")},
			want:   []string{"Bhushanji/scans/1.jpg", "Bhushanji/1.jpg"},
		},
		{
			name: "usual", says: "the backend made the job, and the worker has the usual folders",
			failed: []string{"/app/Bhushanji/a/b.jpg", "/app/newsletters/c.jpg"},
			want:   []string{"Bhushanji/a/b.jpg", "newsletters/c.jpg"},
		},
		{
			name: "mine", says: "it has those of this process, which need not be there",
			failed: []string{filepath.Join(here, "letters/c.jpg"), filepath.Join(here, "scans/a/b.jpg")},
			want:   []string{"newsletters/c.jpg", "Bhushanji/a/b.jpg"},
		},
		{
			name: "others", says: "nobody knows its folders; what was never found stays as the task had it",
			failed: []string{"/app/BhushanjiX/b.jpg", "Bhushanji/c.jpg"},
			want:   []string{"/app/BhushanjiX/b.jpg", "Bhushanji/c.jpg"}, foreign: 1,
		},
	} {
		extra := bson.M{}
		if c.noted != nil {
			extra["task_paths"] = c.noted
		}
		s.insertFailed(c.name, extra, c.failed...)
		done, err := s.client.Retry(s.ctx, c.name, roots, batch.Options{})
		if err != nil || len(done.Foreign) != c.foreign {
			t.Errorf("%s: %+v, %v", c.says, done, err)
			continue
		}
		var got []string
		for i, m := range s.messages(len(c.want)) {
			if m["file_index"] != float64(i) {
				t.Errorf("%s: index %v instead of %d", c.says, m["file_index"], i)
			}
			got = append(got, m["file_path"].(string))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.says, got, c.want)
		}
	}
}

func TestOnlyAJobAtItsEndIsTriedAgain(t *testing.T) {
	s := newScene(t)
	for status, c := range map[string]struct {
		consumed int
		want     error
		says     string
	}{
		"processing": {1, batch.ErrRuns, `job processing: it still runs: 1 of 2 files are finished and its status is "processing"; try again when all are, ` +
			"which ocr-worker status processing shows"},
		"paused":    {1, batch.ErrRuns, `1 of 2 files are finished and its status is "paused"`},
		"cancelled": {1, batch.ErrCancelled, "job cancelled: it is cancelled, so workers leave its tasks alone; make a new job of its files: ocr-worker submit"},
		"canceled":  {2, batch.ErrCancelled, "ocr-worker submit"},
	} {
		s.insertFailed(status, bson.M{"status": status, "consumed_count": c.consumed}, "/r/a.jpg", "/r/b.jpg")
		before := s.document(status)
		done, err := s.client.Retry(s.ctx, status, source.Roots{}, batch.Options{})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || len(done.Published) > 0 {
			t.Errorf("%s: %+v, %v", status, done, err)
		}
		if diff := cmp.Diff(before, s.document(status)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", status, diff)
		}
	}
	// All that is published has failed. Before the others come their places are nobody else's; once it has rested they are not coming.
	now := time.Now().UTC()
	s.insertFailed("half", bson.M{"status": "processing", "total_files": 4, "updated_at": now}, "/r/a.jpg", "/r/b.jpg")
	done, err := s.client.Retry(s.ctx, "half", source.Roots{}, batch.Options{})
	if says := "2 of its 4 files are published, and others may still be"; !errors.Is(err, batch.ErrRuns) || !strings.Contains(err.Error(), says) || len(done.Published) > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	s.insertFailed("left", bson.M{"status": "processing", "total_files": 4, "updated_at": now.Add(-2 * time.Minute)}, "/r/a.jpg", "/r/b.jpg")
	if done, err := s.client.Retry(s.ctx, "left", source.Roots{}, batch.Options{}); err != nil || len(done.Published) != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	s.insertFailed("empty", bson.M{"status": "failed"})
	if _, err := s.client.Retry(s.ctx, "empty", source.Roots{}, batch.Options{}); err == nil || !strings.Contains(err.Error(), "nothing of it was published") {
		t.Errorf("%v", err)
	}
	// The backend's aggregator may have ended it.
	for _, status := range []string{"completed", "failed"} {
		s.insertFailed(status, bson.M{"status": status}, "/r/a.jpg")
		if done, err := s.client.Retry(s.ctx, status, source.Roots{}, batch.Options{}); err != nil || len(done.Published) != 1 {
			t.Errorf("%s: %+v, %v", status, done, err)
		}
	}
}

func TestAFailedFileStaysFailedWhenItsTaskCantBePublished(t *testing.T) {
	s := newScene(t)
	s.insert("job")
	before := s.document("job")
	s.check(s.server.Stop(mainserver.NSQD))
	_, err := s.client.Retry(s.ctx, "job", source.Roots{}, batch.Options{})
	if _, ok := errors.AsType[*dialer.DialError](err); !ok {
		t.Fatalf("%v", err)
	}
	after := s.document("job")
	for _, d := range []bson.M{before, after} {
		delete(d, "updated_at")
		delete(d, "status") // it is in work again
		c := d["checkpoint"].(bson.M)
		slices.SortFunc(c["errors"].(bson.A), func(a, b any) int {
			return strings.Compare(a.(bson.M)["file_path"].(string), b.(bson.M)["file_path"].(string))
		})
		delete(c, "processed_message_ids") // the key of the task is in it, so that it is not counted if nsqd has it all the same
		slices.SortFunc(c["processed_files"].(bson.A), func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("document (-before +after):\n%s", diff)
	}
}
