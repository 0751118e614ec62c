// Package batch_test makes and mends jobs on a main server with a real nsqd.
package batch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nsqio/go-nsq"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/ocrworker/source"
	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The loop of nsqd's queue on disk ends a moment after nsqd's Exit has returned.
		goleak.IgnoreTopFunction("github.com/nsqio/go-diskqueue.(*diskQueue).ioLoop"))
}

// patience is how long a test waits for what has to happen.
const patience = time.Minute

// scene is a main server with a client of it and, to compare with, its backend.
type scene struct {
	t       *testing.T
	ctx     context.Context
	server  *mainserver.Server
	dialer  *dialer.Dialer
	client  *batch.Client
	backend *backend.Backend
}

func newScene(t *testing.T) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	s := &scene{t: t, ctx: ctx}
	var err error
	if s.server, err = mainserver.Start(ctx, mainserver.Config{Services: []string{mainserver.MongoDB, mainserver.NSQD}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.check(s.server.Close()) })
	if s.dialer, err = dialer.New(dialer.Config{Budget: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.dialer.Close() })
	if s.client, err = batch.Open(batch.Config{Dialer: s.dialer, MongoURI: s.server.MongoURI, NSQD: s.server.NSQDAddr}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.check(s.client.Close()) })
	if s.backend, err = backend.Connect(s.server.MongoURI, s.server.NSQDAddr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.check(s.backend.Close()) })
	return s
}

// submit makes a job and publishes it.
func submit(ctx context.Context, c *batch.Client, paths []string, o batch.Options) (id string, err error) {
	if id, err = c.Create(ctx, paths, o); err != nil {
		return "", err
	}
	return id, c.Publish(ctx, id, paths, o, func() {})
}

func (s *scene) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
	}
}

// document reads a job's document as it is.
func (s *scene) document(id string) bson.M {
	s.t.Helper()
	var d bson.D
	if err := s.backend.Jobs().FindOne(s.ctx, bson.M{"job_id": id}).Decode(&d); err != nil {
		s.t.Fatal(err)
	}
	return unordered(d).(bson.M)
}

// unordered turns documents within v into maps.
func unordered(v any) any {
	switch v := v.(type) {
	case bson.D:
		m := bson.M{}
		for _, e := range v {
			m[e.Key] = unordered(e.Value)
		}
		return m
	case bson.A:
		list := bson.A{}
		for _, item := range v {
			list = append(list, unordered(item))
		}
		return list
	}
	return v
}

// messages takes n messages from the queue, in the order of their files' indexes.
func (s *scene) messages(n int) []map[string]any {
	s.t.Helper()
	taken := make(chan map[string]any, n)
	consumer, err := nsqdial.NewConsumer(nsqdial.ConsumerConfig{
		Dialer: s.dialer, Topic: backend.Topic, Channel: "test", NSQDs: []string{s.server.NSQDAddr},
	}, nsq.HandlerFunc(func(m *nsq.Message) error {
		var fields map[string]any
		if err := json.Unmarshal(m.Body, &fields); err != nil {
			return err
		}
		taken <- fields
		return nil
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { s.check(consumer.Stop(s.ctx)) }()
	var all []map[string]any
	for range n {
		select {
		case m := <-taken:
			all = append(all, m)
		case <-s.ctx.Done():
			s.t.Fatalf("%d of %d messages came", len(all), n)
		}
	}
	slices.SortFunc(all, func(a, b map[string]any) int { return int(a["file_index"].(float64) - b["file_index"].(float64)) })
	return all
}

// inDocument and inMessage are what the contract says that the backend writes: the aggregator and Python workers must not
// be able to tell who made a job.
func inDocument(total int32) bson.M {
	return bson.M{
		"status": "processing", "total_files": total, "published_count": total, "consumed_count": int32(0),
		"progress":   bson.M{"current": int32(0), "total": total, "percentage": int32(0), "filename": ""},
		"checkpoint": bson.M{"processed_files": bson.A{}, "processed_message_ids": bson.A{}, "results": bson.A{}, "errors": bson.A{}},
	}
}

func inMessage(path string, index, total float64) map[string]any {
	return map[string]any{
		"file_path": path, "file_index": index, "total_files": total, "processing_mode": "single", "provider": "tesseract",
		"languages": []any{"en"}, "handwriting": false, "attempt": 0.0,
	}
}

func TestAJobIsMadeAsTheBackendMakesIt(t *testing.T) {
	s := newScene(t)
	paths := []string{"Bhushanji/a.jpg", "newsletters/b.jpg"}
	id, err := submit(s.ctx, s.client, paths, batch.Options{Provider: "tesseract", Languages: []string{"en"}})
	if err != nil {
		t.Fatal(err)
	}
	document := s.document(id)
	for _, name := range []string{"created_at", "updated_at"} {
		if _, ok := document[name].(bson.DateTime); !ok {
			t.Errorf("%s is a %T", name, document[name])
		}
		delete(document, name)
	}
	want := inDocument(2)
	want["job_id"] = id
	// What retry needs to know of the job, beside what the backend is known to write.
	want["processing_mode"], want["provider"], want["languages"], want["handwriting"] = "single", "tesseract", bson.A{"en"}, false
	want["task_paths"] = bson.A{paths[0], paths[1]}
	delete(document, "_id")
	if diff := cmp.Diff(want, document); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	for i, m := range s.messages(2) {
		if _, err := time.Parse("2006-01-02T15:04:05.000000", m["enqueued_at"].(string)); err != nil {
			t.Error(err)
		}
		delete(m, "enqueued_at")
		if key, ok := m["first_message_id"].(string); !ok || !regexp.MustCompile("^[0-9a-f]{16}$").MatchString(key) {
			t.Errorf("first_message_id is %v", m["first_message_id"])
		}
		delete(m, "first_message_id") // Python workers ignore it
		want := inMessage(paths[i], float64(i), 2)
		want["job_id"] = id
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
}

// The stand-in for the backend that other tests use writes what the contract says, and nothing of ours.
func TestTheTestsBackendMakesJobsByTheContract(t *testing.T) {
	s := newScene(t)
	id, err := s.backend.Create(s.ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.check(s.backend.Publish(s.ctx, backend.Task{JobID: id, FilePath: "Bhushanji/a.jpg", TotalFiles: 1, Languages: []string{"en"}}))
	document := s.document(id)
	want := inDocument(1)
	want["job_id"] = id
	for _, name := range []string{"_id", "created_at", "updated_at"} {
		delete(document, name)
	}
	if diff := cmp.Diff(want, document); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	message := s.messages(1)[0]
	delete(message, "enqueued_at")
	fields := inMessage("Bhushanji/a.jpg", 0, 1)
	fields["job_id"] = id
	if diff := cmp.Diff(fields, message); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

// A task that nobody can have taken must not keep the job from its end.
func TestATaskThatIsNotPublishedIsNotCounted(t *testing.T) {
	s := newScene(t)
	s.check(s.server.Stop(mainserver.NSQD))
	id, err := submit(s.ctx, s.client, []string{"a.jpg", "b.jpg", "c.jpg"}, batch.Options{Provider: "tesseract"})
	if err == nil || id == "" {
		t.Fatalf("%q, %v", id, err)
	}
	if n := s.document(id)["published_count"]; n != int32(0) {
		t.Errorf("%v tasks are counted that were not published", n)
	}
}

// loseAnswers forwards to an nsqd, and cuts each connection when it has passed on a message, before nsqd's answer.
func loseAnswers(t *testing.T, target string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	forward := func(in net.Conn) {
		defer in.Close()
		out, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer out.Close()
		var back sync.WaitGroup
		defer back.Wait()
		answers := make(chan struct{})
		back.Go(func() {
			defer close(answers)
			_, _ = io.Copy(in, out)
		})
		buffer := make([]byte, 64<<10)
		for {
			n, err := in.Read(buffer)
			if err != nil {
				return
			}
			lose := bytes.Contains(buffer[:n], []byte("PUB "))
			if lose {
				in.(*net.TCPConn).SetLinger(0)
				in.Close() // nothing more gets back
			}
			if _, err := out.Write(buffer[:n]); err != nil || lose {
				_ = out.(*net.TCPConn).CloseWrite()
				<-answers
				return
			}
		}
	}
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { forward(in) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// nsqd has the message, and nobody can know: it must neither be missing in the counts nor be counted when it comes.
func TestATaskWhoseAnswerIsLostIsNotCountedWhenItComes(t *testing.T) {
	s := newScene(t)
	client, err := batch.Open(batch.Config{Dialer: s.dialer, MongoURI: s.server.MongoURI, NSQD: loseAnswers(t, s.server.NSQDAddr)})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	id, err := submit(s.ctx, client, []string{"a.jpg"}, batch.Options{Provider: "tesseract"})
	if !errors.Is(err, nsqdial.ErrLost) {
		t.Fatalf("%v", err)
	}
	s.insert("job")
	if _, err := client.Retry(s.ctx, "job", source.Roots{}, batch.Options{}); !errors.Is(err, nsqdial.ErrLost) {
		t.Fatalf("%v", err)
	}
	if n := s.document(id)["published_count"]; n != int32(0) {
		t.Errorf("%v tasks are counted as published", n)
	}
	if n := s.document("job")["consumed_count"]; n != int32(6) {
		t.Errorf("%v files are counted", n)
	}
	store, err := jobs.Open(jobs.Config{URI: s.server.MongoURI})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(s.ctx)
	const tries = 3
	for _, m := range s.messages(2 * tries) {
		state, err := store.Classify(s.ctx, jobs.File{
			JobID: m["job_id"].(string), Path: m["file_path"].(string), Index: int(m["file_index"].(float64)), MessageID: m["first_message_id"].(string),
		})
		if err != nil || state != jobs.Done {
			t.Errorf("%v is in state %v for a worker, %v", m, state, err)
		}
	}
}

func TestMongoDBsTroubleIsSaidInShort(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *scene) (uri string)
		says  []string
	}{
		"nothing listens": {
			func(s *scene) string { s.check(s.server.Stop(mainserver.MongoDB)); return s.server.MongoURI },
			[]string{"MongoDB: read job job: dial ", "connection refused", "ocr-worker check"},
		},
		"the password is wrong": {
			func(s *scene) string {
				return changed(s.t, s.server.MongoURI, func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wrong-password") })
			},
			[]string{"MongoDB: read job job: the user or the password is refused", "MONGO_URI", "ocr-worker check"},
		},
		"nobody logs in": {
			func(s *scene) string {
				return changed(s.t, s.server.MongoURI, func(u *url.URL) { u.User, u.RawQuery = nil, "" })
			},
			[]string{"MongoDB: read job job: the user may not do that, or there is none", "MONGO_URI", "ocr-worker check"},
		},
		"it speaks no TLS": {
			func(s *scene) string {
				return changed(s.t, s.server.MongoURI, func(u *url.URL) { u.RawQuery += "&tls=true" })
			},
			[]string{"the server closes the connection", "TLS", "ocr-worker check"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			client, err := batch.Open(batch.Config{Dialer: s.dialer, MongoURI: c.spoil(s)})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			_, err = client.Job(s.ctx, "job")
			if err == nil || !jobs.IsOutage(err) {
				t.Fatalf("%v", err)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			for _, driver := range []string{"topology", "connection(", "server selection", "wrong-password", "auth error"} {
				if strings.Contains(err.Error(), driver) {
					t.Errorf("%q says %q", err, driver)
				}
			}
		})
	}
}

func changed(t *testing.T, uri string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

func TestAnInterruptIsNoFaultOfMongoDB(t *testing.T) {
	s := newScene(t)
	s.check(s.server.Stop(mainserver.MongoDB))
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if _, err := s.client.Job(ctx, "job"); !errors.Is(err, context.Canceled) || err.Error() != "interrupted" {
		t.Errorf("%v", err)
	}
}
