// Package testdns is a name server for tests that lives in the process: no test may ask the machine's DNS, whose
// answers differ from one machine to the next.
package testdns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// Server answers A and AAAA questions from a table. Safe for concurrent use.
type Server struct {
	mu    sync.Mutex
	hosts map[string][]netip.Addr // by name with a final dot
	down  bool
}

// New returns a server that knows no name: it answers each question with "no such name".
func New() *Server {
	return &Server{hosts: map[string][]netip.Addr{}}
}

// Set says which addresses a name has from now on; none takes the name away.
func (s *Server) Set(name string, addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ips []netip.Addr
	for _, a := range addresses {
		ips = append(ips, netip.MustParseAddr(a))
	}
	s.hosts[dns.CanonicalName(name)] = ips
}

// SetDown makes the server unreachable, or reachable again.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Resolver returns a resolver that asks this server and no other.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: s.dial}
}

// Pin makes this server the one that net.DefaultResolver asks. For TestMain.
func (s *Server) Pin() {
	net.DefaultResolver = s.Resolver()
}

// dial serves one connection of a net.Resolver in a pipe; the resolver closes it, and that ends the goroutine.
func (s *Server) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, errors.New("the test's name server is down")
	}
	client, server := net.Pipe()
	go s.serve(server)
	return client, nil
}

func (s *Server) serve(pipe net.Conn) {
	defer pipe.Close()
	conn := &dns.Conn{Conn: pipe}
	for {
		question, err := conn.ReadMsg()
		if err != nil {
			return
		}
		if err := conn.WriteMsg(s.answer(question)); err != nil {
			return
		}
	}
}

func (s *Server) answer(question *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(question)
	reply.RecursionAvailable = true // else a reply without records passes for one of a server that is not in charge
	q := question.Question[0]
	s.mu.Lock()
	ips := s.hosts[dns.CanonicalName(q.Name)]
	s.mu.Unlock()
	if len(ips) == 0 {
		reply.Rcode = dns.RcodeNameError
	}
	for _, ip := range ips {
		header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 30}
		switch {
		case ip.Is4() && q.Qtype == dns.TypeA:
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: ip.AsSlice()})
		case ip.Is6() && q.Qtype == dns.TypeAAAA:
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header, AAAA: ip.AsSlice()})
		}
	}
	return reply
}
