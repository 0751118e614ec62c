// Package ocrworker turns queue messages into stored results: the worker that cmd/ocr-worker runs.
//
//	message → decode → counted already? → find the file → pages → OCR → one atomic update → finish
//
// Every message ends as a stored result, a stored error, a dead letter, or back in the queue. A failure is permanent
// (the file's error is recorded), transient (the task is tried again, three times in all), or an outage: no try is lost.
//
// While MongoDB is away nothing is taken from the queue. What is recognized is kept and stored when MongoDB is back, also
// when its message had to go back to the queue meanwhile. A task whose file's source is away waits for it for up to a
// minute, and then in the queue, which can't tell which tasks need which source; the others go on.
//
// When the names of the main server lead to another one, a task's result goes to the MongoDB of the server that the task came from,
// as long as that has not left the answers for good, or the job is not known elsewhere.
package ocrworker
