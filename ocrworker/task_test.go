package ocrworker

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/nsqio/go-nsq"
)

const id = "0123456789abcdef"

func message(body string) *nsq.Message {
	m := &nsq.Message{Body: []byte(body)}
	copy(m.ID[:], id)
	return m
}

func index(i int) *int { return &i }

var tasks = map[string]struct {
	body string
	want task
}{
	"all fields": {
		`{"job_id": "j", "file_path": "Bhushanji/a/b.jpg", "file_index": 7, "total_files": 12, "processing_mode": "single",
			"provider": "tesseract", "languages": ["en", "hi"], "handwriting": true, "attempt": 2, "enqueued_at": "2026-01-31T12:00:00.123456"}`,
		task{JobID: "j", FilePath: "Bhushanji/a/b.jpg", FileIndex: index(7), Mode: "single", Provider: "tesseract",
			Languages: []string{"en", "hi"}, Handwriting: true, Attempt: 2, FirstID: id},
	},
	"only what is needed": {
		`{"job_id": "j", "file_path": "b.jpg", "file_index": 0}`,
		task{JobID: "j", FilePath: "b.jpg", FileIndex: index(0), FirstID: id},
	},
	"null for what may be missing": {
		`{"job_id": "j", "file_path": "b.jpg", "file_index": 0, "total_files": null, "processing_mode": null, "provider": null,
			"languages": null, "handwriting": null, "attempt": null, "enqueued_at": null, "first_message_id": null}`,
		task{JobID: "j", FilePath: "b.jpg", FileIndex: index(0), FirstID: id},
	},
	"a chain with its steps, and fields that are not known": {
		`{"job_id": "j", "file_path": "b.jpg", "file_index": 0, "processing_mode": "chain", "chain_config": {"steps": [{}]}, "x": [1e999]}`,
		task{JobID: "j", FilePath: "b.jpg", FileIndex: index(0), Mode: "chain", FirstID: id},
	},
	"a copy, which has the first message's id": {
		`{"job_id": "j", "file_path": "b.jpg", "file_index": 0, "attempt": 1, "first_message_id": "00000000deadbeef"}`,
		task{JobID: "j", FilePath: "b.jpg", FileIndex: index(0), Attempt: 1, FirstID: "00000000deadbeef"},
	},
	"an id that is none of NSQ's": {
		`{"job_id": "j", "file_path": "b.jpg", "file_index": 0, "first_message_id": "$where"}`,
		task{JobID: "j", FilePath: "b.jpg", FileIndex: index(0), FirstID: id},
	},
	"a negative attempt": {
		`{"job_id": "j", "file_path": "b.jpg", "file_index": 0, "attempt": -5}`,
		task{JobID: "j", FilePath: "b.jpg", FileIndex: index(0), FirstID: id},
	},
	"white space around it": {
		"\n {\"job_id\": \"j\", \"file_path\": \"पत्र.jpg\", \"file_index\": 0}\r\n",
		task{JobID: "j", FilePath: "पत्र.jpg", FileIndex: index(0), FirstID: id},
	},
}

func TestATaskIsDecoded(t *testing.T) {
	for name, test := range tasks {
		t.Run(name, func(t *testing.T) {
			got, err := decodeTask(message(test.body))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, %v\nwant %+v", got, err, test.want)
			}
		})
	}
}

var noTasks = map[string]struct{ body, says string }{
	"nothing":               {``, "not a task"},
	"no JSON":               {`job 1, file 2`, "not a task"},
	"null":                  {`null`, "job_id"},
	"an array":              {`[{"job_id": "j"}]`, "not a task"},
	"a string":              {`"{}"`, "not a task"},
	"cut off":               {`{"job_id": "j", "file_path": "b.jpg", "file_index": 0`, "not a task"},
	"more after it":         {`{"job_id": "j", "file_path": "b.jpg", "file_index": 0} {}`, "more follows"},
	"garbage after it":      {`{"job_id": "j", "file_path": "b.jpg", "file_index": 0}]`, "more follows"},
	"no job":                {`{"file_path": "b.jpg", "file_index": 0}`, "job_id"},
	"a job that is null":    {`{"job_id": null, "file_path": "b.jpg", "file_index": 0}`, "job_id"},
	"a job that is long":    {`{"job_id": "` + strings.Repeat("j", maxField+1) + `", "file_path": "b.jpg", "file_index": 0}`, "job_id"},
	"no path":               {`{"job_id": "j", "file_index": 0}`, "file_path"},
	"an empty path":         {`{"job_id": "j", "file_path": "", "file_index": 0}`, "file_path"},
	"a path that is long":   {`{"job_id": "j", "file_path": "` + strings.Repeat("p", maxField+1) + `", "file_index": 0}`, "file_path"},
	"a path that is a list": {`{"job_id": "j", "file_path": ["b.jpg"], "file_index": 0}`, "file_path"},
	"no index":              {`{"job_id": "j", "file_path": "b.jpg"}`, "file_index"},
	"an index that is null": {`{"job_id": "j", "file_path": "b.jpg", "file_index": null}`, "file_index"},
	"a negative index":      {`{"job_id": "j", "file_path": "b.jpg", "file_index": -1}`, "file_index"},
	"an index that is text": {`{"job_id": "j", "file_path": "b.jpg", "file_index": "0"}`, "file_index"},
	"half an index":         {`{"job_id": "j", "file_path": "b.jpg", "file_index": 0.5}`, "file_index"},
	"languages in a string": {`{"job_id": "j", "file_path": "b.jpg", "file_index": 0, "languages": "en"}`, "languages"},
	"an operator for a job": {`{"job_id": {"$ne": ""}, "file_path": "b.jpg", "file_index": 0}`, "job_id"},
}

func TestWhatIsNoTaskIsRefusedWithTheReason(t *testing.T) {
	for name, test := range noTasks {
		t.Run(name, func(t *testing.T) {
			got, err := decodeTask(message(test.body))
			if err == nil {
				t.Fatalf("decoded as %+v", got)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not say %q", err, test.says)
			}
		})
	}
}

func TestACopyDiffersByAttemptAndFirstMessageAlone(t *testing.T) {
	body := `{"file_index": 0, "job_id": "j", "file_path": "a & b.jpg", "attempt": 0, "total_files": 12, "big": 12345678901234567890,
		"chain_config": {"steps": [1, null, "<"]}, "first_message_id": "not one"}`
	original, err := decodeTask(message(body))
	if err != nil {
		t.Fatal(err)
	}
	copied, err := original.withAttempt([]byte(body), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"file_index": 0, "job_id": "j", "file_path": "a & b.jpg", "attempt": 1, "total_files": 12, "big": 12345678901234567890,
		"chain_config": {"steps": [1, null, "<"]}, "first_message_id": "` + id + `"}`
	if got, want := plain(t, string(copied)), plain(t, want); got != want {
		t.Errorf("the copy is %s\nwant %s", got, want)
	}
}

// plain brings JSON into one form, with numbers as they are written.
func plain(t *testing.T, text string) string {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// What is decoded can be filtered by and stored, and a copy of it is the same task with another attempt.
func FuzzDecodeTask(f *testing.F) {
	for _, test := range tasks {
		f.Add([]byte(test.body), 1)
	}
	for _, test := range noTasks {
		f.Add([]byte(test.body), 1)
	}
	f.Fuzz(func(t *testing.T, body []byte, attempt int) {
		got, err := decodeTask(message(string(body)))
		if err != nil {
			return
		}
		if got.JobID == "" || got.FilePath == "" || got.FileIndex == nil || *got.FileIndex < 0 || got.Attempt < 0 || !messageID.MatchString(got.FirstID) {
			t.Fatalf("incomplete: %+v", got)
		}
		copied, err := got.withAttempt(body, max(attempt, 0))
		if err != nil {
			t.Fatalf("no copy of %q: %v", body, err)
		}
		m := message(string(copied))
		copy(m.ID[:], "fedcba9876543210") // a copy has an id of its own
		again, err := decodeTask(m)
		if err != nil {
			t.Fatalf("the copy %q is no task: %v", copied, err)
		}
		want := got
		want.Attempt = max(attempt, 0)
		if !reflect.DeepEqual(again, want) {
			t.Errorf("the copy is %+v, want %+v", again, want)
		}
	})
}
