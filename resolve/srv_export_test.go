package resolve

import (
	"github.com/miekg/dns"
)

// WithResolvConf makes r, which comes from SRV, read another file than /etc/resolv.conf.
func WithResolvConf(r Resolver, path string) Resolver {
	r.(*srv).dns.resolvConf = path
	return r
}

// WithServers makes r, which comes from Static, ask servers for the srv: parts of its targets.
func WithServers(r Resolver, cfg SRVConfig) Resolver {
	r.(*static).dns = cfg.ask(cfg.Servers)
	return r
}

// SRVQuestions returns the servers that r, which comes from SRV, would ask for host, and the names it would ask for.
func SRVQuestions(r Resolver, host string) (servers, names []string, err error) {
	s := r.(*srv)
	questions, search, err := s.dns.questions()
	for _, service := range s.services(host) {
		names = append(names, s.names(service, search)...)
	}
	return questions.servers, names, err
}

// SRVQuestion is what ReadSRVAnswer takes message to answer.
func SRVQuestion() *dns.Msg {
	question := new(dns.Msg).SetQuestion("_mongodb._tcp.example.org.", dns.TypeSRV)
	question.Id = 1
	return question
}

// ReadSRVAnswer is what a lookup makes of the bytes that a server sends, where nothing more is asked.
func ReadSRVAnswer(message []byte) (Answer, error) {
	question := SRVQuestion()
	m, err := unpack(message, question)
	if err != nil {
		return Answer{}, err
	}
	r, err := reply{names: []string{question.Question[0].Name}, ttl: maxTTL}.after(m, dns.TypeSRV)
	if err != nil || !r.complete {
		return Answer{}, err
	}
	records, err := usable(r.records)
	if err != nil {
		return Answer{}, err
	}
	hosts := hostsOf(records)
	hosts.fill(r.extra)
	return assemble(records, hosts, r.ttl)
}
