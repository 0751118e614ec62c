package resolve

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the longest datagram that we ask for: what fits into any path's packets (DNS Flag Day 2020). Longer
// answers come over TCP.
const udpSize = 1232

// nameServers says which servers to ask, and for how long.
type nameServers struct {
	servers        []string // host:port; empty = those of resolvConf
	resolvConf     string
	timeout, total time.Duration
}

// parseServers reads host[:port] entries; the port is 53 by default. The error tells of every bad one, in one line.
func parseServers(list []string) (servers []string, bad error) {
	for _, text := range list {
		host, port, err := splitAddress(strings.TrimSpace(text))
		switch {
		case err == nil:
			servers = append(servers, net.JoinHostPort(host, cmp.Or(port, "53")))
		case bad == nil:
			bad = fmt.Errorf("name server %s: %w", quote(text), err)
		default:
			bad = fmt.Errorf("%w; name server %s: %w", bad, quote(text), err)
		}
	}
	return servers, bad
}

// questions returns what asks the servers, and the search domains if the servers are those of resolv.conf. That is
// read each time: it changes when a laptop or a VPN moves, and a lookup costs far more.
func (n *nameServers) questions() (questions, []string, error) {
	if len(n.servers) > 0 {
		return questions{n.servers, n.timeout}, nil, nil
	}
	conf, err := dns.ClientConfigFromFile(n.resolvConf)
	if err != nil {
		return questions{}, nil, fmt.Errorf("find name servers: %w; or say which to ask (DIALER_SRV_SERVER)", err)
	}
	q := questions{timeout: n.timeout}
	for _, server := range conf.Servers {
		if _, err := netip.ParseAddr(server); err == nil {
			q.servers = append(q.servers, net.JoinHostPort(server, conf.Port))
		}
	}
	if len(q.servers) == 0 {
		return questions{}, nil, fmt.Errorf("no name server in %s; say which to ask (DIALER_SRV_SERVER)", n.resolvConf)
	}
	return q, conf.Search, nil
}

// questions asks servers for the records of one lookup. A copy may be used at the same time as the original.
type questions struct {
	servers []string // the one that answered last is first
	timeout time.Duration
}

// find returns the records of type qtype that name has, or that the CNAMEs at name lead to. The error is errNoRecord,
// or it says why each server could not answer.
func (q *questions) find(ctx context.Context, name string, qtype uint16) (reply, error) {
	r := reply{names: []string{dns.CanonicalName(name)}, ttl: maxTTL}
	for !r.complete { // each turn adds a CNAME, and reply allows eight
		var err error
		if r, err = q.ask(ctx, r, qtype); err != nil {
			return r, err
		}
	}
	return r, nil
}

// ask asks for the last name of r, one server after the other, until one gives an answer that makes sense.
func (q *questions) ask(ctx context.Context, r reply, qtype uint16) (reply, error) {
	name := r.names[len(r.names)-1]
	failed := fmt.Errorf("ask for %s %s", dns.Type(qtype), strings.TrimSuffix(name, "."))
	for i, server := range q.servers {
		if over(ctx) != nil {
			return r, fmt.Errorf("%w; %s was not asked: no time is left", failed, server)
		}
		message, err := q.exchange(ctx, server, name, qtype)
		if err == nil {
			var next reply
			if next, err = r.after(message, qtype); err == nil || errors.Is(err, errNoRecord) {
				q.servers = slices.Concat(q.servers[i:], q.servers[:i])
				return next, err
			}
		}
		failed = fmt.Errorf("%w; %s: %w", failed, server, err)
	}
	return r, failed
}

// exchange asks one server over UDP, and again over TCP if the answer was cut off.
func (q *questions) exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	question := new(dns.Msg)
	question.SetQuestion(name, qtype)
	question.SetEdns0(udpSize, false)
	packed, err := question.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack the question: %w", err)
	}
	ignored := 0
	message, err := overUDP(ctx, server, question, packed, &ignored)
	if err == nil && message.Truncated {
		message, err = overTCP(ctx, server, question, packed)
	}
	switch {
	case err == nil || over(ctx) == nil:
		return message, err
	case ignored > 0:
		err = fmt.Errorf("no answer within %v, and %d datagrams that answer something else", time.Since(begin).Round(time.Millisecond), ignored)
	default:
		err = fmt.Errorf("no answer within %v", time.Since(begin).Round(time.Millisecond))
	}
	// Not the context's error: clients take context.DeadlineExceeded for their own deadline, and this one is ours.
	return nil, fmt.Errorf("%w: %w", err, os.ErrDeadlineExceeded)
}

// overUDP goes on reading after a datagram that does not answer the question: anyone can send one from a forged
// address, and the answer may still come. It counts them in ignored.
func overUDP(ctx context.Context, server string, question *dns.Msg, packed []byte, ignored *int) (*dns.Msg, error) {
	conn, end, err := connect(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(time.Now().Add(time.Until(deadline) / 2)); err != nil {
		return nil, err
	}
	buffer := make([]byte, udpSize)
	for again := false; ; {
		n, err := conn.Read(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !again:
			again = true // datagrams get lost
			if err := conn.SetReadDeadline(deadline); err != nil {
				return nil, err
			}
			if _, err := conn.Write(packed); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		}
		message, err := unpack(buffer[:n], question)
		if errors.Is(err, errOtherQuestion) {
			*ignored++
			continue
		}
		return message, err
	}
}

func overTCP(ctx context.Context, server string, question *dns.Msg, packed []byte) (*dns.Msg, error) {
	conn, end, err := connect(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, fmt.Errorf("read the answer over TCP: %w", err)
	}
	buffer := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buffer); err != nil {
		return nil, fmt.Errorf("read the answer over TCP: %w", err)
	}
	message, err := unpack(buffer, question)
	if err == nil && message.Truncated {
		return nil, errors.New("the answer is cut off, over TCP too")
	}
	return message, err
}

// connect opens a connection that the end of ctx closes.
func connect(ctx context.Context, network, server string) (conn net.Conn, end func(), err error) {
	conn, err = (&net.Dialer{}).DialContext(ctx, network, server)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return conn, func() {
		stop()
		conn.Close()
	}, nil
}

// over returns why ctx has ended. A socket's timer may fire just before that of the context that set it.
func over(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}
