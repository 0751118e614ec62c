package resolve

import (
	"container/heap"
	"math"
	"time"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// saveEvery is the least time between two writes of the file.
const saveEvery = time.Second

// wake does what is due, when the timer says so.
func (c *Cache) wake() {
	defer c.running.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	now := c.now()
	for len(c.queue) > 0 && c.queue[0].due <= now {
		c.visitLocked(c.queue[0], now)
	}
	if c.saveDue <= now {
		c.saveDue, c.saving = never, true
		c.running.Add(1)
		go c.save() // not here: a disk may hang, and names are to be refreshed all the same
	}
	c.armLocked()
}

// visitLocked looks at a name that is due.
func (c *Cache) visitLocked(n *cacheName, now time.Duration) {
	switch {
	case n.call != nil:
		n.call.late = true
		if c.serveStaleLocked(n, now, never) {
			n.call.settleLocked(n.verdict.Load())
		}
	case now-n.lastUse() >= cacheIdle:
		c.dropLocked(n)
	case n.next <= now:
		c.lookUpLocked(n, now)
	}
	c.scheduleLocked(n)
}

// armLocked sets the timer to what is due first. The timer counts as running from here until wake has returned.
func (c *Cache) armLocked() {
	if c.timer.Stop() {
		c.running.Done()
	}
	due := c.saveDue
	if len(c.queue) > 0 {
		due = min(due, c.queue[0].due)
	}
	if due == never || c.closed {
		return
	}
	c.running.Add(1)
	c.timer.Reset(due - c.now())
}

// scheduleLocked puts a name where it belongs in the queue; each change of what decides that calls for it, except that a
// name in use may come up early.
func (c *Cache) scheduleLocked(n *cacheName) {
	if n.index < 0 {
		return
	}
	switch {
	case n.call == nil:
		n.due = min(n.next, n.lastUse()+cacheIdle)
	case n.call.late || n.good == nil:
		n.due = never // until the lookup ends
	default:
		n.due = n.call.begun + lookupPatience
		if v := n.verdict.Load(); v != nil {
			n.due = max(n.due, v.until)
		}
	}
	heap.Fix(&c.queue, n.index)
}

func (n *cacheName) lastUse() time.Duration { return time.Duration(n.used.Load()) }

func (c *Cache) enqueueLocked(n *cacheName) {
	n.due = never
	heap.Push(&c.queue, n)
}

func (c *Cache) dequeueLocked(n *cacheName) {
	heap.Remove(&c.queue, n.index)
}

// cacheQueue is a heap of names, for container/heap.
type cacheQueue []*cacheName

func (q cacheQueue) Len() int           { return len(q) }
func (q cacheQueue) Less(i, j int) bool { return q[i].due < q[j].due }

func (q cacheQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *cacheQueue) Push(x any) {
	n := x.(*cacheName)
	n.index = len(*q)
	*q = append(*q, n)
}

// Pop implements heap.Interface.
func (q *cacheQueue) Pop() any {
	last := len(*q) - 1
	n := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	n.index = -1
	return n
}
