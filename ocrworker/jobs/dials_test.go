package jobs

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
	"github.com/gvpocr/worker/resolve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dialing runs a test on virtual time, with the dials of a Store whose URI names mongodb-proxy.
func dialing(t *testing.T, target string, test func(t *testing.T, network *testnet.Network, d *dials)) {
	synctest.Test(t, func(t *testing.T) {
		names, err := resolve.Static(map[string]string{"mongodb-proxy": target})
		if err != nil {
			t.Fatal(err)
		}
		network := testnet.New()
		d, err := dialer.New(dialer.Config{Resolver: resolve.Chain(names, resolve.System(nil)), DialFunc: network.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		test(t, network, newDials(d, []string{"mongodb-proxy:27017"}, false))
		d.Close()
		network.Close()
	})
}

func TestMembersAreDialedAtTheHostsOfTheURIsName(t *testing.T) {
	dialing(t, "10.0.0.1", func(t *testing.T, network *testnet.Network, d *dials) {
		for address, want := range map[string]string{
			"mongodb-proxy:27017":  "10.0.0.1:27017",
			"gvpocr-mongo-2:27019": "10.0.0.1:27019",
			"10.0.0.7:27017":       "10.0.0.7:27017",
		} {
			network.Set(want, testnet.Accept)
			conn, err := d.DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Errorf("%s: %v", address, err)
				continue
			}
			dials := network.Dials()
			if got := dials[len(dials)-1].Addr; got != want {
				t.Errorf("%s is dialed at %s, want %s", address, got, want)
			}
			conn.Close()
		}
	})
}

// The driver's monitor takes the end of a context for a server that has gone silent.
func TestADialThatTakesTooLongIsNoEndOfAContext(t *testing.T) {
	dialing(t, "10.0.0.1", func(t *testing.T, network *testnet.Network, d *dials) {
		network.Set("10.0.0.1:27017", testnet.Silent)
		began := time.Now()
		_, err := d.DialContext(t.Context(), "tcp", "mongodb-proxy:27017")
		if took := time.Since(began); took != dialTimeout {
			t.Errorf("it took %v, want %v", took, dialTimeout)
		}
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ends a context: %v", err)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it does not say that the attempt timed out: %v", err)
		}
		if last := d.failure(); last == nil || last.Error() != err.Error() {
			t.Errorf("the last failure is %v, want %v", last, err)
		}
	})
}

// While the breaker is open the driver's own pace would be seconds.
func TestADialWaitsForTheProbeThatFindsTheServerBack(t *testing.T) {
	dialing(t, "10.0.0.1", func(t *testing.T, network *testnet.Network, d *dials) {
		if _, err := d.DialContext(t.Context(), "tcp", "mongodb-proxy:27017"); err == nil {
			t.Fatal("nobody accepts, and it connects")
		}
		before := len(network.Dials())
		began := time.Now()
		_, err := d.DialContext(t.Context(), "tcp", "mongodb-proxy:27017")
		if took := time.Since(began); took != dialTimeout || !errors.Is(err, dialer.ErrBreakerOpen) {
			t.Errorf("it took %v, want %v: %v", took, dialTimeout, err)
		}
		if n := len(network.Dials()) - before; n > int(dialTimeout/(100*time.Millisecond)) {
			t.Errorf("%d dials in %v: more than the probes", n, dialTimeout)
		}
		back := 2 * time.Second
		time.AfterFunc(back, func() { network.Set("10.0.0.1:27017", testnet.Accept) })
		began = time.Now()
		conn, err := d.DialContext(t.Context(), "tcp", "mongodb-proxy:27017")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if took := time.Since(began); took < back || took > back+time.Second {
			t.Errorf("it took %v, want %v and at most a probe's pace of 1 s more", took, back)
		}
		// The caller's end is an end.
		network.Set("10.0.0.1:27017", testnet.Refuse)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.DialContext(ctx, "tcp", "mongodb-proxy:27017"); err == nil || ctx.Err() == nil {
			t.Errorf("it ends with %v before its caller", err)
		}
	})
}
