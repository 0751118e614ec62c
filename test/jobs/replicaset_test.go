package jobs_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/test/mongotest"
)

const electionTime = time.Second

// startSet starts a replica set of three as the main server has it, and returns what DIAL_MONGODB_PROXY says of it. On
// Linux its ports are the real ones, on a loopback address of its own, which then says it all.
func startSet(t *testing.T) (srv *mongotest.Server, proxy string) {
	t.Helper()
	cfg := mongotest.Config{
		ReplicaSet: "rs0", User: user, Password: password, ElectionTime: electionTime, Dir: t.TempDir(),
		Members: []string{"gvpocr-mongo-0:27017", "gvpocr-mongo-1:27018", "gvpocr-mongo-2:27019"},
	}
	if runtime.GOOS == "linux" {
		for range 20 {
			host := fmt.Sprintf("127.%d.%d.%d", 1+rand.N(254), rand.N(256), 1+rand.N(254))
			cfg.Addr = net.JoinHostPort(host, "27017")
			if srv, err := mongotest.Start(cfg); err == nil {
				t.Cleanup(func() { srv.Close() })
				return srv, host
			}
		}
	}
	cfg.Addr, cfg.Members = "", []string{"gvpocr-mongo-0:0", "gvpocr-mongo-1:0", "gvpocr-mongo-2:0"}
	srv = startMongo(t, cfg)
	return srv, srv.Addr()
}

// newSetBench is a bench whose Store knows the replica set by the name of the proxy alone.
func newSetBench(t *testing.T, proxy, uriOptions string, total int) *bench {
	t.Helper()
	cfg, err := dialer.ConfigFromEnv([]string{"DIAL_MONGODB_PROXY=" + proxy})
	if err != nil {
		t.Fatal(err)
	}
	d, err := dialer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	uri := "mongodb://" + user + ":" + encoded + "@mongodb-proxy:27017/gvpocr" + uriOptions
	b := benchOf(t, "gvpocr", options.Client().ApplyURI(uri).SetDialer(d.Behind("mongodb-proxy")).
		SetAuth(options.Credential{AuthSource: "admin", Username: user, Password: password}))
	b.store = open(t, jobs.Config{URI: uri, Dialer: d})
	b.insert(total, "")
	return b
}

// Where DIAL_MONGODB_PROXY lists all members, any of them is enough for a start.
func TestAStoreStartsWhileAMemberIsDead(t *testing.T) {
	t.Parallel()
	srv := startMongo(t, mongotest.Config{
		ReplicaSet: "rs0", User: user, Password: password, ElectionTime: 50 * time.Millisecond,
		Members: []string{"gvpocr-mongo-0:0", "gvpocr-mongo-1:0", "gvpocr-mongo-2:0"},
	})
	srv.Kill()
	b := newSetBench(t, strings.Join(srv.Addrs(), ","), "", 1)
	added, err := b.store.AddResult(b.ctx, b.file("/a", 0, "000000000000000a"), jobs.Result{})
	b.want("with one member dead", added, true, err)
}

// adders store one result after the other and note how long nothing was stored.
type adders struct {
	b       *bench
	next    atomic.Int32
	stop    atomic.Bool
	running sync.WaitGroup
	added   chan struct{} // each result, where somebody waits

	mu   sync.Mutex // guards the fields below
	last time.Time
	gap  time.Duration
}

func (b *bench) startAdders(n int) *adders {
	a := &adders{b: b, added: make(chan struct{}), last: time.Now()}
	for range n {
		a.running.Go(func() {
			for !a.stop.Load() && b.ctx.Err() == nil {
				a.add(int(a.next.Add(1)) - 1)
			}
		})
	}
	return a
}

// add stores a result as the worker does: until it is there, whoever has put it there.
func (a *adders) add(i int) {
	f := a.b.file(fmt.Sprintf("/app/Bhushanji/%05d.jpg", i), i, fmt.Sprintf("%016d", i))
	for {
		added, err := a.b.store.AddResult(a.b.ctx, f, jobs.Result{Text: "text"})
		if err == nil && !added {
			var state jobs.State
			if state, err = a.b.store.Classify(a.b.ctx, f); err == nil && state != jobs.Done {
				a.b.t.Errorf("file %d is refused, and it is %v", i, state)
				return
			}
		}
		if err == nil {
			break
		}
		if !jobs.IsOutage(err) || a.b.ctx.Err() != nil {
			a.b.t.Errorf("file %d: %v", i, err)
			return
		}
	}
	a.mu.Lock()
	now := time.Now()
	a.gap = max(a.gap, now.Sub(a.last))
	a.last = now
	a.mu.Unlock()
	select {
	case a.added <- struct{}{}:
	default:
	}
}

// goOn waits for n results.
func (a *adders) goOn(n int) {
	a.b.t.Helper()
	for range n {
		select {
		case <-a.added:
		case <-a.b.ctx.Done():
			a.b.t.Fatal("no result is stored any more")
		}
	}
}

// cost is the longest time without a result since the last call.
func (a *adders) cost() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	gap := a.gap
	a.gap = 0
	return gap
}

// The members announce names that only the main server knows, and one name stands for all of them here.
func TestAReplicaSetIsReachedThroughTheProxysName(t *testing.T) {
	t.Parallel()
	for _, uriOptions := range []string{"", "?replicaSet=rs0", "?replicaSet=rs0&authSource=admin"} {
		t.Run("options "+uriOptions, func(t *testing.T) {
			t.Parallel()
			srv, proxy := startSet(t)
			b := newSetBench(t, proxy, uriOptions, 1000)
			a := b.startAdders(4)
			defer a.running.Wait()
			defer a.stop.Store(true)
			a.goOn(20)
			a.cost()
			for round := range 3 {
				for what, change := range map[string]func(){
					"the primary is killed": func() {
						if srv.Kill() == "" {
							t.Error("there is no primary to kill")
						}
					},
					"the primary steps down": func() {
						if err := srv.StepDown(); err != nil {
							t.Error(err)
						}
					},
				} {
					change()
					a.goOn(20)
					cost := a.cost()
					t.Logf("round %d: %s: %v without a result", round, what, cost.Round(time.Millisecond))
					if cost < electionTime/2 || cost > electionTime+2*time.Second {
						t.Errorf("%s: %v without a result, want about %v and at most 2 s more", what, cost, electionTime)
					}
					if err := srv.Revive(); err != nil {
						t.Error(err)
					}
					a.goOn(20)
					a.cost()
				}
			}
			a.stop.Store(true)
			a.running.Wait()
			b.wantCounts(int(a.next.Load()), 0)
		})
	}
}
