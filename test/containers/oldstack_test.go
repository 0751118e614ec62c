package containers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"

	"github.com/gvpocr/worker/test/backend"
)

const socatImage = "gvpocr-socat:test"

// socat is that of Debian; the image of today has the same program as its entry point.
var buildSocat = sync.OnceValue(func() error {
	return buildImage(socatImage, map[string][]byte{"Dockerfile": []byte(`FROM debian:bookworm-slim
RUN apt-get update -q && apt-get install -y -q --no-install-recommends socat
ENTRYPOINT ["socat"]
`)})
})

// proxy starts a container of today's compose file: command "TCP-LISTEN:port,fork,reuseaddr TCP:main-server:port".
func (s *scene) proxy(port string, names ...string) testcontainers.Container {
	s.t.Helper()
	c, err := testcontainers.Run(s.ctx, socatImage,
		testcontainers.WithCmd("TCP-LISTEN:"+port+",fork,reuseaddr", "TCP:"+mainServerName+":"+port),
		tcnetwork.WithNetwork(names, s.outside))
	testcontainers.CleanupContainer(s.t, c, testcontainers.StopTimeout(0))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// stack is what a machine of workers runs, and what was seen of it.
type stack struct {
	containers []testcontainers.Container
	proxies    []testcontainers.Container // of these
	job        backend.Job
	processes  int     // of all containers while the job runs
	memory     float64 // of the proxies then, in MiB
	answer     time.Duration
	burst      string
	dead       string
}

// The stack of today beside the one without proxies: the same image does the same job in both. Their results are equal,
// and the table is the README's.
func TestTheOldStackBesideTheNewOne(t *testing.T) {
	needEngine(t)
	if runtime.GOOS != "linux" {
		t.Skip("Containers' addresses can be reached from the machine itself on Linux only.")
	}
	stacks := map[string]*stack{}
	for _, name := range []string{"socat", "dialer"} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			st := &stack{}
			stacks[name] = st
			ports := map[string]string{}
			env := map[string]string{}
			if name == "socat" {
				if err := buildSocat(); err != nil {
					t.Fatal(err)
				}
				env["MAIN_SERVER_IP"] = ""
				// nsqd's own name has to lead to its proxy as well: for the worker that is a name like any other.
				st.proxies = []testcontainers.Container{
					s.proxy("27017", "mongodb-proxy"),
					s.proxy("4150", "nsqd-proxy", "gvpocr-nsqd"),
					s.proxy("4161", "nsqlookupd-proxy"),
				}
				ports["4161"] = s.addressOf(st.proxies[2])
				ports[deadPort] = s.addressOf(s.proxy(deadPort))
			} else {
				ports["4161"], ports[deadPort] = s.server.ip(), s.server.ip()
			}
			st.containers = slices.Clone(st.proxies)
			id, paths := s.job(24)
			for _, worker := range []string{"worker1", "worker2", "worker3"} {
				st.containers = append(st.containers, s.worker(worker, env).container)
			}
			s.waitCounted(id, 8)
			st.processes = s.processes(st.containers)
			st.memory = s.memory(st.proxies)
			st.job = s.finish(id, paths)
			st.answer = medianAnswer(t, "http://"+ports["4161"]+":4161/ping")
			st.burst = burst("http://" + ports["4161"] + ":4161/ping")
			st.dead = dead(net.JoinHostPort(ports[deadPort], deadPort))
		})
	}
	if t.Failed() {
		return
	}
	before, after := stacks["socat"], stacks["dialer"]
	for i, r := range sorted(before.job) {
		other := sorted(after.job)[i]
		if r.FilePath != other.FilePath || r.Text != other.Text || r.Confidence != other.Confidence || r.Words != other.Words {
			t.Errorf("%s: the stacks have stored different results", r.FilePath)
		}
	}
	if before.processes <= after.processes {
		t.Errorf("%d processes with proxies, %d without", before.processes, after.processes)
	}
	if !strings.HasPrefix(before.dead, "connected") || !strings.HasPrefix(after.dead, "refused") {
		t.Errorf("a dead service looks like %q and %q", before.dead, after.dead)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| | with socat | with the dialer |\n|---|---|---|\n")
	fmt.Fprintf(&table, "| containers | %d | %d |\n", len(before.containers), len(after.containers))
	fmt.Fprintf(&table, "| processes in mid-job, without tesseract | %d | %d |\n", before.processes, after.processes)
	fmt.Fprintf(&table, "| memory of the proxies | %.1f MiB | none |\n", before.memory)
	fmt.Fprintf(&table, "| a new connection to its first answer, median | %.2f ms | %.2f ms |\n", ms(before.answer), ms(after.answer))
	fmt.Fprintf(&table, "| %d connections at once, answered within %v | %s | %s |\n", burstSize, burstTime, before.burst, after.burst)
	fmt.Fprintf(&table, "| MongoDB is dead: a dial is | %s | %s |\n", before.dead, after.dead)
	t.Logf("results are equal\n%s", table.String())
}

// deadPort is one that nothing listens at.
const deadPort = "27999"

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func sorted(j backend.Job) []backend.Result {
	return slices.SortedFunc(slices.Values(j.Checkpoint.Results), func(a, b backend.Result) int {
		return strings.Compare(a.FilePath, b.FilePath)
	})
}

func (s *scene) addressOf(c testcontainers.Container) string {
	s.t.Helper()
	info, err := c.Inspect(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return info.NetworkSettings.Networks[s.outside.Name].IPAddress.String()
}

// processes counts those that stay: tesseract's come and go with the pages.
func (s *scene) processes(containers []testcontainers.Container) (n int) {
	s.t.Helper()
	for _, c := range containers {
		top, err := s.engine.ContainerTop(s.ctx, c.GetContainerID(), client.ContainerTopOptions{Arguments: []string{"-o", "pid,comm"}})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, process := range top.Processes {
			if !slices.Contains(process, "tesseract") {
				n++
			}
		}
	}
	return n
}

// memory is what containers use, in MiB, as the engine counts it.
func (s *scene) memory(containers []testcontainers.Container) (sum float64) {
	s.t.Helper()
	for _, c := range containers {
		result, err := s.engine.ContainerStats(s.ctx, c.GetContainerID(), client.ContainerStatsOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		var stats container.StatsResponse
		err = json.NewDecoder(result.Body).Decode(&stats)
		result.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		sum += float64(stats.MemoryStats.Usage) / (1 << 20)
	}
	return sum
}

// get asks over a connection of its own.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A Transport's dial goes on when its request has ended, by default for minutes where nobody answers.
	dial := (&net.Dialer{Timeout: burstTime}).DialContext
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}).Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func medianAnswer(t *testing.T, url string) time.Duration {
	t.Helper()
	var times []time.Duration
	for range 101 {
		began := time.Now()
		if err := get(context.Background(), url); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times[len(times)/2]
}

const (
	burstSize = 300
	burstTime = 2 * time.Second
)

// burst opens many connections at once and tells how many were answered in time.
func burst(url string) string {
	ctx, cancel := context.WithTimeout(context.Background(), burstTime)
	defer cancel()
	answered := make(chan bool, burstSize)
	for range burstSize {
		go func() { answered <- get(ctx, url) == nil }()
	}
	n := 0
	for range burstSize {
		if <-answered {
			n++
		}
	}
	return fmt.Sprint(n)
}

// dead tells what a client sees of a service that does not listen.
func dead(address string) string {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return "refused"
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err.Error()
	}
	_, err = conn.Read(make([]byte, 1))
	switch {
	case errors.Is(err, io.EOF):
		return "connected, then closed without a word"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "connected, then silent"
	default:
		return "connected, then reset"
	}
}
