package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network of its own. Nil is the machine's own.
type namespace struct {
	calls chan func() // run on the thread that is in the namespace
}

// newNamespace makes a namespace. It lasts until close, or as long as there are processes in it.
func newNamespace() (*namespace, error) {
	n, err := onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	if err != nil {
		return nil, fmt.Errorf("network namespaces can't be made here (they need root): %w", err)
	}
	return n, n.ip("link set lo up")
}

// onThread makes a thread that does nothing but calls, once it has entered its namespace.
func onThread(enter func() error) (*namespace, error) {
	n := &namespace{calls: make(chan func())}
	entered := make(chan error)
	go func() {
		// Never unlocked, so that the thread ends with the goroutine: no other may run on it.
		runtime.LockOSThread()
		err := enter()
		entered <- err
		if err != nil {
			return
		}
		for call := range n.calls {
			call()
		}
	}()
	return n, <-entered
}

// machine is the thread of the machine's own network, which stays. Processes end with the thread that has started them
// (see childOf), and any other thread may end.
var machine = sync.OnceValue(func() *namespace {
	n, _ := onThread(func() error { return nil })
	return n
})

// do runs f on a thread that is in the namespace: what it starts or opens is there too.
func (n *namespace) do(f func() error) error {
	if n == nil {
		n = machine()
	}
	done := make(chan error)
	n.calls <- func() { done <- f() }
	return <-done
}

func (n *namespace) close() {
	if n != nil {
		close(n.calls)
	}
}

// dial connects to an IP address in the namespace.
func (n *namespace) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if n == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	err = n.do(func() (err error) {
		// The thread waits: what is dialed is in the same namespace, and answers or refuses at once.
		conn, err = (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// ip runs the command ip in the namespace.
func (n *namespace) ip(args string) error {
	return n.do(func() error {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			return errors.New("namespaces need the command ip (Debian: apt-get install iproute2)")
		}
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	})
}

// link is a cable between two namespaces: the main server's and the workers'.
type link struct{ server, workers *namespace }

// The addresses at the workers' end of a link, before and after they move, and where frames go that shall get lost.
const (
	workersIP = "10.77.0.2"
	movedIP   = "10.77.0.3"

	serverMAC  = "02:00:00:00:00:01"
	workersMAC = "02:00:00:00:00:02"
	nobodysMAC = "02:00:00:00:00:99"
)

func newLink() (l *link, err error) {
	l = &link{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.server, err = newNamespace(); err != nil {
		return nil, err
	}
	if l.workers, err = newNamespace(); err != nil {
		return nil, err
	}
	var tid int
	err = l.workers.do(func() error {
		tid = unix.Gettid()
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, step := range []struct {
		at   *namespace
		args string
	}{
		{l.server, fmt.Sprintf("link add cable address %s type veth peer name cable address %s netns %d", serverMAC, workersMAC, tid)},
		{l.server, "addr add " + serverIP + "/24 dev cable"},
		{l.workers, "addr add " + workersIP + "/24 dev cable"},
		{l.server, "link set cable up"},
		{l.workers, "link set cable up"},
	} {
		if err := step.at.ip(step.args); err != nil {
			return nil, err
		}
	}
	return l, l.silence(false, false)
}

func (l *link) close() {
	l.server.close()
	l.workers.close()
}

// silence loses what is sent to the workers, to the server, or both, without a word to the sender.
func (l *link) silence(toWorkers, toServer bool) error {
	mac := func(lost bool, address string) string {
		if lost {
			return nobodysMAC
		}
		return address
	}
	return errors.Join(
		l.server.ip("neigh replace "+workersIP+" lladdr "+mac(toWorkers, workersMAC)+" nud permanent dev cable"),
		l.workers.ip("neigh replace "+serverIP+" lladdr "+mac(toServer, serverMAC)+" nud permanent dev cable"),
	)
}

// setUp plugs the server's end in, or pulls it out.
func (l *link) setUp(up bool) error {
	if !up {
		return l.server.ip("link set cable down")
	}
	// What was permanent went with the link.
	return errors.Join(l.server.ip("link set cable up"), l.silence(false, false))
}

// moveWorkers gives the workers' machine another address, as when it changes to another network: connections of the old
// address stay open at both ends, and hear nothing any more.
func (l *link) moveWorkers() error {
	return errors.Join(
		l.workers.ip("addr del "+workersIP+"/24 dev cable"),
		l.workers.ip("addr add "+movedIP+"/24 dev cable"),
		l.workers.ip("neigh replace "+serverIP+" lladdr "+serverMAC+" nud permanent dev cable"),
		l.server.ip("neigh replace "+workersIP+" lladdr "+nobodysMAC+" nud permanent dev cable"),
	)
}
