package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/miekg/dns"
)

const (
	maxCNAMEs = 8         // in a row
	maxTTL    = 1<<31 - 1 // RFC 2181, section 8
)

var (
	errNoRecord      = errors.New("no such record")
	errOtherQuestion = errors.New("the answer is to another question")
)

// unpack reads a server's message. It returns errOtherQuestion unless the message answers question. Of one that was cut
// off nothing but the header is of use.
func unpack(message []byte, question *dns.Msg) (*dns.Msg, error) {
	m := new(dns.Msg)
	err := m.Unpack(message) // what it read before an error is in m
	switch {
	case m.Id != question.Id || !m.Response || m.Opcode != dns.OpcodeQuery:
		return nil, errOtherQuestion
	case len(m.Question) == 0 && err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return m, nil // some servers refuse with a bare header
	case len(m.Question) != 1 || !sameQuestion(m.Question[0], question.Question[0]):
		return nil, errOtherQuestion
	case err != nil && !m.Truncated:
		return nil, fmt.Errorf("the answer can't be read: %w", err)
	}
	return m, nil
}

func sameQuestion(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && dns.CanonicalName(a.Name) == dns.CanonicalName(b.Name)
}

// reply is what the servers have said so far about a name and a type.
type reply struct {
	names    []string // the name, and those that its CNAMEs lead to
	ttl      uint32   // the smallest of the CNAMEs
	complete bool     // records are those of the last name
	records  []dns.RR
	extra    []dns.RR // what came along
}

// after returns the reply with what m says about its last name.
func (r reply) after(m *dns.Msg, qtype uint16) (reply, error) {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return r, fmt.Errorf("it says %s", cmp.Or(dns.RcodeToString[m.Rcode], "code "+strconv.Itoa(m.Rcode)))
	}
	asked := len(r.names)
	r.names = slices.Clip(r.names) // the next server begins with the same names
	for {
		name := r.names[len(r.names)-1]
		if r.records = recordsOf(m.Answer, name, qtype); len(r.records) > 0 {
			r.complete, r.extra = true, m.Extra
			return r, nil
		}
		aliases := recordsOf(m.Answer, name, dns.TypeCNAME)
		if len(aliases) == 0 {
			break
		}
		alias := aliases[0].(*dns.CNAME)
		target := dns.CanonicalName(alias.Target)
		switch {
		case slices.Contains(r.names, target):
			return r, fmt.Errorf("the CNAMEs of %s form a loop", r.names[0])
		case len(r.names) > maxCNAMEs:
			return r, fmt.Errorf("more than %d CNAMEs in a row at %s", maxCNAMEs, r.names[0])
		}
		r.names = append(r.names, target)
		r.ttl = min(r.ttl, ttlOf(alias))
	}
	switch {
	case m.Rcode == dns.RcodeNameError:
		return r, errNoRecord
	case len(r.names) > asked:
		return r, nil // where the CNAME leads is for another question
	case refersOn(m):
		return r, errors.New("it refers to other servers: it does not answer for other domains than its own")
	}
	return r, errNoRecord
}

// recordsOf returns the records of a name and type. One without data is none: it would read as an SRV record whose
// target is ".".
func recordsOf(section []dns.RR, name string, rrtype uint16) []dns.RR {
	var records []dns.RR
	for _, rr := range section {
		h := rr.Header()
		if h.Rrtype == rrtype && h.Class == dns.ClassINET && h.Rdlength > 0 && dns.CanonicalName(h.Name) == name {
			records = append(records, rr)
		}
	}
	return records
}

// refersOn tells a referral from an answer that there are no data (RFC 2308, section 2.2).
func refersOn(m *dns.Msg) bool {
	servers := false
	for _, rr := range m.Ns {
		switch rr.Header().Rrtype {
		case dns.TypeSOA:
			return false
		case dns.TypeNS:
			servers = true
		}
	}
	return servers && !m.Authoritative
}

// ttlOf is a record's TTL; one with the highest bit set counts as zero (RFC 2181, section 8).
func ttlOf(rr dns.RR) uint32 {
	if ttl := rr.Header().Ttl; ttl <= maxTTL {
		return ttl
	}
	return 0
}
