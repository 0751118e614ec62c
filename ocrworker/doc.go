// Package ocrworker turns queue messages into stored results: the worker that cmd/ocr-worker runs.
//
//	message → decode → counted already? → find the file → pages → OCR → one atomic update → finish
//
// Every message ends as a stored result, a stored error, a dead letter, or back in the queue. A failure is permanent
// (the file's error is recorded), transient (the task is tried again, three times in all) or an outage of MongoDB (the
// result is kept until MongoDB is back; no try is lost).
package ocrworker
