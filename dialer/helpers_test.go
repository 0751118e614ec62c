package dialer_test

import (
	"net"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/gvpocr/worker/resolve"
)

func static(t testing.TB, targets map[string]string) resolve.Resolver {
	t.Helper()
	r, err := resolve.Static(targets)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mortal is a server that can die and return on its port.
type mortal struct {
	addr string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
	accepts  sync.WaitGroup
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	m := &mortal{addr: "127.0.0.1:0"}
	m.toggle(t)
	return m
}

// toggle starts a dead server and kills a live one.
func (m *mortal) toggle(t *testing.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener != nil {
		m.killLocked()
		return
	}
	listener, err := net.Listen("tcp", m.addr)
	if err != nil {
		t.Logf("listen again: %v", err) // a client's port may be in the way for a moment
		return
	}
	m.addr, m.listener = listener.Addr().String(), listener
	m.accepts.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.conns = append(m.conns, conn)
			m.mu.Unlock()
		}
	})
}

func (m *mortal) killLocked() {
	m.listener.Close()
	m.listener = nil
	for _, conn := range m.conns {
		conn.Close()
	}
	m.conns = nil
}

func (m *mortal) stop() {
	m.mu.Lock()
	if m.listener != nil {
		m.killLocked()
	}
	m.mu.Unlock()
	m.accepts.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		conn.Close()
	}
}

// descriptors counts the open files of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
