package ocrworker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/nsqio/go-nsq"
)

// task is what a message asks for.
type task struct {
	JobID       string   `json:"job_id"`
	FilePath    string   `json:"file_path"`
	FileIndex   *int     `json:"file_index"`
	Mode        string   `json:"processing_mode"`
	Provider    string   `json:"provider"`
	Languages   []string `json:"languages"`
	Handwriting bool     `json:"handwriting"`
	Attempt     int      `json:"attempt"` // failed tries before this one

	// FirstID is the id of the message that the backend published, in copies of it. It is what the job document knows
	// the task by, so that a copy and its original can't both be counted. Python workers ignore it.
	FirstID string `json:"first_message_id"`
}

var messageID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// maxField bounds the strings that end in filters, logs and error documents.
const maxField = 4096

// decodeTask reads a message's body. The error says what a publisher has to mend.
func decodeTask(m *nsq.Message) (task, error) {
	var t task
	decoder := json.NewDecoder(bytes.NewReader(m.Body))
	if err := decoder.Decode(&t); err != nil {
		return t, fmt.Errorf("the body is not a task: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return t, errors.New("the body is not a task: more follows the JSON object")
	}
	switch {
	case t.JobID == "" || len(t.JobID) > maxField:
		return t, errors.New("the task has no job_id, or one that is too long")
	case t.FilePath == "" || len(t.FilePath) > maxField:
		return t, errors.New("the task has no file_path, or one that is too long")
	case t.FileIndex == nil || *t.FileIndex < 0:
		return t, errors.New("the task has no file_index, or a negative one")
	}
	t.Attempt = max(t.Attempt, 0)
	if !messageID.MatchString(t.FirstID) {
		t.FirstID = string(m.ID[:])
	}
	return t, nil
}

// withAttempt returns the body of a copy of the task: as it was, fields that are not known here included, with attempt
// and the first message's id.
func (t task) withAttempt(body []byte, attempt int) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	fields["attempt"] = json.RawMessage(strconv.Itoa(attempt))
	fields["first_message_id"] = json.RawMessage(strconv.Quote(t.FirstID))
	return json.Marshal(fields)
}
