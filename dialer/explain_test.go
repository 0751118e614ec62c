package dialer_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
	"github.com/gvpocr/worker/resolve"
)

func TestExplainSaysWhatADialWouldDo(t *testing.T) {
	change := func(c *dialer.Config) {
		spares(1)(c)
		c.AttemptDelay = -1
	}
	run(t, map[string]string{"db": "10.0.0.1|10.0.0.2"}, change, func(t *testing.T, b *bench) {
		explain := func() dialer.Explanation {
			t.Helper()
			e, err := b.d.Explain(t.Context(), "db:1")
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		if e := explain(); e.Verdict != "dials 10.0.0.1:1" || len(b.net.Dials()) != 0 {
			t.Errorf("before any dial: %v, %d dials", e, len(b.net.Dials()))
		}
		b.net.Set("10.0.0.2:1", testnet.Accept)
		for range 12 {
			b.dial(t.Context(), "db:1")
			time.Sleep(200 * time.Millisecond)
		}
		e := explain()
		var actions []string
		for _, s := range e.Steps {
			actions = append(actions, s.Action+" "+s.Addr)
		}
		if diff := cmp.Diff([]string{"skip 10.0.0.1:1", "spare 10.0.0.2:1"}, actions); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		for _, want := range []string{"takes a spare to 10.0.0.2:1", "resolved by static db", "last error: connection refused"} {
			if !strings.Contains(e.String(), want) {
				t.Errorf("%q is not in\n%s", want, e)
			}
		}
	})
}

func TestWhenAWholeHostIsDownThatIsSaidOnce(t *testing.T) {
	var log bytes.Buffer
	change := func(c *dialer.Config) {
		c.Budget = -1
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	run(t, map[string]string{"db": "10.0.0.1", "queue": "10.0.0.1"}, change, func(t *testing.T, b *bench) {
		for range 10 {
			b.dial(t.Context(), "db:1")
			b.dial(t.Context(), "queue:2")
			time.Sleep(60 * time.Millisecond)
		}
		e, err := b.d.Explain(t.Context(), "queue:2")
		if err != nil || !strings.Contains(e.Verdict, "host 10.0.0.1 does not answer on any port") {
			t.Errorf("%v, %v", e, err)
		}
		b.d.Close() // no more is logged
		if n := strings.Count(log.String(), "host does not answer on any port"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
	})
}

func TestAPortThatNobodyDialsAnyMoreDoesNotSpeakForItsHost(t *testing.T) {
	run(t, map[string]string{"db": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:3", testnet.Accept)
		b.dial(t.Context(), "db:3")
		for range 120 {
			b.dial(t.Context(), "db:1")
			b.dial(t.Context(), "db:2")
			time.Sleep(time.Second)
		}
		if e, err := b.d.Explain(t.Context(), "db:1"); err != nil || !strings.Contains(e.Verdict, "does not answer on any port: it refuses") {
			t.Errorf("%v, %v", e, err)
		}
	})
}

func TestOnePortThatIsDownDoesNotSpeakForItsHost(t *testing.T) {
	for name, others := range map[string][]string{"the only one": nil, "beside one that lives": {"queue:2"}} {
		run(t, map[string]string{"db": "10.0.0.1", "queue": "10.0.0.1"}, once, func(t *testing.T, b *bench) {
			b.net.Set("10.0.0.1:2", testnet.Accept)
			for range 10 {
				for _, name := range append(others, "db:1") {
					b.dial(t.Context(), name)
				}
				time.Sleep(60 * time.Millisecond)
			}
			e, err := b.d.Explain(t.Context(), "db:1")
			if err != nil || !strings.HasPrefix(e.Verdict, "fails at once") || strings.Contains(e.Verdict, "host 10.0.0.1") {
				t.Errorf("%s: %v, %v", name, e, err)
			}
		})
	}
}

func TestTraceIsToldOfEveryStep(t *testing.T) {
	var told []string
	change := func(c *dialer.Config) {
		c.Budget = -1
		c.Trace = &dialer.Trace{
			Resolved:  func(name string, a resolve.Answer, _ error) { told = append(told, "resolved "+name+" by "+a.Source) },
			Attempted: func(_ string, a dialer.Attempt) { told = append(told, "attempted "+a.Addr) },
			Dialed: func(name, addr string, _ bool, _ time.Duration, _ error) {
				told = append(told, "dialed "+name+" at "+addr)
			},
			Closed: func(_, addr string, age time.Duration, reason string) {
				told = append(told, "closed "+addr+" after "+age.String()+" "+reason)
			},
		}
	}
	run(t, map[string]string{"db": "10.0.0.1"}, change, func(t *testing.T, b *bench) {
		b.net.Set("10.0.0.1:1", testnet.Accept)
		conn, err := b.d.DialContext(t.Context(), "tcp", "db:1")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		conn.Close()
		want := []string{
			"resolved db:1 by static db", "attempted 10.0.0.1:1", "dialed db:1 at 10.0.0.1:1",
			"closed 10.0.0.1:1 after 1m0s closed by the program",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
