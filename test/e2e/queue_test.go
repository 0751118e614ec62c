package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/test/backend"
)

const deadTopic = "bulk_ocr_file_tasks_dead"

// queue is what nsqd says of the channel of tasks.
type queue struct {
	Depth    int `json:"depth"`
	InFlight int `json:"in_flight_count"`
	Deferred int `json:"deferred_count"`
	Requeued int `json:"requeue_count"`
	TimedOut int `json:"timeout_count"`
	Messages int `json:"message_count"` // that ever came, copies included
	Ready    int `json:"-"`             // messages that consumers ask for, those in flight included
}

func (q queue) idle() bool { return q.Depth == 0 && q.InFlight == 0 && q.Deferred == 0 }

// queue also counts what waits in the topic for its first channel.
func (s *scene) queue() queue {
	s.t.Helper()
	var stats struct {
		Topics []struct {
			Depth    int `json:"depth"`
			Channels []struct {
				queue
				Clients []struct {
					Ready int `json:"ready_count"`
				} `json:"clients"`
			} `json:"channels"`
		} `json:"topics"`
	}
	getJSON(s.t, fmt.Sprintf("http://%s/stats?format=json&topic=%s", s.server.NSQDHTTPAddr, backend.Topic), &stats)
	var sum queue
	for _, topic := range stats.Topics {
		sum.Depth += topic.Depth
		for _, c := range topic.Channels {
			sum.Depth += c.Depth
			sum.InFlight += c.InFlight
			sum.Deferred += c.Deferred
			sum.Requeued += c.Requeued
			sum.TimedOut += c.TimedOut
			sum.Messages += c.Messages
			for _, client := range c.Clients {
				sum.Ready += client.Ready
			}
		}
	}
	return sum
}

// wantIdleQueue waits until nothing waits, is in flight or deferred: a worker counts a file before it finishes the
// message.
func (s *scene) wantIdleQueue() {
	s.t.Helper()
	eventually(s.t, "nothing is left in the queue", func() bool { return s.queue().idle() })
}

// wantBackAtMostOnce checks that an outage sent no task of w back to the queue more than once: what nsqd sends while the
// intake pauses goes back, and there is no copy of it and no time-out.
func (s *scene) wantBackAtMostOnce(w *worker, tasks int) {
	s.t.Helper()
	q := s.queue()
	if q.Messages != tasks || q.TimedOut != 0 {
		s.t.Errorf("%d tasks were %d messages, of which %d timed out; want no copy and no time-out", tasks, q.Messages, q.TimedOut)
	}
	if once, again := w.lines("msg=recognized", "deliveries=1\n"), w.lines("msg=recognized", "deliveries=2\n"); once+again != tasks {
		s.t.Errorf("%d tasks were recognized when they came first and %d the second time, want all %d", once, again, tasks)
	}
	s.t.Logf("%d of %d tasks went back to the queue", q.Requeued, tasks)
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %s", url, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// deadLetters waits for n dead letters and returns their bodies.
func (s *scene) deadLetters(n int) []string {
	s.t.Helper()
	d, err := dialer.New(dialer.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer d.Close()
	bodies := make(chan string, 100)
	consumer, err := nsqdial.NewConsumer(nsqdial.ConsumerConfig{
		Dialer: d, Topic: deadTopic, Channel: "test", NSQDs: []string{s.server.NSQDAddr}, MaxInFlight: 10,
	}, nsq.HandlerFunc(func(m *nsq.Message) error {
		bodies <- string(m.Body)
		return nil
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	defer consumer.Stop(s.ctx)
	var got []string
	for len(got) < n {
		select {
		case body := <-bodies:
			got = append(got, body)
		case <-s.ctx.Done():
			s.t.Fatalf("%d dead letters, want %d: %q", len(got), n, got)
		}
	}
	return got
}
