package dialer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testdns"
	"github.com/gvpocr/worker/internal/testnet"
	"github.com/gvpocr/worker/resolve"
)

// nameServer is the one that net.DefaultResolver asks.
var nameServer = testdns.New()

func TestMain(m *testing.M) {
	nameServer.Pin()
	goleak.VerifyTestMain(m)
}

// bench is a dialer on a network in memory and on virtual time.
type bench struct {
	t   *testing.T
	net *testnet.Network
	d   *dialer.Dialer
}

// run runs a test in a bubble with a dialer that knows targets; change may alter its configuration.
func run(t *testing.T, targets map[string]string, change func(*dialer.Config), test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { runNow(t, targets, change, test) })
}

// runNow is run without virtual time, for tests that ask net.Resolver: its state lives outside of any bubble.
func runNow(t *testing.T, targets map[string]string, change func(*dialer.Config), test func(t *testing.T, b *bench)) {
	t.Helper()
	resolver, err := resolve.Static(targets)
	if err != nil {
		t.Fatal(err)
	}
	network := testnet.New()
	cfg := dialer.Config{Resolver: resolver, DialFunc: network.DialContext}
	if change != nil {
		change(&cfg)
	}
	d, err := dialer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	defer d.Close()
	test(t, &bench{t, network, d})
}

// dial dials name on tcp and closes what it gets. It returns how long that took and the error.
func (b *bench) dial(ctx context.Context, name string) (time.Duration, error) {
	b.t.Helper()
	begin := time.Now()
	conn, err := b.d.DialContext(ctx, "tcp", name)
	if err == nil {
		conn.Close()
	} else if _, ok := errors.AsType[*dialer.DialError](err); !ok {
		b.t.Errorf("dial %s: %T is not a *DialError", name, err)
	}
	return time.Since(begin), err
}

func (b *bench) wantDials(want ...string) {
	b.t.Helper()
	var got []string
	for _, d := range b.net.Dials() {
		got = append(got, d.Addr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("dials (-want +got):\n%s", diff)
	}
}

func TestALogicalNameIsDialedWhereItsServiceIs(t *testing.T) {
	run(t, map[string]string{"mongodb-proxy": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:27017", testnet.Accept)
		if took, err := b.dial(t.Context(), "mongodb-proxy:27017"); err != nil || took != 0 {
			t.Errorf("took %v, %v", took, err)
		}
		b.wantDials("10.0.0.1:27017")
	})
}

func TestEndpointsAreTriedByPriority(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2|10.0.0.3"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.3:1", testnet.Accept)
		if _, err := b.dial(t.Context(), "db:1"); err != nil {
			t.Error(err)
		}
		b.wantDials("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	})
}

func TestEqualsShareTheDialsByWeight(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1*3,10.0.0.2"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		b.net.Set("10.0.0.2:1", testnet.Accept)
		const dials = 4000
		for range dials {
			b.dial(t.Context(), "db:1")
		}
		heavy := 0
		for _, d := range b.net.Dials() {
			if d.Addr == "10.0.0.1:1" {
				heavy++
			}
		}
		// Binomial with p = 3/4: σ ≈ 27, and six of them are never seen.
		if heavy < dials*3/4-164 || heavy > dials*3/4+164 {
			t.Errorf("the endpoint of weight 3 against 1 got %d of %d dials", heavy, dials)
		}
	})
}

func TestASilentEndpointCostsOneAttemptDelay(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Silent)
		b.net.Set("10.0.0.2:1", testnet.Accept)
		if took, err := b.dial(t.Context(), "db:1"); err != nil || took != 250*time.Millisecond {
			t.Errorf("took %v, %v; want 250ms", took, err)
		}
	})
}

func TestADialWaitsForAServerThatComesBackWithinItsBudget(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		time.AfterFunc(3*time.Second, func() { b.net.Set("10.0.0.1:1", testnet.Accept) })
		took, err := b.dial(t.Context(), "db:1")
		if err != nil || took < 3*time.Second || took > 3*time.Second+7500*time.Millisecond {
			t.Errorf("took %v, %v", took, err)
		}
	})
}

func TestADialGivesUpWhenItsBudgetIsUsedUp(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		took, err := b.dial(t.Context(), "db:1")
		if err == nil || took > 15*time.Second || took < 7*time.Second {
			t.Errorf("took %v, %v", took, err)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the cause is lost: %v", err)
		}
		if n := len(b.net.Dials()); n < 5 || n > 100 {
			t.Errorf("%d attempts", n)
		}
		if failed, _ := errors.AsType[*dialer.DialError](err); len(failed.Attempts) != 1 {
			t.Errorf("%d entries for one endpoint, however often it was tried", len(failed.Attempts))
		}
	})
}

func TestANegativeBudgetMakesOnePass(t *testing.T) {
	one := func(c *dialer.Config) { c.Budget = -1 }
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, one, func(t *testing.T, b *bench) {
		if took, err := b.dial(t.Context(), "db:1"); err == nil || took != 0 {
			t.Errorf("took %v, %v", took, err)
		}
		b.wantDials("10.0.0.1:1", "10.0.0.2:1")
	})
}

func TestTimeoutsAreOursAndNotTheCallers(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Silent)
		took, err := b.dial(t.Context(), "db:1")
		if took != 15*time.Second {
			t.Errorf("took %v, want the budget", took)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("want os.ErrDeadlineExceeded and not context.DeadlineExceeded in %v", err)
		}
		dialErr, _ := errors.AsType[*dialer.DialError](err)
		if !dialErr.Timeout() {
			t.Errorf("every attempt timed out, and Timeout is false: %v", err)
		}
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Addr.String() != "10.0.0.1:1" {
			t.Errorf("no *net.OpError for the endpoint in %v", err)
		}
	})
}

func TestADialWithoutTimeForAnAttemptSaysSo(t *testing.T) {
	hasty := func(c *dialer.Config) {
		c.Budget, c.Breaker.Failures = time.Second, -1
		c.Trace = &dialer.Trace{Resolved: func(string, resolve.Answer, error) { time.Sleep(time.Second) }}
	}
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, hasty, func(t *testing.T, b *bench) {
		for range 100 { // whether an attempt begins is a matter of chance
			_, err := b.dial(t.Context(), "db:1")
			failed, _ := errors.AsType[*dialer.DialError](err)
			if len(failed.Unwrap()) == 0 || len(failed.Attempts) == 0 && !failed.Timeout() {
				t.Fatalf("causes %v, time-out %v: %v", failed.Unwrap(), failed.Timeout(), err)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("that was not the caller's deadline: %v", err)
			}
			synctest.Wait()
		}
	})
}

func TestTimeoutIsFalseIfOneEndpointRefused(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, func(c *dialer.Config) { c.Budget = -1 }, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Silent)
		_, err := b.dial(t.Context(), "db:1")
		if dialErr, _ := errors.AsType[*dialer.DialError](err); dialErr.Timeout() {
			t.Errorf("Timeout is true for %v", err)
		}
	})
}

func TestTheCallersContextEndsADial(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Silent)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if took, err := b.dial(ctx, "db:1"); took != time.Second || !errors.Is(err, context.Canceled) {
			t.Errorf("took %v, %v; want canceled after 1s", took, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if took, err := b.dial(ctx, "db:1"); took != 2*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("took %v, %v; want the caller's deadline after 2s", took, err)
		}
	})
}

func TestAnUnknownNameFailsAtOnce(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		if took, err := b.dial(t.Context(), "dbb:1"); took != 0 || !errors.Is(err, resolve.ErrNotFound) {
			t.Errorf("took %v, %v", took, err)
		}
	})
}

func TestABadAddressFailsAtOnceAndSaysWhy(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		for _, test := range []struct{ network, address, want string }{
			{"tcp", "db", "missing port"},
			{"tcp", ":1", "the host is missing"},
			{"tcp", "db:0", "1 to 65535"},
			{"tcp", "db:x", "1 to 65535"},
			{"udp", "db:1", "unknown network udp"},
			{"tcp6", "db:1", "tcp6 can't reach 10.0.0.1:1"},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := b.d.DialContext(ctx, test.network, test.address)
			cancel()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s %q: got %v, want %q", test.network, test.address, err, test.want)
			}
		}
		b.wantDials()
	})
}

func TestAnAddressThatMayHoldAPasswordIsNotShown(t *testing.T) {
	run(t, nil, nil, func(t *testing.T, b *bench) {
		for _, address := range []string{"mongodb://admin:geheim@db:27017", "admin:geheim@db", "admin:geheim@db:x"} {
			if _, err := b.dial(t.Context(), address); err == nil || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestWhatCanNotBeDialedFailsAtOnce(t *testing.T) {
	cache := func(c *dialer.Config) {
		r, err := resolve.MainServer("localhost")
		if err != nil {
			t.Fatal(err)
		}
		c.Resolver = resolve.NewCache(r, resolve.CacheConfig{})
	}
	run(t, nil, cache, func(t *testing.T, b *bench) {
		if took, err := b.dial(t.Context(), "mongodb-proxy:27017"); took != 0 || err == nil || !strings.Contains(err.Error(), "resolve.Addresses") {
			t.Errorf("host names out of a cache: took %v, %v", took, err)
		}
		if e, err := b.d.Explain(t.Context(), "mongodb-proxy:27017"); err != nil || !strings.Contains(e.Verdict, "fails") || e.Steps[0].Action != "skip" {
			t.Errorf("%v, %v", e, err)
		}
	})
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		began := time.Now()
		if _, err := b.d.DialContext(t.Context(), "tcp6", "db:1"); err == nil || time.Since(began) != 0 {
			t.Errorf("tcp6 to an IPv4 address: took %v, %v", time.Since(began), err)
		}
	})
}

func TestAnEndpointThatStandsInTheAnswerTwiceIsTriedOnce(t *testing.T) {
	run(t, nil, func(c *dialer.Config) { c.Resolver = &zone{answer: says(time.Minute, hostA, hostA)} }, func(t *testing.T, b *bench) {
		b.net.Set(hostA+":1", testnet.Silent)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b.dial(ctx, "db:1")
		b.wantDials(hostA + ":1")
	})
}

func TestADialRidesOutADeadNameServer(t *testing.T) {
	flaky := &flakyResolver{failures: 3}
	run(t, nil, func(c *dialer.Config) { c.Resolver = flaky }, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		if _, err := b.dial(t.Context(), "db:1"); err != nil {
			t.Error(err)
		}
		if flaky.calls != 4 {
			t.Errorf("%d lookups, want 4", flaky.calls)
		}
	})
}

type flakyResolver struct {
	mu              sync.Mutex
	failures, calls int
	err             error // nil = some error
}

func (f *flakyResolver) Resolve(_ context.Context, _, port string) (resolve.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.calls <= f.failures {
		if f.err != nil {
			return resolve.Answer{}, f.err
		}
		return resolve.Answer{}, errors.New("name server is down")
	}
	return resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: "10.0.0.1:" + port, Weight: 1}}}, nil
}

func TestOnceAnEndpointWasKnownNoDNSErrorComesOutOfADial(t *testing.T) {
	dead := &net.DNSError{Err: "server misbehaving", Name: "db", IsTemporary: true}
	answers := &flakyResolver{}
	dns := func(c *dialer.Config) {
		c.Budget, c.Resolver = -1, answers
		c.Cache = resolve.CacheConfig{UnknownTTL: -1, NegativeTTL: -1, MaxStale: -1} // nothing is kept
	}
	run(t, nil, dns, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		if _, err := b.dial(t.Context(), "db:1"); err != nil {
			t.Fatal(err)
		}
		answers.mu.Lock()
		answers.err, answers.failures = dead, 1000
		answers.mu.Unlock()
		_, err := b.dial(t.Context(), "db:1")
		if _, ok := errors.AsType[*net.DNSError](err); ok || err == nil || !strings.Contains(err.Error(), dead.Err) {
			t.Errorf("known before: %v, reaches a *net.DNSError: %v", err, ok)
		}
		_, err = b.dial(t.Context(), "other:1")
		if _, ok := errors.AsType[*net.DNSError](err); !ok {
			t.Errorf("never known: %v", err)
		}
	})
}

func TestCloseEndsDialsUnderWayAndRefusesNewOnes(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, nil, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Silent)
		failed := make(chan error)
		go func() {
			_, err := b.dial(t.Context(), "db:1")
			failed <- err
		}()
		synctest.Wait()
		go b.d.Close()
		if err := <-failed; !errors.Is(err, dialer.ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial under way: %v", err)
		}
		b.d.Close()
		if _, err := b.dial(t.Context(), "db:1"); !errors.Is(err, dialer.ErrClosed) {
			t.Errorf("dial after Close: %v", err)
		}
	})
}

func TestDoTriesOneEndpointAfterTheOther(t *testing.T) {
	run(t, map[string]string{"nsqd": "10.0.0.1|10.0.0.2"}, nil, func(t *testing.T, b *bench) {
		var tried []string
		err := b.d.Do(t.Context(), "nsqd:4150", func(_ context.Context, addr string) error {
			tried = append(tried, addr)
			if len(tried) < 4 {
				return fmt.Errorf("try %d failed", len(tried))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		want := []string{"10.0.0.1:4150", "10.0.0.2:4150", "10.0.0.1:4150", "10.0.0.2:4150"}
		if diff := cmp.Diff(want, tried); diff != "" {
			t.Errorf("tried (-want +got):\n%s", diff)
		}
	})
}

func TestPermanentEndsDoAtOnce(t *testing.T) {
	run(t, map[string]string{"nsqd": "10.0.0.1|10.0.0.2"}, nil, func(t *testing.T, b *bench) {
		unauthorized := errors.New("unauthorized")
		tries := 0
		err := b.d.Do(t.Context(), "nsqd:4150", func(context.Context, string) error {
			tries++
			return fmt.Errorf("identify: %w", dialer.Permanent(unauthorized))
		})
		if tries != 1 || !errors.Is(err, unauthorized) {
			t.Errorf("%d tries, %v", tries, err)
		}
		if dialer.Permanent(nil) != nil {
			t.Error("Permanent(nil) is not nil")
		}
	})
}

func TestErrorsNameTheTargetEveryEndpointAndTheCause(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, func(c *dialer.Config) { c.Budget = -1 }, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.2:27017", testnet.Silent)
		_, err := b.dial(t.Context(), "db:27017")
		const want = "dial db:27017 (static db): 10.0.0.1:27017: connection refused; 10.0.0.2:27017: no answer within 5s; "
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("\n got %v\nwant %s", err, want)
		}
	})
}

func TestWhatANameResolvesToIsLoggedOnceUntilItChanges(t *testing.T) {
	var log bytes.Buffer
	answers := &flakyResolver{}
	run(t, nil, func(c *dialer.Config) {
		c.Resolver = answers
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		for range 3 {
			b.dial(t.Context(), "db:1")
		}
		if n := strings.Count(log.String(), `msg="name resolved" name=db:1 endpoints=[10.0.0.1:1]`); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, log.String())
		}
	})
}

func TestKeepaliveAndUserTimeoutAreSetOnEveryTCPConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d, err := dialer.New(dialer.Config{KeepAlive: net.KeepAliveConfig{Idle: 21 * time.Second, Count: 7}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	conn, err := d.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, want := keepalive(t, conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn)), []int{1, 21, 5, 7, 30_000}; !slices.Equal(got, want) {
		t.Errorf("on, idle, interval, count, user time-out: got %v, want %v", got, want)
	}
}
