package ocrworker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestOfOneTaskOneDeliveryIsWorkedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Worker{active: map[string]*delivery{}}
		w.draining, w.drain = context.WithCancel(t.Context())
		defer w.drain()
		deliver := func(id string) *delivery {
			return &delivery{task: task{FirstID: id}, done: make(chan struct{})}
		}
		first, other, again := deliver("1"), deliver("2"), deliver("1")
		if !w.claim(first) || !w.claim(other) {
			t.Fatal("the deliveries of two tasks are not both worked on")
		}
		begin := time.Now()
		if w.claim(again) {
			t.Error("two deliveries of one task are worked on at once")
		}

		// A copy, while the outcome waits for MongoDB: it need not go round once more.
		first.handedOver = true
		time.AfterFunc(5*time.Second, func() { w.release(first) })
		if !w.claim(again) || time.Since(begin) != 5*time.Second {
			t.Errorf("the copy is not worked on when the outcome is stored, but after %v", time.Since(begin))
		}

		again.handedOver = true
		time.AfterFunc(5*time.Second, w.drain)
		if w.claim(deliver("1")) || time.Since(begin) != 10*time.Second {
			t.Errorf("after %v: a shutdown does not end the wait for an outcome", time.Since(begin))
		}
	})
}
