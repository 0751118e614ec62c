package dialer

import (
	"fmt"
	"net"
	"testing"
	"time"
)

func TestAProgramThatDialsEverNewAddressesDoesNotGrowForEver(t *testing.T) {
	d, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	now := time.Now()
	busy := d.endpoint("10.0.0.1:1", "a", "a", now)
	busy.open.Add(1)
	defer busy.open.Add(-1)
	dead := d.endpoint("10.0.0.2:1", "b", "b", now)
	generation, _ := dead.breaker.allow()
	for i := range 5 {
		dead.breaker.failed(generation, fastFailure, now.Add(time.Duration(i)*time.Second))
	}
	old := d.endpoint("10.0.0.3:1", "c", "c", now)
	for i := range maxEndpoints - 3 { // half an hour later
		d.endpoint(fmt.Sprintf("10.1.%d.%d:1", i/256, i%256), "d", "d", now.Add(30*time.Minute))
	}
	at := now.Add(31 * time.Minute)
	for i := range 2 * maxEndpoints {
		d.endpoint(fmt.Sprintf("10.200.%d.%d:1", i/256, i%256), "e", "e", at)
		if i == 0 && (d.endpoint("10.1.0.0:1", "d", "d", at) == nil || len(d.endpoints) != maxEndpoints) {
			t.Errorf("%d endpoints: more was forgotten than what was not used for 10 minutes", len(d.endpoints))
		}
	}
	if n := len(d.endpoints); n > maxEndpoints {
		t.Errorf("%d endpoints are remembered, %d is the most", n, maxEndpoints)
	}
	for _, e := range []*endpoint{busy, dead} {
		if d.endpoint(e.addr, "", "", at) != e {
			t.Errorf("%s was forgotten, and it has a connection or an open breaker", e.addr)
		}
	}
	if d.endpoint(old.addr, "", "", at) == old {
		t.Error("what was not used for half an hour is remembered")
	}
}

func TestADeadlinePeekerTellsAnEndOfFile(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	p := &deadlinePeeker{near}
	if !p.alive() {
		t.Error("dead while idle")
	}
	far.Close()
	if p.alive() {
		t.Error("alive after its end")
	}
}
