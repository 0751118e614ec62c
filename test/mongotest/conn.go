package mongotest

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// node is one server as its clients see it: what it answers to hello, who may
// log in, and the store behind it. Several nodes can share one store.
type node struct {
	store    *store
	users    *users
	cursors  *cursors
	topology *topology
	set      *replicaSet // nil: standalone
	member   int         // its place in the set
	connIDs  atomic.Int32
	started  time.Time
}

func newNode(st *store, u *users, set *replicaSet, member int) *node {
	return &node{store: st, users: u, cursors: newCursors(), topology: newTopology(), set: set, member: member, started: time.Now()}
}

// conn is one client connection. All but Close and the deadlines belongs to
// the goroutine of serve.
type conn struct {
	net.Conn
	node    *node
	id      int32
	replies int32
	login   login
}

func newConn(nc net.Conn, n *node) *conn {
	return &conn{Conn: nc, node: n, id: n.connIDs.Add(1)}
}

// serve answers one message after the other until the connection or the
// server ends.
func (c *conn) serve(ctx context.Context) {
	r := bufio.NewReader(c)
	for {
		h, body, err := readMessage(r)
		if err != nil {
			return
		}
		m, err := parseMessage(h, body)
		if err != nil {
			var refused *serverError
			switch {
			case errors.As(err, &refused):
			case errors.Is(err, errCompressed):
				// Answered in the plain form, so that the client reads why.
				_ = c.write(m, failf(codeProtocolError, "%v", err).(*serverError).reply(), false) //nolint:errorlint // failf returns one
				return
			default:
				return
			}
			if !m.moreToCome && c.write(m, refused.reply(), false) != nil {
				return
			}
			continue
		}
		if c.answer(ctx, m) != nil {
			return
		}
	}
}

// answer runs one command. An exhaust request is a hello whose answer is
// repeated, each time when the topology has changed or the client's waiting
// time is over, until the connection ends.
func (c *conn) answer(ctx context.Context, m *message) error {
	for {
		reply, again := c.run(ctx, m)
		again = again && ctx.Err() == nil
		if m.moreToCome {
			return nil
		}
		if err := c.write(m, reply, again); err != nil {
			return err
		}
		if !again {
			return nil
		}
		// Each further reply answers the one before it, and waits for a change
		// since that one.
		m.requestID = c.replies
		m.body = withTopologyVersion(m.body, reply)
	}
}

func (c *conn) write(m *message, reply bson.D, moreToCome bool) error {
	c.replies++
	b, err := m.encodeReply(c.replies, reply, moreToCome)
	if err != nil {
		return err
	}
	_, err = c.Write(b)
	return err
}
