package ocrworker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// testAsk runs a test in a bubble, with a worker that can only ask MongoDB.
func testAsk(t *testing.T, test func(w *Worker, g *gateTest)) {
	t.Helper()
	testGate(t, func(g *gateTest) {
		w := &Worker{mongo: g.gate}
		w.work, w.stopWork = context.WithCancel(g.Context())
		defer w.stopWork()
		test(w, g)
	}, func(g *gate) { g.isOutage = isOutage })
}

// errNoServer is one that jobs.IsOutage takes for an outage.
var errNoServer error = mongo.CommandError{Labels: []string{"NetworkError"}}

func TestWhatIsAskedWaitsForTheEndOfAnOutage(t *testing.T) {
	testAsk(t, func(w *Worker, g *gateTest) {
		g.set(true)
		asked := 0
		question := func(ctx context.Context) error {
			asked++
			if g.operation(ctx) != nil {
				return errNoServer
			}
			return fail(noJob, errors.New("no job"))
		}
		d := &delivery{}
		hold, cancel := context.WithTimeout(g.Context(), unbegunHold)
		defer cancel()
		begin := time.Now()
		err := w.ask(hold, d, question)
		if !classIs(err, outage) || !isAway(err) || !d.waited || asked != 1 || time.Since(begin) != unbegunHold {
			g.Errorf("asked %d times, after %v: %v", asked, time.Since(begin), err)
		}

		time.AfterFunc(time.Hour, func() { g.set(false) })
		d = &delivery{}
		begin = time.Now()
		err = w.ask(g.Context(), d, question)
		if !classIs(err, noJob) || !d.waited || asked != 2 || time.Since(begin) > time.Hour+time.Second {
			g.Errorf("asked %d times, after %v: %v", asked, time.Since(begin), err)
		}
		g.wantLog(1, 1) // an answer is an answer, whatever becomes of the task
	})
}

// It keeps out everything else.
func TestWhatFailsThoughPingsAreAnsweredGoesBackInTheEnd(t *testing.T) {
	testAsk(t, func(w *Worker, g *gateTest) {
		asked := 0
		err := w.ask(g.Context(), &delivery{}, func(context.Context) error { asked++; return errNoServer })
		if !classIs(err, outage) || isAway(err) || asked != mongoStrikes+1 {
			g.Errorf("asked %d times: %v", asked, err)
		}
		g.wantLog(1, 0)
	})
}

func TestTheEndOfTheWorkerEndsWhatWaitsForMongoDB(t *testing.T) {
	testAsk(t, func(w *Worker, g *gateTest) {
		g.set(true)
		ended := make(chan error, 1)
		go func() {
			ended <- w.ask(w.work, &delivery{}, func(context.Context) error { return errNoServer })
		}()
		g.after(time.Minute)
		w.stopWork()
		synctest.Wait()
		select {
		case err := <-ended:
			if err == nil {
				g.Error("no error")
			}
		default:
			g.Error("it still waits")
		}
	})
}
