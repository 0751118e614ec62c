package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/gvpocr/worker/internal/testdns"
)

// domain is where workers that are told of no address look for the main server.
const domain = "main.test."

// nameServer has the SRV records of a main server, and notes when it is asked.
type nameServer struct {
	*testdns.Loopback
	zone   atomic.Pointer[testdns.Zone]
	silent atomic.Bool

	mu    sync.Mutex // guards asked
	asked []time.Time
}

func newNameServer(ip string) (*nameServer, error) {
	n := &nameServer{}
	n.move(ip)
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		n.mu.Lock()
		n.asked = append(n.asked, time.Now())
		n.mu.Unlock()
		if !n.silent.Load() {
			n.zone.Load().ServeDNS(w, q)
		}
	})
	var err error
	n.Loopback, err = testdns.Listen(answer, answer)
	return n, err
}

// ttl is of the records, in seconds: the least that resolvers of ours honour.
const ttl = 5

// move makes the records lead to ip.
func (n *nameServer) move(ip string) {
	lines := []string{fmt.Sprintf("h%s.%s %d IN A %s", ip, domain, ttl, ip)}
	for service, port := range map[string]int{"mongodb": mongoPort, "nsqd": nsqdPort, "nsqlookupd": lookupdPort} {
		lines = append(lines, fmt.Sprintf("_%s._tcp.%s %d IN SRV 10 10 %d h%s.%s", service, domain, ttl, port, ip, domain))
	}
	zone := testdns.NewZone(lines...)
	n.zone.Store(&zone)
}

// between returns when it was asked between two times.
func (n *nameServer) between(from, to time.Time) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.asked), func(t time.Time) bool { return t.Before(from) || t.After(to) })
}

// close ends it. A nil one is none.
func (n *nameServer) close() {
	if n != nil {
		n.Loopback.Close()
	}
}
