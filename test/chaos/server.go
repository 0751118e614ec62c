package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// The services of a main server, in the order in which they start.
const (
	mongoDB    = mainserver.MongoDB
	nsqLookupd = mainserver.NSQLookupd
	nsqd       = mainserver.NSQD
)

var services = []string{mongoDB, nsqLookupd, nsqd}

// The ports that a main server publishes, and a second one for an nsqd that moves.
const (
	mongoPort      = 27017
	nsqdPort       = 4150
	nsqdHTTPPort   = 4151
	otherNSQDPort  = 4250
	lookupdTCPPort = 4160
	lookupdPort    = 4161
)

const channelOfTasks = "bulk_ocr_workers"

// server is a main server whose services are processes of their own. It is used by one goroutine.
type server struct {
	ip       string
	at       *namespace
	dir      string
	limits   mainserver.Config // of nsqd and MongoDB
	nsqdPort int
	running  map[string]*process
	client   *http.Client
}

func newServer(ip string, at *namespace, dir string, limits mainserver.Config) *server {
	return &server{
		ip: ip, at: at, dir: dir, limits: limits, nsqdPort: nsqdPort, running: map[string]*process{},
		client: &http.Client{
			Transport: &http.Transport{DialContext: at.dial, DisableKeepAlives: true},
			Timeout:   5 * time.Second,
		},
	}
}

func (s *server) address(port int) string { return net.JoinHostPort(s.ip, strconv.Itoa(port)) }

func (s *server) mongoURI() string {
	uri := "mongodb://gvpocr_admin:gvp%40123@" + s.address(mongoPort) + "/"
	if set := s.limits.Mongo.ReplicaSet; set != "" {
		uri += "?replicaSet=" + set
	}
	return uri
}

// start starts services, each as a process, and returns when they accept connections.
func (s *server) start(ctx context.Context, names ...string) error {
	for _, name := range names {
		cfg := s.limits
		cfg.Services = []string{name}
		cfg.Dir = filepath.Join(s.dir, "data")
		cfg.LookupdTCPAddr, cfg.LookupdHTTPAddr = s.address(lookupdTCPPort), s.address(lookupdPort)
		cfg.NSQDAddr, cfg.NSQDHTTPAddr = s.address(s.nsqdPort), s.address(nsqdHTTPPort)
		cfg.Mongo.Addr = s.address(mongoPort)
		p, err := spawn(ctx, s.at, serviceRole, name, s.dir, cfg, nil)
		if err != nil {
			return err
		}
		s.running[name] = p
	}
	return nil
}

// stop ends services in an orderly way, last started first.
func (s *server) stop(names ...string) error {
	var errs []error
	for _, name := range slices.Backward(services) {
		if p := s.running[name]; p != nil && slices.Contains(names, name) {
			errs = append(errs, p.end())
			delete(s.running, name)
		}
	}
	return errors.Join(errs...)
}

// kill ends services as a power failure does.
func (s *server) kill(names ...string) {
	for _, name := range names {
		s.running[name].kill()
		delete(s.running, name)
	}
}

// freeze stops a service without closing anything, and thaw lets it go on.
func (s *server) freeze(name string) error { return s.running[name].signal(syscall.SIGSTOP) }
func (s *server) thaw(name string) error   { return s.running[name].signal(syscall.SIGCONT) }

// close ends what runs. A service that is frozen is killed.
func (s *server) close() error { return s.stop(services...) }

// depth is what nsqd's /stats says of one topic or channel.
type depth struct {
	Depth        int `json:"depth"`
	BackendDepth int `json:"backend_depth"`
	InFlight     int `json:"in_flight_count"`
	Deferred     int `json:"deferred_count"`
	Requeued     int `json:"requeue_count"`
	TimedOut     int `json:"timeout_count"`
	Messages     int `json:"message_count"`
	Clients      []struct {
		ID string `json:"client_id"`
	} `json:"clients"`
}

// queue is what nsqd says of a topic and its channels together.
type queue struct {
	depth
	inMemory int             // messages that are on no disk: waiting or deferred
	clients  map[string]bool // by id
}

func (q queue) idle() bool { return q.Depth == 0 && q.InFlight == 0 && q.Deferred == 0 }

func (q queue) String() string {
	return fmt.Sprintf("%d waiting (%d in memory), %d in flight, %d deferred; so far %d requeued, %d timed out",
		q.Depth, q.inMemory, q.InFlight, q.Deferred, q.Requeued, q.TimedOut)
}

func (s *server) queue(ctx context.Context, topic string) (queue, error) {
	var stats struct {
		Topics []struct {
			depth
			Channels []depth `json:"channels"`
		} `json:"topics"`
	}
	sum := queue{clients: map[string]bool{}}
	err := s.nsqdHTTP(ctx, "GET", "/stats?format=json&topic="+topic, nil, &stats)
	for _, t := range stats.Topics {
		sum.Messages += t.Messages
		for _, d := range append(t.Channels, t.depth) {
			sum.Depth += d.Depth
			sum.InFlight += d.InFlight
			sum.Deferred += d.Deferred
			sum.Requeued += d.Requeued
			sum.TimedOut += d.TimedOut
			for _, c := range d.Clients {
				sum.clients[c.ID] = true
			}
			sum.inMemory += d.Depth - d.BackendDepth + d.Deferred
		}
	}
	return sum, err
}

// prepareQueue makes the channel, so that what is published waits in it and not in the topic.
func (s *server) prepareQueue(ctx context.Context) error {
	return errors.Join(
		s.nsqdHTTP(ctx, "POST", "/topic/create?topic="+backend.Topic, nil, nil),
		s.nsqdHTTP(ctx, "POST", "/channel/create?topic="+backend.Topic+"&channel="+channelOfTasks, nil, nil),
	)
}

// pauseQueue makes nsqd deliver nothing any more, or deliver again. It remembers that over a restart.
func (s *server) pauseQueue(ctx context.Context, paused bool) error {
	action := "unpause"
	if paused {
		action = "pause"
	}
	return s.nsqdHTTP(ctx, "POST", "/channel/"+action+"?topic="+backend.Topic+"&channel="+channelOfTasks, nil, nil)
}

// publish publishes all bodies or none. None has a line break.
func (s *server) publish(ctx context.Context, bodies [][]byte) error {
	return s.nsqdHTTP(ctx, "POST", "/mpub?topic="+backend.Topic, bytes.Join(bodies, []byte("\n")), nil)
}

// listed tells whether nsqlookupd lists the nsqd at its present port.
func (s *server) listed(ctx context.Context) bool {
	var answer struct {
		Producers []struct {
			Port int `json:"tcp_port"`
		} `json:"producers"`
	}
	err := s.http(ctx, "GET", "http://"+s.address(lookupdPort)+"/lookup?topic="+backend.Topic, nil, &answer)
	for _, p := range answer.Producers {
		if p.Port == s.nsqdPort {
			return err == nil
		}
	}
	return false
}

func (s *server) nsqdHTTP(ctx context.Context, method, path string, body []byte, into any) error {
	return s.http(ctx, method, "http://"+s.address(nsqdHTTPPort)+path, body, into)
}

func (s *server) http(ctx context.Context, method, url string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", url, err)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %s", url, response.Status, strings.TrimSpace(string(text)))
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}
