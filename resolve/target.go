package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxParts bounds a target, so that one bad line can't make every dial try thousands of addresses.
const maxParts = 256

// Target says in one line of text where a service is:
//
//	10.0.0.1                                 the port that was asked for
//	10.0.0.1:27018                           another port
//	10.0.0.1,10.0.0.2*3                      equals; the second gets three of four dials
//	10.0.0.1,10.0.0.2|standby.example.org    what follows | is tried when the part before it fails
//	srv:_mongodb._tcp.example.org            what these SRV records say, port included
//
// The priorities and weights of SRV records order them within the part: the best of them stand equal to the parts that
// a comma joins them to, and all go before what follows the next |. Their name is absolute. [Static] and [Env] ask for
// the records (see [SRV] for how); a part without an answer is left out as long as an endpoint remains, and the answer
// is Partial unless the records said that there is no such service.
//
// IPv6 addresses stand in brackets where a port follows: [2001:db8::1]:27017. The zero Target has no endpoints.
type Target struct {
	parts []part
}

type part struct {
	srv      string // the name of SRV records, in the place of host, port and weight
	host     string // an address without brackets, or a host name
	port     string // empty = the port that was asked for
	priority uint16
	weight   uint16
}

// ParseTarget reads a target. Its errors quote the part that is wrong, unless that could hold a password.
func ParseTarget(s string) (Target, error) {
	var t Target
	for priority, group := range strings.Split(s, "|") {
		for text := range strings.SplitSeq(group, ",") {
			if len(t.parts) == maxParts {
				return Target{}, fmt.Errorf("bad target: more than %d parts", maxParts)
			}
			p, err := parsePart(strings.TrimSpace(text))
			if err != nil {
				return Target{}, fmt.Errorf("bad target %s: %w", quote(text), err)
			}
			p.priority = uint16(priority)
			t.parts = append(t.parts, p)
		}
	}
	return t, nil
}

// quote hides what may be the user and password of a URI that was put where an address belongs.
func quote(s string) string {
	if strings.ContainsAny(s, "@/") {
		return "(not shown: it may hold a password)"
	}
	return strconv.Quote(s)
}

func parsePart(s string) (part, error) {
	if strings.Contains(s, "://") {
		return part{}, errors.New("write host or host:port, not a URL")
	}
	address, weight, weighed := strings.Cut(s, "*")
	if name, ok := strings.CutPrefix(address, "srv:"); ok && checkPort(name) != nil { // srv:27017 is a host
		if weighed {
			return part{}, errors.New("a srv: part has no weight of its own: its records have theirs")
		}
		return part{srv: name}, checkSRVName(name)
	}
	p := part{weight: 1}
	if weighed {
		n, err := strconv.ParseUint(weight, 10, 16)
		if err != nil || n == 0 {
			return part{}, errors.New("the weight after * must be a number from 1 to 65535")
		}
		p.weight = uint16(n)
	}
	var err error
	p.host, p.port, err = splitAddress(address)
	return p, err
}

func checkSRVName(name string) error {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	if len(labels) < 3 || !strings.HasPrefix(labels[0], "_") || !strings.HasPrefix(labels[1], "_") {
		return errors.New("after srv: write the name of SRV records, like _mongodb._tcp.example.org")
	}
	return checkHostName(name)
}

// splitAddress reads host, host:port, [ipv6], [ipv6]:port, and an IPv6 address without brackets or port.
func splitAddress(s string) (host, port string, err error) {
	if s == "" {
		return "", "", errors.New("a host is missing; write host or host:port")
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.String(), "", nil
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, rest, closed := strings.Cut(inner, "]")
		ip, err := netip.ParseAddr(inner)
		if !closed || err != nil || !ip.Is6() {
			return "", "", errors.New("brackets must hold an IPv6 address")
		}
		if rest == "" {
			return ip.String(), "", nil
		}
		port, ok := strings.CutPrefix(rest, ":")
		if !ok {
			return "", "", errors.New("only :port may follow the brackets")
		}
		return ip.String(), port, checkPort(port)
	}
	host, port, hasPort := strings.Cut(s, ":")
	if hasPort {
		if err := checkPort(port); err != nil {
			return "", "", err
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), port, nil
	}
	return host, port, checkHostName(host)
}

func checkPort(port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' {
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

// IsHost reports whether s, without a port, is an IP address or has the form of a host name: what DNS and container names
// use, gvpocr_nsqd.1 among them. Text from elsewhere that is to be dialed, or shown, can be told by it from what is none.
func IsHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Zone() == "" || checkHostName(ip.Zone()) == nil // a zone may hold anything
	}
	return checkLabels(strings.TrimSuffix(s, ".")) == nil
}

// checkHostName allows what checkLabels does, but for what looks like an address.
func checkHostName(host string) error {
	name := strings.TrimSuffix(host, ".")
	if err := checkLabels(name); err != nil {
		return err
	}
	// The last label of a DNS name is never a number (RFC 3696): 10.0.0.256 is a mistyped address.
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" && strings.Contains(name, ".") {
		return errors.New("neither an IP address nor a host name")
	}
	return nil
}

// checkLabels allows what DNS and container names use. It is stricter than DNS, which allows any byte: a stray blank, slash
// or at sign is a mistake that should not wait for a lookup to fail.
func checkLabels(name string) error {
	if name == "" || len(name) > 253 {
		return errors.New("a host name has 1 to 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return errors.New("each label of a host name has 1 to 63 characters")
		}
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return errors.New("a host name has letters, digits, '-', '_' and '.' (write other names in punycode)")
		}
	}
	return nil
}

// String gives the target back in the form that ParseTarget reads.
func (t Target) String() string {
	var b strings.Builder
	for i, p := range t.parts {
		switch {
		case i == 0:
		case p.priority == t.parts[i-1].priority:
			b.WriteByte(',')
		default:
			b.WriteByte('|')
		}
		switch {
		case p.srv != "":
			b.WriteString("srv:" + p.srv)
			continue
		case p.port == "":
			b.WriteString(p.host)
		default:
			b.WriteString(net.JoinHostPort(p.host, p.port))
		}
		if p.weight != 1 {
			fmt.Fprintf(&b, "*%d", p.weight)
		}
	}
	return b.String()
}

// Endpoints returns the target's endpoints in the order of the text; a part without a port gets port. Host names stay
// names: the dialer turns them into addresses. The weight of a part that has none is 1. The srv: parts are left out:
// DNS has to be asked for them.
func (t Target) Endpoints(port string) []Endpoint {
	endpoints := make([]Endpoint, 0, len(t.parts))
	for _, p := range t.parts {
		if p.srv == "" {
			endpoints = append(endpoints, Endpoint{
				Addr:     net.JoinHostPort(p.host, cmp.Or(p.port, port)),
				Priority: p.priority,
				Weight:   p.weight,
			})
		}
	}
	return endpoints
}
