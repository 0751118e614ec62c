package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// worker is a process of the worker.
type worker struct {
	*process
	id     string
	record string
}

// environment is what today's compose file gives a worker, to the letter, and the lines that say where the main server
// is.
func (r *run) environment(id string) []string {
	lines := []string{
		"MONGO_URI=" + r.mongoURI(),
		"NSQD_ADDRESS=nsqd-proxy:4150",
		"NSQLOOKUPD_ADDRESSES=nsqlookupd-proxy:4161",
		"USE_NSQ=true",
		"WORKER_ID=" + id,
		"TESSERACT_ENABLED=false", // the stand-in takes its place
		"DEFAULT_OCR_PROVIDER=" + provider,
		"GVPOCR_PATH=" + r.pages,
		"NEWSLETTERS_PATH=" + r.pages,
		"LOG_FORMAT=json",
		fmt.Sprintf("OCR_CONCURRENCY=%d", r.concurrency),
	}
	switch {
	case r.names != nil:
		lines = append(lines, "DIALER_SRV_DOMAIN="+domain, "DIALER_SRV_SERVER="+r.names.Addr)
	case r.relay != nil:
		lines = append(lines, "MAIN_SERVER_IP="+r.relayIP)
	default:
		lines = append(lines, "MAIN_SERVER_IP="+r.server.ip)
	}
	return slices.Concat(lines, r.env)
}

func (r *run) mongoURI() string {
	return "mongodb://gvpocr_admin:gvp%40123@mongodb-proxy:27017/gvpocr?authSource=admin"
}

// startWorker starts one more worker.
func (r *run) startWorker(ctx context.Context) error {
	id := fmt.Sprintf("worker-%d", len(r.workers)+1)
	engine := r.engine
	engine.Seed = r.seed
	engine.Record = filepath.Join(r.dir, id+".pages")
	var at *namespace
	if r.link != nil {
		at = r.link.workers
	}
	p, err := spawn(ctx, at, workerRole, id, r.dir, engine, r.environment(id))
	if err != nil {
		return err
	}
	r.workers = append(r.workers, &worker{p, id, engine.Record})
	return nil
}

// event is a line of a worker's log.
type event struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Msg     string    `json:"msg"`
	File    string    `json:"file"`
	Seconds float64   `json:"seconds"`
	Error   string    `json:"error"`
	Service string    `json:"service"`
	worker  string
}

// stored tells whether the event is that a result was stored.
func (e event) stored() bool { return e.Msg == "recognized" }

// begun is when the work on what is stored began.
func (e event) begun() time.Time { return e.Time.Add(-time.Duration(e.Seconds * float64(time.Second))) }

// readLog returns a worker's log, and what in it is none, such as a panic.
func (w *worker) readLog() (events []event, other []string, err error) {
	err = eachLine(w.log, func(line []byte) error {
		e := event{worker: w.id}
		if json.Unmarshal(line, &e) != nil {
			other = append(other, string(line))
			return nil
		}
		events = append(events, e)
		return nil
	})
	return events, other, err
}

// recognitions returns what the worker's engine has recorded.
func (w *worker) recognitions() (list []recognition, err error) {
	err = eachLine(w.record, func(line []byte) error {
		var r recognition
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		list = append(list, r)
		return nil
	})
	return list, err
}

func eachLine(path string, do func(line []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := do(lines.Bytes()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return lines.Err()
}

// events returns all workers' logs, by time. A worker that has said anything else has a fault.
func (r *run) events() (all []event, problems []string, err error) {
	for _, w := range r.workers {
		events, other, err := w.readLog()
		if err != nil {
			return nil, nil, err
		}
		all = append(all, events...)
		if len(other) > 0 {
			problems = append(problems, fmt.Sprintf("%s says:\n%s", w.id, strings.Join(other[:min(len(other), 60)], "\n")))
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return a.Time.Compare(b.Time) })
	return all, problems, nil
}
