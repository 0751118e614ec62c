package nsqdial_test

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
	"github.com/nsqio/nsq/nsqd"

	"github.com/gvpocr/worker/dialer/nsqdial"
)

// longTask is how long the handler runs over whose end the restart must not wait.
const longTask = 30 * time.Second

// BenchmarkRestart measures how long after an nsqd accepts connections again (and, on another port, nsqlookupd lists it)
// the next message arrives, while a handler runs for 30 s. The client of go-nsq is in its default configuration:
//
//	go test ./test/nsqdial -run - -bench 'Restart/.*/nsqdial' -benchtime 10x
//	go test ./test/nsqdial -run - -bench 'Restart/.*/go-nsq' -benchtime 3x -timeout 30m
func BenchmarkRestart(b *testing.B) {
	for _, place := range []struct {
		name  string
		other bool
	}{{"same-port", false}, {"other-port", true}} {
		for _, client := range []struct {
			name  string
			start func(testing.TB, *restart) (stop func())
		}{{"nsqdial", startOurs}, {"go-nsq", startStock}} {
			b.Run(place.name+"/"+client.name, func(b *testing.B) {
				var took []time.Duration
				for b.Loop() {
					took = append(took, measureRestart(b, place.other, client.start))
				}
				slices.Sort(took)
				b.ReportMetric(took[len(took)/2].Seconds(), "median-s")
				b.ReportMetric(took[len(took)-1].Seconds(), "max-s")
				b.ReportMetric(0, "ns/op") // the down time
				b.Log(took)
			})
		}
	}
}

// restart is what the two clients are told.
type restart struct {
	lookupd string // HTTP
	nsqd    string // its first TCP address
	handler nsq.HandlerFunc
}

func startOurs(t testing.TB, r *restart) (stop func()) {
	b := &bench{t: t}
	d := b.newDialer("DIAL_NSQD_PROXY="+r.nsqd, "DIAL_NSQLOOKUPD_PROXY="+r.lookupd)
	c, err := nsqdial.NewConsumer(nsqdial.ConsumerConfig{
		Dialer: d, Topic: topic, Channel: channel, MaxInFlight: 2,
		Lookupds: []string{"nsqlookupd-proxy:4161"}, NSQDs: []string{"nsqd-proxy:4150"},
	}, r.handler)
	if err != nil {
		t.Fatal(err)
	}
	return func() { b.stop(c) }
}

func startStock(t testing.TB, r *restart) (stop func()) {
	c, err := nsq.NewConsumer(topic, channel, nsq.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	c.SetLookupdHttpClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}) // else it leaves connections open
	c.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	c.ChangeMaxInFlight(2)
	c.AddConcurrentHandlers(r.handler, 2)
	if err := c.ConnectToNSQLookupd(r.lookupd); err != nil {
		t.Fatal(err)
	}
	return func() {
		c.Stop()
		<-c.StopChan
	}
}

func measureRestart(t testing.TB, otherPort bool, startClient func(testing.TB, *restart) func()) time.Duration {
	t.Helper()
	lookupd := runLookupd(t)
	defer lookupd.stop()
	dir := t.TempDir()
	configure := func(o *nsqd.Options) {
		o.DataPath, o.MemQueueSize = dir, 0
		o.BroadcastAddress = "127.0.0.1" // go-nsq can't map a name
		o.NSQLookupdTCPAddresses = []string{lookupd.tcp}
	}
	first := runNSQD(t, configure)
	begun, arrived, over := make(chan struct{}, 10), make(chan time.Time, 10), make(chan struct{})
	stop := startClient(t, &restart{lookupd: lookupd.http, nsqd: first.tcp, handler: func(m *nsq.Message) error {
		if string(m.Body) == "next" {
			arrived <- time.Now()
			return nil
		}
		begun <- struct{}{}
		select {
		case <-time.After(longTask):
		case <-over:
		}
		return nil
	}})
	post(t, first.http, "long")
	select {
	case <-begun:
	case <-time.After(2 * time.Minute): // of go-nsq's poll interval
		t.Fatal("the first message never came")
	}
	first.stop()
	down := time.NewTimer(time.Second + rand.N(3*time.Second))
	<-down.C
	second := runNSQD(t, func(o *nsqd.Options) {
		configure(o)
		if !otherPort {
			o.TCPAddress = first.tcp
		}
	})
	since := time.Now() // it answers
	post(t, second.http, "next")
	if otherPort {
		for !listed(t, lookupd.http, second.tcp) {
			<-time.After(5 * time.Millisecond)
		}
		since = time.Now()
	}
	var took time.Duration
	select {
	case at := <-arrived:
		took = max(at.Sub(since), 0)
	case <-time.After(3 * time.Minute):
		t.Fatal("the next message never came")
	}
	close(over)
	stop()
	second.stop()
	return took
}

func post(t testing.TB, nsqdHTTP, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+nsqdHTTP+"/pub?topic="+topic, "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("publish: status %s", resp.Status)
	}
}

// listed tells whether nsqlookupd lists an nsqd for the topic.
func listed(t testing.TB, lookupdHTTP, nsqdTCP string) bool {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + lookupdHTTP + "/lookup?topic=" + topic)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	port := nsqdTCP[strings.LastIndexByte(nsqdTCP, ':')+1:]
	return strings.Contains(string(answer), fmt.Sprintf(`"tcp_port":%s`, port))
}
