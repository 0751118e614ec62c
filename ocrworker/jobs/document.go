package jobs

import (
	"math"
	"path/filepath"
	"strings"
	"time"
)

// Result is what single mode stores of a recognized file.
type Result struct {
	Provider         string
	Languages        []string // as the task had them
	Handwriting      bool
	Text             string
	Confidence       float64 // 0..1
	DetectedLanguage string  // empty is stored as null
	Blocks, Words    int
	Pages            int
	Size             int64         // bytes
	Took             time.Duration // stored in seconds with 2 decimals
	WorkerID         string
	Retries          int // failed tries before
}

// resultDocument has the fields in the order in which the Python worker writes them.
type resultDocument struct {
	File             string   `bson:"file"`
	FilePath         string   `bson:"file_path"`
	FileIndex        int      `bson:"file_index"`
	Status           string   `bson:"status"`
	Provider         string   `bson:"provider"`
	Languages        []string `bson:"languages"`
	Handwriting      bool     `bson:"handwriting"`
	Text             string   `bson:"text"`
	FullText         string   `bson:"full_text"`
	Confidence       float64  `bson:"confidence"`
	DetectedLanguage *string  `bson:"detected_language"`
	BlocksCount      int      `bson:"blocks_count"`
	WordsCount       int      `bson:"words_count"`
	PagesProcessed   int      `bson:"pages_processed"`
	FileInfo         fileInfo `bson:"file_info"`
	Metadata         metadata `bson:"metadata"`
	ProcessedAt      string   `bson:"processed_at"`
	RetryCount       int      `bson:"retry_count"`
}

type fileInfo struct {
	Size      int64  `bson:"size"`
	Extension string `bson:"extension"`
}

type metadata struct {
	ProcessingTime float64 `bson:"processing_time"`
	WorkerID       string  `bson:"worker_id"`
}

// size is about that of the document: the text is in it twice, and all else is small.
func (r Result) size() int { return 2 * len(r.Text) }

func (r Result) document(f File) resultDocument {
	text := strings.ToValidUTF8(r.Text, "\uFFFD") // BSON strings are UTF-8
	d := resultDocument{
		File:           f.base(),
		FilePath:       f.Path,
		FileIndex:      f.Index,
		Status:         "success",
		Provider:       r.Provider,
		Languages:      r.Languages,
		Handwriting:    r.Handwriting,
		Text:           text,
		FullText:       text,
		Confidence:     r.Confidence,
		BlocksCount:    r.Blocks,
		WordsCount:     r.Words,
		PagesProcessed: r.Pages,
		FileInfo:       fileInfo{r.Size, strings.ToLower(filepath.Ext(f.Path))},
		Metadata:       metadata{math.Round(r.Took.Seconds()*100) / 100, r.WorkerID},
		ProcessedAt:    now(),
		RetryCount:     r.Retries,
	}
	if r.Languages == nil {
		d.Languages = []string{} // an array, not null
	}
	if r.DetectedLanguage != "" {
		d.DetectedLanguage = &r.DetectedLanguage
	}
	return d
}

type errorDocument struct {
	File        string `bson:"file"`
	FilePath    string `bson:"file_path"`
	Error       string `bson:"error"`
	ProcessedAt string `bson:"processed_at"`
}

// maxReason bounds an error's text, which may quote what came from outside: a thousand of them must fit in a document.
const maxReason = 2000

func newErrorDocument(f File, reason string) errorDocument {
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	return errorDocument{f.base(), f.Path, strings.ToValidUTF8(reason, "\uFFFD"), now()}
}

func (f File) base() string { return filepath.Base(f.Path) }

// now is the time as the Python worker writes it: UTC, without a zone.
func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000") }
