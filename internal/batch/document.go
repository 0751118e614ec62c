package batch

import (
	"encoding/json"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Document is the document of a new job, as the backend makes it.
func Document(id string, total int, now time.Time) bson.D {
	return bson.D{
		{Key: "job_id", Value: id},
		{Key: "status", Value: "processing"},
		{Key: "created_at", Value: now},
		{Key: "updated_at", Value: now},
		{Key: "total_files", Value: total},
		{Key: "published_count", Value: 0},
		{Key: "consumed_count", Value: 0},
		{Key: "progress", Value: bson.D{
			{Key: "current", Value: 0}, {Key: "total", Value: total}, {Key: "percentage", Value: 0}, {Key: "filename", Value: ""},
		}},
		{Key: "checkpoint", Value: bson.D{
			{Key: "processed_files", Value: bson.A{}}, {Key: "processed_message_ids", Value: bson.A{}},
			{Key: "results", Value: bson.A{}}, {Key: "errors", Value: bson.A{}},
		}},
	}
}

// Task is the message of one file, with the fields in the backend's order.
type Task struct {
	JobID          string   `json:"job_id"`
	FilePath       string   `json:"file_path"`
	FileIndex      int      `json:"file_index"`
	TotalFiles     int      `json:"total_files"`
	ProcessingMode string   `json:"processing_mode"` // default: single
	Provider       string   `json:"provider"`
	Languages      []string `json:"languages"`
	Handwriting    bool     `json:"handwriting"`
	Attempt        int      `json:"attempt"`
	EnqueuedAt     string   `json:"enqueued_at"` // default: now

	// Key is what workers of this project know the task by in place of its message's id, so that a task that had to be
	// published twice is counted once, and one that was taken back is not counted at all. Python workers ignore it, and
	// the backend's tasks have none.
	Key string `json:"first_message_id,omitempty"`
}

// Body is the message, with defaults for what is empty.
func (t Task) Body() ([]byte, error) {
	if t.ProcessingMode == "" {
		t.ProcessingMode = "single"
	}
	if t.EnqueuedAt == "" {
		t.EnqueuedAt = time.Now().UTC().Format("2006-01-02T15:04:05.000000")
	}
	return json.Marshal(t)
}
