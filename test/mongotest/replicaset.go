package mongotest

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// replicaSet says which member is primary. The members share one store, so
// replication takes no time and loses nothing; what is left of a replica set
// is who takes writes, and when nobody does.
type replicaSet struct {
	name         string
	hosts        []string // as hello announces them
	electionTime time.Duration

	mu      sync.Mutex
	members []*node // nil where dead
	primary int     // its place in members, -1 for none
	last    int     // who was primary last: the next one comes after it
	term    int64   // counts elections, over restarts too
	vacant  bool    // an election is to come, one election time after since
	since   time.Time
	changed chan struct{} // closed and renewed by each change of the above
}

// newReplicaSet makes the first member primary. Terms begin with the time:
// drivers refuse a primary whose term is lower than one that they know from
// an earlier life of the set.
func newReplicaSet(name string, hosts []string, electionTime time.Duration) *replicaSet {
	return &replicaSet{
		name: name, hosts: hosts, electionTime: electionTime, members: make([]*node, len(hosts)),
		term: time.Now().UnixMilli(), changed: make(chan struct{}),
	}
}

// role is what one member is at one moment.
type role struct {
	primary bool
	term    int64
	leader  string // the primary's host; empty for none
}

func (s *replicaSet) role(member int) role {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := role{primary: s.primary == member, term: s.term}
	if s.primary >= 0 {
		r.leader = s.hosts[s.primary]
	}
	return r
}

// join adds a member that has started, or started again.
func (s *replicaSet) join(member int, n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members[member] = n
	s.changeLocked()
}

// leave takes out a member that has died.
func (s *replicaSet) leave(member int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members[member] = nil
	if s.primary == member {
		s.primary = -1
	}
	s.changeLocked()
}

// stepDown leaves the set without a primary until the next election. It tells
// whether there was one; want is its place, or -1 for whoever it is.
func (s *replicaSet) stepDown(want int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.primary < 0 || want >= 0 && want != s.primary {
		return false
	}
	s.primary = -1
	s.changeLocked()
	return true
}

// changeLocked tells every client that waits in hello, and the elections.
func (s *replicaSet) changeLocked() {
	if vacant := s.primary < 0 && s.majorityLocked(); vacant != s.vacant {
		s.vacant, s.since = vacant, time.Now()
	}
	close(s.changed)
	s.changed = make(chan struct{})
	for _, n := range s.members {
		if n != nil {
			n.topology.change()
		}
	}
}

// elections runs until ctx ends. A majority without a primary elects one after
// the election time.
func (s *replicaSet) elections(ctx context.Context) {
	for {
		due, wait, changed := s.due()
		var timer <-chan time.Time
		if due {
			timer = time.After(wait)
		}
		select {
		case <-timer:
			s.elect()
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *replicaSet) due() (due bool, wait time.Duration, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vacant, time.Until(s.since.Add(s.electionTime)), s.changed
}

func (s *replicaSet) majorityLocked() bool { return 2*s.aliveLocked() > len(s.members) }

func (s *replicaSet) elect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.vacant || time.Since(s.since) < s.electionTime {
		return // it has changed meanwhile
	}
	for i := range s.members {
		next := (s.last + 1 + i) % len(s.members)
		if s.members[next] != nil {
			s.primary, s.last = next, next
			s.term++
			break
		}
	}
	s.changeLocked()
}

// electionID is a term in the form by which drivers compare primaries.
func electionID(term int64) bson.ObjectID {
	id := bson.ObjectID{0x7f, 0xff, 0xff, 0xff}
	binary.BigEndian.PutUint64(id[4:], uint64(term))
	return id
}

// alive is how many members run.
func (s *replicaSet) alive() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aliveLocked()
}

func (s *replicaSet) aliveLocked() int {
	n := 0
	for _, m := range s.members {
		if m != nil {
			n++
		}
	}
	return n
}
