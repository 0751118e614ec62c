// Package testnet is a network in memory, for tests on virtual time: real sockets do not block durably in a synctest
// bubble.
package testnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Mode is how an address behaves.
type Mode int

// An address that nothing was said of refuses.
const (
	Refuse      Mode = iota // answers every dial with "connection refused"
	Silent                  // never answers: the dial ends with its context
	Accept                  // connects
	AcceptClose             // connects, and closes at once
)

// Dial is one dial that the network saw.
type Dial struct {
	At   time.Duration // since New
	Addr string
}

// Network connects what dials it to whoever takes its connections. It is safe for concurrent use.
type Network struct {
	start time.Time

	mu      sync.Mutex
	modes   map[string]Mode
	dials   []Dial
	pending map[string]int // dials that wait, by address
	peers   []net.Conn
	greets  map[string]string
	talking sync.WaitGroup
}

// New returns a network on which every address refuses.
func New() *Network {
	return &Network{start: time.Now(), modes: map[string]Mode{}, pending: map[string]int{}, greets: map[string]string{}}
}

// Set says how addr, which is ip:port, behaves from now on.
func (n *Network) Set(addr string, mode Mode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.modes[addr] = mode
}

// Greet makes addr accept, and send text on every connection.
func (n *Network) Greet(addr, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.modes[addr], n.greets[addr] = Accept, text
}

// Dials returns the dials so far, oldest first.
func (n *Network) Dials() []Dial {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Dial(nil), n.dials...)
}

// Pending returns how many dials of addr wait for an answer.
func (n *Network) Pending(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pending[addr]
}

func (n *Network) wait(addr string, change int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending[addr] += change
}

// Open returns how many connections their dialers have not closed.
func (n *Network) Open() (open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, peer := range n.peers {
		if peer.SetReadDeadline(time.Unix(1, 0)) != nil {
			continue // closed by either side
		}
		if _, err := peer.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
		}
		_ = peer.SetReadDeadline(time.Time{})
	}
	return open
}

// Close closes the far ends of all connections, and waits for what they say.
func (n *Network) Close() {
	n.mu.Lock()
	for _, peer := range n.peers {
		peer.Close()
	}
	n.peers = nil
	n.mu.Unlock()
	n.talking.Wait()
}

// DialContext is a dial function in the manner of net.Dialer, errors included.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, Dial{time.Since(n.start), addr})
	mode := n.modes[addr]
	n.mu.Unlock()
	switch mode {
	case Accept, AcceptClose:
		near, far := net.Pipe()
		if mode == AcceptClose {
			far.Close()
		}
		n.mu.Lock()
		n.peers = append(n.peers, far)
		if text, ok := n.greets[addr]; ok {
			n.talking.Go(func() {
				for _, b := range []byte(text) {
					if _, err := far.Write([]byte{b}); err != nil {
						return
					}
				}
			})
		}
		n.mu.Unlock()
		return &pipe{near, tcpAddr(addr)}, nil
	case Silent:
		n.wait(addr, 1)
		<-ctx.Done()
		n.wait(addr, -1)
		return nil, opError(network, addr, ctx.Err())
	}
	return nil, opError(network, addr, os.NewSyscallError("connect", syscall.ECONNREFUSED))
}

// pipe says where it leads.
type pipe struct {
	net.Conn
	remote net.Addr
}

func (p *pipe) RemoteAddr() net.Addr { return p.remote }

func tcpAddr(addr string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)) }

func opError(network, addr string, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: tcpAddr(addr), Err: err}
}
