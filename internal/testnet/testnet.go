// Package testnet is a network in memory, for tests on virtual time: real sockets do not block durably in a synctest
// bubble.
package testnet

import (
	"context"
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
	Refuse Mode = iota // answers every dial with "connection refused"
	Silent             // never answers: the dial ends with its context
	Accept             // connects
)

// Dial is one dial that the network saw.
type Dial struct {
	At   time.Duration // since New
	Addr string
}

// Network connects what dials it to whoever takes its connections. It is safe for concurrent use.
type Network struct {
	start time.Time

	mu    sync.Mutex
	modes map[string]Mode
	dials []Dial
	peers []net.Conn
}

// New returns a network on which every address refuses.
func New() *Network {
	return &Network{start: time.Now(), modes: map[string]Mode{}}
}

// Set says how addr, which is ip:port, behaves from now on.
func (n *Network) Set(addr string, mode Mode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.modes[addr] = mode
}

// Dials returns the dials so far, oldest first.
func (n *Network) Dials() []Dial {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Dial(nil), n.dials...)
}

// Close closes the far ends of all connections.
func (n *Network) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, peer := range n.peers {
		peer.Close()
	}
	n.peers = nil
}

// DialContext is a dial function in the manner of net.Dialer, errors included.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, Dial{time.Since(n.start), addr})
	mode := n.modes[addr]
	n.mu.Unlock()
	switch mode {
	case Accept:
		near, far := net.Pipe()
		n.mu.Lock()
		n.peers = append(n.peers, far)
		n.mu.Unlock()
		return near, nil
	case Silent:
		<-ctx.Done()
		return nil, opError(network, addr, ctx.Err())
	}
	return nil, opError(network, addr, os.NewSyscallError("connect", syscall.ECONNREFUSED))
}

func opError(network, addr string, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)), Err: err}
}
