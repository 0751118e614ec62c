package e2e_test

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// check tells what is wrong with a value; "" if nothing is.
type check func(bson.RawValue) string

func oneOf(types ...bson.Type) check {
	return func(v bson.RawValue) string {
		if slices.Contains(types, v.Type) {
			return ""
		}
		return fmt.Sprintf("its type is %v, not %v", v.Type, types)
	}
}

var (
	text    = oneOf(bson.TypeString)
	boolean = oneOf(bson.TypeBoolean)
	integer = oneOf(bson.TypeInt32, bson.TypeInt64)
	array   = oneOf(bson.TypeArray)
	date    = oneOf(bson.TypeDateTime)
)

func equal(want string) check {
	return func(v bson.RawValue) string {
		if got, ok := v.StringValueOK(); !ok || got != want {
			return fmt.Sprintf("want %q", want)
		}
		return ""
	}
}

func equalInt(want int) check {
	return func(v bson.RawValue) string {
		if problem := integer(v); problem != "" {
			return problem
		}
		if got, _ := v.AsInt64OK(); got != int64(want) {
			return fmt.Sprintf("want %d", want)
		}
		return ""
	}
}

func atLeast(least int64) check {
	return func(v bson.RawValue) string {
		if problem := integer(v); problem != "" {
			return problem
		}
		if got, _ := v.AsInt64OK(); got < least {
			return fmt.Sprintf("less than %d", least)
		}
		return ""
	}
}

func stringsIn(want ...string) check {
	return func(v bson.RawValue) string {
		var got []string
		if problem := array(v); problem != "" {
			return problem
		}
		if err := v.Unmarshal(&got); err != nil || !slices.Equal(got, want) {
			return fmt.Sprintf("want %q", want)
		}
		return ""
	}
}

func fraction(v bson.RawValue) string {
	if f, ok := v.DoubleOK(); !ok || f <= 0 || f > 1 {
		return "not a double above 0 and up to 1"
	}
	return ""
}

func seconds(v bson.RawValue) string {
	f, ok := v.AsFloat64OK()
	if !ok || f <= 0 || math.Round(f*100)/100 != f {
		return "not a positive number with two decimals at most"
	}
	return ""
}

var pythonTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$`)

// recently is a time as the Python worker writes it, in UTC.
func recently(v bson.RawValue) string {
	s, ok := v.StringValueOK()
	if !ok || !pythonTime.MatchString(s) {
		return "not of the form 2026-01-31T12:00:00.123456"
	}
	at, err := time.Parse("2006-01-02T15:04:05.000000", s)
	if err != nil || time.Since(at).Abs() > 10*time.Minute {
		return "not now in UTC"
	}
	return ""
}

func textOrNull(v bson.RawValue) string { return oneOf(bson.TypeString, bson.TypeNull)(v) }

func document(fields map[string]check) check {
	return func(v bson.RawValue) string {
		d, ok := v.DocumentOK()
		if !ok {
			return "not a document"
		}
		return problems(d, fields)
	}
}

// problems says which keys are missing, which are not known, and which values are wrong.
func problems(d bson.Raw, fields map[string]check) (all string) {
	elements, err := d.Elements()
	if err != nil {
		return err.Error()
	}
	seen := map[string]bool{}
	for _, e := range elements {
		seen[e.Key()] = true
		check, ok := fields[e.Key()]
		if !ok {
			all += fmt.Sprintf("\n%s: not a key of the contract", e.Key())
		} else if problem := check(e.Value()); problem != "" {
			all += fmt.Sprintf("\n%s is %.200s: %s", e.Key(), e.Value(), problem)
		}
	}
	for key := range fields {
		if !seen[key] {
			all += fmt.Sprintf("\n%s: missing", key)
		}
	}
	return all
}

// wantFields checks that a document has exactly these keys, with values of their types.
func wantFields(t *testing.T, what string, d bson.Raw, fields map[string]check) {
	t.Helper()
	if all := problems(d, fields); all != "" {
		t.Errorf("%s:%s", what, all)
	}
}

// resultFields are those of single mode, for a file of which this is known.
func resultFields(path string, index int, languages []string, size int, extension, workerID string) map[string]check {
	return map[string]check{
		"file":              equal(filepath.Base(path)),
		"file_path":         equal(path),
		"file_index":        equalInt(index),
		"status":            equal("success"),
		"provider":          equal("tesseract"),
		"languages":         stringsIn(languages...),
		"handwriting":       boolean,
		"text":              text,
		"full_text":         text,
		"confidence":        fraction,
		"detected_language": textOrNull,
		"blocks_count":      atLeast(1),
		"words_count":       atLeast(1),
		"pages_processed":   equalInt(1),
		"file_info":         document(map[string]check{"size": equalInt(size), "extension": equal(extension)}),
		"metadata":          document(map[string]check{"processing_time": seconds, "worker_id": equal(workerID)}),
		"processed_at":      recently,
		"retry_count":       equalInt(0),
	}
}

func errorFields(path string) map[string]check {
	return map[string]check{
		"file": equal(filepath.Base(path)), "file_path": equal(path), "error": text, "processed_at": recently,
	}
}

// jobFields are those of the job document when files are counted, the last one among them.
func jobFields(id string, files int, paths []string) map[string]check {
	bases := make([]string, len(paths))
	for i, path := range paths {
		bases[i] = filepath.Base(path)
	}
	return map[string]check{
		"_id": oneOf(bson.TypeObjectID), "job_id": equal(id), "status": equal("processing"),
		"created_at": date, "updated_at": date,
		"total_files": equalInt(files), "published_count": equalInt(files), "consumed_count": equalInt(files),
		"progress": document(map[string]check{
			"current": equalInt(files), "total": equalInt(files), "percentage": equalInt(100),
			"filename": func(v bson.RawValue) string {
				if name, _ := v.StringValueOK(); !slices.Contains(bases, name) {
					return "not the base name of a file"
				}
				return ""
			},
		}),
		"checkpoint": document(map[string]check{
			"results": array, "errors": array,
			"processed_files":       sameStrings(paths),
			"processed_message_ids": messageIDs(files),
		}),
	}
}

func sameStrings(want []string) check {
	return func(v bson.RawValue) string {
		var got []string
		if err := v.Unmarshal(&got); err != nil {
			return err.Error()
		}
		slices.Sort(got)
		if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			return fmt.Sprintf("want %q", want)
		}
		return ""
	}
}

var messageID = regexp.MustCompile(`^[0-9a-f]{16}$`)

func messageIDs(n int) check {
	return func(v bson.RawValue) string {
		var ids []string
		if err := v.Unmarshal(&ids); err != nil {
			return err.Error()
		}
		slices.Sort(ids)
		if len(slices.Compact(ids)) != n || slices.ContainsFunc(ids, func(id string) bool { return !messageID.MatchString(id) }) {
			return fmt.Sprintf("not %d different ids of NSQ messages", n)
		}
		return ""
	}
}
