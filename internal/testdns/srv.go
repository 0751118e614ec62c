package testdns

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Loopback is a name server with UDP and TCP sockets on one port of the loopback interface.
type Loopback struct {
	Addr string // ip:port

	servers []*dns.Server
	running sync.WaitGroup

	mu        sync.Mutex // guards questions
	questions []string
}

// Listen serves UDP and TCP with their handlers. With none for TCP its port refuses.
func Listen(udp, tcp dns.Handler) (*Loopback, error) {
	for range 10 { // a port that is free for TCP is hardly ever taken for UDP; the other way round it often is
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		l := &Loopback{Addr: listener.Addr().String()}
		packets, err := net.ListenPacket("udp", l.Addr)
		if err != nil {
			listener.Close()
			continue
		}
		if tcp == nil {
			listener.Close()
		} else {
			l.servers = append(l.servers, &dns.Server{Listener: listener, Handler: l.noting(tcp)})
		}
		l.servers = append(l.servers, &dns.Server{PacketConn: packets, Handler: l.noting(udp)})
		l.serve()
		return l, nil
	}
	return nil, errors.New("no port is free for both UDP and TCP")
}

// serve returns when all servers are up.
func (l *Loopback) serve() {
	var up sync.WaitGroup
	for _, server := range l.servers {
		up.Add(1)
		server.NotifyStartedFunc = up.Done
		l.running.Go(func() {
			if err := server.ActivateAndServe(); err != nil {
				panic(fmt.Sprintf("test name server: %v", err)) // its sockets were open
			}
		})
	}
	up.Wait()
}

// Close ends the server and waits for it.
func (l *Loopback) Close() {
	for _, server := range l.servers {
		_ = server.Shutdown() // fails only if it was not up
	}
	l.running.Wait()
}

// Questions returns what was asked, as "SRV _mongodb._tcp.example.org", sorted and each once.
func (l *Loopback) Questions() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	questions := slices.Clone(l.questions)
	slices.Sort(questions)
	return slices.Compact(questions)
}

func (l *Loopback) noting(h dns.Handler) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		l.mu.Lock()
		l.questions = append(l.questions, dns.Type(q.Question[0].Qtype).String()+" "+strings.TrimSuffix(q.Question[0].Name, "."))
		l.mu.Unlock()
		h.ServeDNS(w, q)
	})
}

// Zone answers from records, as a server does that knows all there is to know: it follows CNAMEs, adds the addresses
// of the hosts of SRV records, and cuts off what does not fit into a message.
type Zone []dns.RR

// NewZone reads records in the form of zone files: "db1.example.org. 60 IN A 192.0.2.1".
func NewZone(lines ...string) Zone {
	var zone Zone
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(err)
		}
		zone = append(zone, rr)
	}
	return zone
}

// ServeDNS answers one question.
func (z Zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	reply := z.Reply(q)
	size := dns.MaxMsgSize
	if w.LocalAddr().Network() == "udp" {
		size = dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
	}
	reply.Truncate(size)
	_ = w.WriteMsg(reply) // whoever asked may be gone
}

// Reply is the whole answer.
func (z Zone) Reply(q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(q)
	reply.RecursionAvailable, reply.Compress = true, true
	name, qtype := q.Question[0].Name, q.Question[0].Qtype
	for range 20 {
		found := z.records(name, qtype)
		reply.Answer = append(reply.Answer, found...)
		aliases := z.records(name, dns.TypeCNAME)
		if len(found) > 0 || len(aliases) == 0 {
			break
		}
		reply.Answer = append(reply.Answer, aliases...)
		name = aliases[0].(*dns.CNAME).Target
	}
	if !slices.ContainsFunc(z, func(rr dns.RR) bool { return sameName(rr.Header().Name, name) }) {
		reply.Rcode = dns.RcodeNameError
	}
	added := map[string]bool{}
	for _, rr := range reply.Answer {
		if srv, ok := rr.(*dns.SRV); ok && !added[srv.Target] {
			added[srv.Target] = true
			reply.Extra = append(reply.Extra, z.records(srv.Target, dns.TypeA)...)
			reply.Extra = append(reply.Extra, z.records(srv.Target, dns.TypeAAAA)...)
		}
	}
	return reply
}

func (z Zone) records(name string, rrtype uint16) []dns.RR {
	var records []dns.RR
	for _, rr := range z {
		if rr.Header().Rrtype == rrtype && sameName(rr.Header().Name, name) {
			records = append(records, rr)
		}
	}
	return records
}

func sameName(a, b string) bool { return dns.CanonicalName(a) == dns.CanonicalName(b) }
