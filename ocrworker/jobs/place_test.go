package jobs

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/testnet"
	"github.com/gvpocr/worker/resolve"
)

const here, there = "10.0.0.1", "10.0.0.2"

// server is where mongodb-proxy leads. It changes between two questions, and the answers are good for 5 s.
type server struct{ host atomic.Value }

func (s *server) Resolve(_ context.Context, host, port string) (resolve.Answer, error) {
	if host != "mongodb-proxy" {
		return resolve.Answer{}, resolve.ErrNotFound
	}
	return resolve.Answer{Endpoints: []resolve.Endpoint{{Addr: net.JoinHostPort(s.host.Load().(string), port)}}, TTL: 5 * time.Second}, nil
}

// moving runs a test on virtual time, with the dials of a Store whose URI names mongodb-proxy, which leads here and listens there,
// too.
func moving(t *testing.T, cfg dialer.Config, test func(m *mover)) {
	synctest.Test(t, func(t *testing.T) {
		m := &mover{T: t, network: testnet.New(), names: &server{}}
		m.names.host.Store(here)
		for _, host := range []string{here, there} {
			m.network.Set(host+":27017", testnet.Accept)
			m.network.Set(host+":27018", testnet.Accept)
		}
		cfg.Resolver, cfg.DialFunc = resolve.Chain(m.names, resolve.System(nil)), m.network.DialContext
		d, err := dialer.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		m.dials = newDials(d, []string{"mongodb-proxy"}, true)
		test(m)
		for _, conn := range m.conns {
			conn.Close()
		}
		m.dials.close()
		d.Close()
		m.network.Close()
	})
}

type mover struct {
	*testing.T
	network *testnet.Network
	names   *server
	dials   *dials
	conns   []net.Conn
}

// leads checks where a dial of the driver's leads.
func (m *mover) leads(when, address, want string) net.Conn {
	m.Helper()
	conn, err := m.dials.DialContext(m.Context(), "tcp", address)
	if err != nil {
		m.Errorf("%s: %v", when, err)
		return new(net.TCPConn) // which can be closed
	}
	m.conns = append(m.conns, conn)
	if got := conn.RemoteAddr().String(); got != want {
		m.Errorf("%s: %s leads to %s, want %s", when, address, got, want)
	}
	return conn
}

func (m *mover) wantMoved(when string, want bool) {
	m.Helper()
	if conn := m.dials.moved(m.Context()); (conn != nil) != want {
		m.Errorf("%s: moved is %v, want %v", when, conn != nil, want)
	}
}

// move leads the name there, and waits until a first answer says so.
func (m *mover) move() {
	m.names.host.Store(there)
	time.Sleep(6 * time.Second)
}

func TestConnectionsLeadToOnePlaceAsLongAsOneLeadsThere(t *testing.T) {
	moving(t, dialer.Config{}, func(m *mover) {
		first := m.leads("before", "mongodb-proxy:27017", here+":27017")
		m.wantMoved("before", false)
		m.move()
		m.wantMoved("after the first answer", true)
		if m.dials.hasLeft() {
			m.Error("one answer is taken for the end of a place")
		}
		second := m.leads("after the first answer", "mongodb-proxy:27017", here+":27017")
		first.Close()
		m.leads("with another connection", "mongodb-proxy:27017", here+":27017").Close()
		second.Close()
		m.leads("without a connection", "mongodb-proxy:27017", there+":27017")
		m.wantMoved("at the new place", false)
	})
}

func TestAPlaceThatHasLeftTheAnswerIsNotDialedAnyMore(t *testing.T) {
	moving(t, dialer.Config{DrainAfter: -1}, func(m *mover) {
		old := m.leads("before", "mongodb-proxy:27017", here+":27017")
		m.move()
		time.Sleep(20 * time.Second)
		if !m.dials.hasLeft() {
			m.Error("two answers do not say that the place is about to be left")
		}
		m.leads("after two answers", "mongodb-proxy:27017", there+":27017")
		m.wantMoved("while an old connection is open", true)
		m.dials.keep(here + ":27017")
		m.leads("kept, with connections to both places", "mongodb-proxy:27017", here+":27017").Close()
		old.Close()
		m.wantMoved("without a connection to it", false)
	})
}

func TestAPlaceThatIsGoneIsLeft(t *testing.T) {
	moving(t, dialer.Config{}, func(m *mover) {
		m.leads("before", "mongodb-proxy:27017", here+":27017")
		m.move()
		m.network.Set(here+":27017", testnet.Silent) // as when its host has lost power: the connection stays open
		began := time.Now()
		m.leads("after a dial that failed", "mongodb-proxy:27017", there+":27017")
		if took := time.Since(began); took != placeTimeout {
			m.Errorf("it took %v, want %v", took, placeTimeout)
		}
		began = time.Now()
		m.leads("again", "mongodb-proxy:27017", there+":27017")
		if took := time.Since(began); took != 0 {
			m.Errorf("the place is dialed for another %v", took)
		}
		m.network.Set(here+":27017", testnet.Accept)
		time.Sleep(2 * time.Second) // the Dialer has found it back
		m.leads("when the old place is back", "mongodb-proxy:27017", there+":27017")
	})
}

func TestAStoreThatIsKeptStaysWithoutConnectionsToo(t *testing.T) {
	moving(t, dialer.Config{}, func(m *mover) {
		m.leads("before", "mongodb-proxy:27017", here+":27017")
		m.leads("before", "gvpocr-mongo-1:27018", here+":27018")
		m.move()
		m.dials.keep(here + ":27017")
		for _, conn := range m.conns {
			conn.Close()
		}
		m.leads("kept", "mongodb-proxy:27017", here+":27017").Close()
		m.leads("kept", "gvpocr-mongo-1:27018", here+":27018").Close()
		m.network.Set(here+":27018", testnet.Refuse)
		if _, err := m.dials.DialContext(m.Context(), "tcp", "gvpocr-mongo-1:27018"); err == nil {
			m.Error("when the place is gone: another is dialed")
		}
		m.network.Set(here+":27018", testnet.Accept)
		time.Sleep(2 * time.Second)
		m.leads("when it is back", "gvpocr-mongo-1:27018", here+":27018")
		if _, err := m.dials.DialContext(m.Context(), "tcp", "gvpocr-mongo-9:27018"); err == nil {
			m.Error("an address that has led nowhere before is dialed at the new place")
		}
	})
}

func TestMembersOfAReplicaSetMoveWithTheirName(t *testing.T) {
	moving(t, dialer.Config{}, func(m *mover) {
		m.leads("before", "gvpocr-mongo-1:27018", here+":27018")
		m.wantMoved("before", false)
		m.move()
		m.wantMoved("after the first answer", true)
		m.leads("after the first answer", "gvpocr-mongo-1:27018", here+":27018")
	})
}

func TestAnAnswerThatIsStaleMovesNothing(t *testing.T) {
	moving(t, dialer.Config{}, func(m *mover) {
		m.leads("before", "mongodb-proxy:27017", here+":27017")
		m.dials.mu.Lock()
		for conn := range m.dials.open {
			conn.address = "elsewhere:27017" // which nobody can resolve
		}
		m.dials.mu.Unlock()
		m.wantMoved("without an answer", false)
	})
}
