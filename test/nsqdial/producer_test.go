package nsqdial_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/test/mainserver"
)

func TestAProducerPublishesAgainAfterARestart(t *testing.T) {
	b := start(t, mainserver.Config{MemQueueSize: -1})
	p := b.producer(b.dialer)
	if err := p.Publish(t.Context(), topic, []byte("before")); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Stop(mainserver.NSQD); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Start(mainserver.NSQD); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), topic, []byte("after")); err != nil {
		t.Fatal(err)
	}
	b.consume(nil, nil)
	b.await("before", "after")
}

func TestADeferredMessageComesLater(t *testing.T) {
	b := start(t, mainserver.Config{})
	p := b.producer(b.dialer)
	begin := time.Now()
	if err := p.PublishDeferred(t.Context(), topic, 300*time.Millisecond, []byte("later")); err != nil {
		t.Fatal(err)
	}
	b.consume(nil, nil)
	b.await("later")
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("delivered after %v", took)
	}
}

func TestAProducerSaysWhyItCannotPublish(t *testing.T) {
	b := start(t, mainserver.Config{MaxMsgSize: 1000})
	p := b.producer(b.dialer)
	if err := p.Publish(t.Context(), "no blanks", nil); err == nil {
		t.Error("a bad topic was taken")
	}
	err := p.Publish(t.Context(), topic, make([]byte, 2000))
	if refused, ok := errors.AsType[*nsqdial.ServerError](err); !ok || refused.Code != "E_BAD_MESSAGE" {
		t.Errorf("too large: got %v", err)
	}
	if err := p.Publish(t.Context(), topic, []byte("goes on")); err != nil {
		t.Errorf("after an error nsqd closes the connection; the next message makes one: %v", err)
	}
	p.Close()
	if err := p.Publish(t.Context(), topic, []byte("closed")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}

	nowhere := b.producer(b.newDialer("DIALER_UNKNOWN=deny"))
	err = nowhere.Publish(t.Context(), topic, []byte("x"))
	if _, ok := errors.AsType[*dialer.DialError](err); !ok {
		t.Errorf("unknown name: got %v", err)
	}
}

func TestPingTellsWhetherAServiceIsThere(t *testing.T) {
	b := start(t, mainserver.Config{})
	if err := nsqdial.Ping(t.Context(), b.dialer, "nsqd-proxy:4150", nil); err != nil {
		t.Error(err)
	}
	if err := nsqdial.PingLookupd(t.Context(), b.dialer, "http://nsqlookupd-proxy:4161"); err != nil {
		t.Error(err)
	}
	mixed := b.newDialer("DIAL_NSQD_PROXY="+b.server.LookupdHTTPAddr, "DIAL_NSQLOOKUPD_PROXY="+b.server.NSQDHTTPAddr)
	if err := nsqdial.Ping(t.Context(), mixed, "nsqd-proxy:4150", nil); err == nil {
		t.Error("an HTTP server passed for nsqd")
	}
}
