package batch

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/ocrworker/source"
)

// Entry is a file of a job that is counted: it was recognized, or it failed.
type Entry struct {
	Result *Result
	Failed *Failed // nil with a Result

	// Index is the file's place in the job. Of a failed file the document does not have it; it is not Certain where neither
	// submit noted it nor only one place is left.
	Index   int
	Certain bool
}

// Results reads a job with its files, in the order of their places. Failed files whose places are not certain have those that
// are left in the order of their paths; while others may come to these places, too, they are last.
func (c *Client) Results(ctx context.Context, id string, roots source.Roots) (Job, []Entry, error) {
	j, err := c.read(ctx, id, resultFields...)
	if err != nil {
		return j, nil, err
	}
	var entries []Entry
	for i := range j.Checkpoint.Results {
		r := &j.Checkpoint.Results[i]
		entries = append(entries, Entry{Result: r, Index: r.Index, Certain: true})
	}
	for i, o := range j.originals(j.Errors, roots) {
		index := o.index
		if !o.certain && !j.AllFinished() {
			index = j.Total
		}
		entries = append(entries, Entry{Failed: &j.Errors[i], Index: index, Certain: o.certain})
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Index, b.Index) })
	return j, entries, nil
}

// MarshalJSON returns all that is stored of the file, in the order in which it is stored. A failed file has the status error,
// and its place if that is certain.
func (e Entry) MarshalJSON() ([]byte, error) {
	var stored bson.D
	if e.Result != nil {
		return relaxed(e.Result.stored)
	}
	if err := bson.Unmarshal(e.Failed.stored, &stored); err != nil {
		return nil, err
	}
	stored = slices.DeleteFunc(stored, func(f bson.E) bool { return f.Key == "status" || f.Key == "file_index" })
	if e.Certain {
		stored = append(stored, bson.E{Key: "file_index", Value: e.Index})
	}
	return relaxed(append(stored, bson.E{Key: "status", Value: "error"}))
}

// relaxed is MongoDB's JSON in which numbers are numbers.
func relaxed(document any) (json.RawMessage, error) {
	return bson.MarshalExtJSON(document, false, false)
}
