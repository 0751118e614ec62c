package e2e_test

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/internal/testdns"
	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// domain is what DNS says of the services of a main server. It answers each question as it is told at the time.
type domain struct {
	t    *testing.T
	ttls map[string]int // in seconds, by service; 0 = 5

	mu    sync.Mutex
	zone  testdns.Zone
	leads map[string]string // to IP and port, by service
}

func (d *domain) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	d.mu.Lock()
	zone := d.zone
	d.mu.Unlock()
	zone.ServeDNS(w, q)
}

// lead makes services lead to a main server; without any, all do.
func (d *domain) lead(to *scene, services ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range to.server.Environ() {
		name, addr, _ := strings.Cut(line, "=")
		service := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, "DIAL_"), "_PROXY"))
		if len(services) == 0 || slices.Contains(services, service) {
			d.leads[service] = addr
		}
	}
	var lines []string
	for service, addr := range d.leads {
		ip, port, err := net.SplitHostPort(addr)
		if err != nil {
			d.t.Fatal(err)
		}
		ttl := cmp.Or(d.ttls[service], 5)
		lines = append(lines,
			fmt.Sprintf("_%s._tcp.main.test. %d IN SRV 10 10 %s %s.main.test.", service, ttl, port, service),
			fmt.Sprintf("%s.main.test. %d IN A %s", service, ttl, ip))
	}
	d.zone = testdns.NewZone(lines...)
}

// move is a worker's way from one main server to another. Each has a MongoDB, and jobs, of its own; Linux has an address for each.
type move struct {
	first, second *scene
	*domain
	worker *worker
}

// newMove starts a worker that DNS leads to the first.
func newMove(t *testing.T, ip string, ttls map[string]int, env ...string) *move {
	t.Helper()
	m := &move{
		first:  newScene(t, mainserver.Config{Host: ip + "1"}),
		second: newScene(t, mainserver.Config{Host: ip + "2"}),
		domain: &domain{t: t, ttls: ttls, leads: map[string]string{}},
	}
	m.lead(m.first)
	names, err := testdns.Listen(m.domain, m.domain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(names.Close)
	m.worker = runWorker(t, slices.Concat(composeEnvironment("worker1", m.first.root, m.first.newsletters),
		[]string{"DIALER_SRV_DOMAIN=main.test", "DIALER_SRV_SERVER=" + names.Addr, "OCR_CONCURRENCY=2"}, env))
	return m
}

// submit publishes a job of n pages at one of the two.
func (m *move) submit(to *scene, folder string, n int) (job string, paths []string) {
	to.t.Helper()
	var tasks []backend.Task
	for i := range n {
		name := fmt.Sprintf("%s/%d.gif", folder, i)
		paths = append(paths, m.first.put("notice.gif", "scans/"+name))
		tasks = append(tasks, backend.Task{FilePath: name})
	}
	return to.submit(tasks...), paths
}

// wantNothingTwice checks that no try was lost, and that no task was published again.
func (m *move) wantNothingTwice(s *scene, job backend.Job, published int) {
	m.t.Helper()
	for _, r := range job.Checkpoint.Results {
		if r.Retries != 0 {
			m.t.Errorf("%s: retry_count %d: a move is no failed try", r.FilePath, r.Retries)
		}
	}
	if q := s.queue(); q.Messages != published {
		m.t.Errorf("%s has had %d messages, want %d", s.server.NSQDAddr, q.Messages, published)
	}
	m.worker.wantLogged(0, "dead letter")
}

// What a task leaves goes to the server that the task came from.
func TestPagesThatAreBegunBeforeAMoveAreStoredAtTheFirstMainServer(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	m := newMove(t, "127.77.0.", nil, g.environ())
	here, paths := m.submit(m.first, "a", 2)
	g.waitBegun(2)
	m.lead(m.second)
	there, others := m.submit(m.second, "b", 3)
	m.worker.waitLog("MongoDB has moved")
	g.open()
	done := m.second.finish(there)
	m.second.wantResults(done, others...)
	m.wantNothingTwice(m.second, done, 3)
	done = m.first.finish(here)
	m.first.wantResults(done, paths...)
	m.wantNothingTwice(m.first, done, 2)
}

// While both main servers have tasks each task finds the job that it belongs to, also one that comes from the first in the
// last moment.
func TestAMoveInTheMiddleOfAJobLosesNoTaskAndNoTry(t *testing.T) {
	t.Parallel()
	const tasks = 300 // more than are done before the first main server is left, by 8 a second
	m := newMove(t, "127.77.1.", nil, newStandIn(t, 500*time.Millisecond).environ(), "OCR_CONCURRENCY=4")
	here, _ := m.submit(m.first, "a", tasks)
	counted := func() int {
		j, err := m.first.backend.Job(m.first.ctx, here)
		if err != nil {
			t.Fatal(err)
		}
		return j.ConsumedCount
	}
	eventually(t, "the job is begun", func() bool { return counted() > 0 })
	m.lead(m.second)
	there, others := m.submit(m.second, "b", 50)
	m.worker.waitLog("nsqd has moved")
	if n := counted(); n == tasks {
		t.Fatal("the first main server has no task left when the worker leaves it")
	}
	done := m.second.finish(there)
	m.second.wantResults(done, others...)
	m.wantNothingTwice(m.second, done, 50)
	var j backend.Job
	eventually(t, "what is not stored at the first is in its queue", func() (all bool) {
		q := m.first.queue()
		var err error
		if j, err = m.first.backend.Job(m.first.ctx, here); err != nil {
			t.Fatal(err)
		}
		return q.InFlight == 0 && q.Deferred == 0 && j.ConsumedCount+q.Depth == tasks
	})
	if len(j.Checkpoint.Results) != j.ConsumedCount {
		t.Errorf("%d results and a count of %d", len(j.Checkpoint.Results), j.ConsumedCount)
	}
	m.wantNothingTwice(m.first, j, tasks)
}

// The first one's nsqd is gone, so a dial of nsqd asks DNS anew, while what it said of MongoDB, which lives, is good for an hour.
func TestATaskOfTheSecondMainServerWaitsForNoTTL(t *testing.T) {
	t.Parallel()
	m := newMove(t, "127.77.2.", map[string]int{"mongodb": 3600, "nsqd": 3600, "nsqlookupd": 3600})
	here, _ := m.submit(m.first, "a", 1)
	m.first.finish(here)
	m.lead(m.second)
	for _, service := range []string{mainserver.NSQD, mainserver.NSQLookupd} {
		if err := m.first.server.Stop(service); err != nil {
			t.Fatal(err)
		}
	}
	there, paths := m.submit(m.second, "b", 3)
	done := m.second.finish(there)
	m.second.wantResults(done, paths...)
	m.wantNothingTwice(m.second, done, 3)
}

// MongoDB's connections are closed while every place for a task is busy, and nsqd is not known to have moved for long.
func TestTasksOfTheFirstMainServerAreStoredThereWhenMongoDBLeavesFirst(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	m := newMove(t, "127.77.3.", map[string]int{"nsqd": 3600, "nsqlookupd": 3600}, g.environ(), "DIALER_DRAIN_AFTER=100ms")
	here, paths := m.submit(m.first, "a", 4)
	g.waitBegun(2)
	m.lead(m.second)
	m.worker.waitLog("endpoint is no longer in the answer; its connections are closed", "mongodb-proxy", "after=100ms")
	<-time.After(time.Second)
	g.open()
	done := m.first.finish(here)
	m.first.wantResults(done, paths...)
	m.wantNothingTwice(m.first, done, 4)
}

// A restart of a MongoDB that was left does not make its tasks go to the other one.
func TestTasksOfTheFirstMainServerWaitForItsMongoDB(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	m := newMove(t, "127.77.5.", map[string]int{"nsqd": 3600, "nsqlookupd": 3600}, g.environ())
	here, paths := m.submit(m.first, "a", 2)
	g.waitBegun(2)
	m.lead(m.second)
	m.worker.waitLog("MongoDB has moved")
	if err := m.first.server.Stop(mainserver.MongoDB); err != nil {
		t.Fatal(err)
	}
	<-time.After(6 * time.Second) // its connections are dialed again, in vain
	if err := m.first.server.Start(mainserver.MongoDB); err != nil {
		t.Fatal(err)
	}
	g.open()
	done := m.first.finish(here)
	m.first.wantResults(done, paths...)
	for _, r := range done.Checkpoint.Results {
		if r.Retries != 0 {
			t.Errorf("%s: retry_count %d: an outage is no failed try", r.FilePath, r.Retries)
		}
	}
	m.worker.wantLogged(0, "dead letter")
}

// When MongoDB alone moves, with its data, results go to where it is, also those of tasks that were begun before.
func TestResultsGoToWhereMongoDBHasMovedAlone(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	m := newMove(t, "127.77.4.", nil, g.environ())
	job, paths := m.submit(m.first, "a", 3)
	g.waitBegun(2)
	var copied bson.M
	if err := m.first.backend.Jobs().FindOne(m.first.ctx, bson.M{"job_id": job}).Decode(&copied); err != nil {
		t.Fatal(err)
	}
	if _, err := m.second.backend.Jobs().InsertOne(m.second.ctx, copied); err != nil {
		t.Fatal(err)
	}
	m.lead(m.second, "mongodb")
	m.worker.waitLog("MongoDB has moved")
	g.open()
	var done backend.Job
	eventually(t, "the job is done at the new place", func() bool {
		var err error
		done, err = m.second.backend.Job(m.second.ctx, job)
		return err == nil && done.ConsumedCount == 3
	})
	m.second.wantResults(done, paths...)
	m.first.wantIdleQueue()
	m.wantNothingTwice(m.first, done, 3)
}
