// Package services lists what a worker needs of its main server, as its configuration names it.
package services

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/gvpocr/worker/ocrworker"
	"github.com/gvpocr/worker/resolve"
)

// Kind is what a service speaks.
type Kind string

// The kinds.
const (
	MongoDB       Kind = "mongodb"
	NSQD          Kind = "nsqd"           // NSQ's protocol for clients
	NSQDHTTP      Kind = "nsqd-http"      // nsqd's statistics and administration
	NSQLookupd    Kind = "nsqlookupd"     // HTTP, where clients look up nsqds
	NSQLookupdTCP Kind = "nsqlookupd-tcp" // where nsqds register
	HTTP          Kind = "http"
	HTTPS         Kind = "https"
	SMB           Kind = "smb"
	TCP           Kind = "tcp" // nothing is known but that it accepts connections
)

// Service is one service by the name that workers dial.
type Service struct {
	Kind    Kind   `json:"kind"`
	Address string `json:"address"` // host:port
}

// Of returns the services that a worker of this configuration dials: MongoDB's hosts, nsqd, and each nsqlookupd.
func Of(cfg ocrworker.Config) []Service {
	var list []Service
	if uri, err := connstring.ParseAndValidate(cfg.MongoURI); err == nil {
		for _, host := range uri.Hosts {
			list = append(list, Service{MongoDB, withPort(host, "27017")})
		}
	}
	if cfg.NSQD != "" {
		list = append(list, Service{NSQD, cfg.NSQD})
	}
	for _, address := range cfg.Lookupds {
		list = append(list, Service{NSQLookupd, strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")})
	}
	return list
}

// FileVariables name the services that Files returns.
var FileVariables = []string{"GVPOCR_SERVER_URL", "SAMBA_HOST"}

// Files returns the services that files will be fetched from, as far as environ, in the form of os.Environ, names them:
// the backend and the file share. The worker uses neither of them yet.
func Files(environ []string) []Service {
	vars := map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	var list []Service
	backend, share := vars[FileVariables[0]], vars[FileVariables[1]]
	if u, err := url.Parse(backend); err == nil && u.Host != "" {
		switch u.Scheme {
		case "http":
			list = append(list, Service{HTTP, withPort(u.Host, "80")})
		case "https":
			list = append(list, Service{HTTPS, withPort(u.Host, "443")})
		}
	}
	if share != "" {
		list = append(list, Service{SMB, withPort(share, "13445")})
	}
	return list
}

// door is a port at which a service is usually found, and what it speaks there.
type door struct {
	port string
	kind Kind
}

// known are the names of the main server's services without gvpocr- or -proxy, each with its usual ports, first the one
// that workers dial.
var known = map[string][]door{
	"mongodb":    {{"27017", MongoDB}},
	"nsqd":       {{"4150", NSQD}, {"4151", NSQDHTTP}},
	"nsqlookupd": {{"4161", NSQLookupd}, {"4160", NSQLookupdTCP}},
	"backend":    {{"5000", HTTP}},
	"samba":      {{"13445", SMB}},
}

// usual are the doors of all known services by their ports.
var usual = func() map[string]Kind {
	kinds := map[string]Kind{}
	for _, doors := range known {
		for _, d := range doors {
			kinds[d.port] = d.kind
		}
	}
	return kinds
}()

// Names are the names that workers have for the main server's services.
func Names() []string {
	return []string{"mongodb-proxy", "nsqd-proxy", "nsqlookupd-proxy", "backend-proxy", "samba-proxy"}
}

// Named returns the service that a name stands for, with or without a port: one of configured that has it, one of the
// main server's under one of its usual ports, or an address of which nothing else is known than what usually is at its
// port. It reports false for a name without a port that is none of these.
func Named(name string, configured []Service) (Service, bool) {
	for _, s := range configured {
		if host, _, _ := net.SplitHostPort(s.Address); s.Address == name || resolve.ServiceName(host) == resolve.ServiceName(name) {
			return s, true // also by another name of the same service: it is the one that is logged in to
		}
	}
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		host, port = strings.Trim(name, "[]"), ""
	}
	doors, ok := known[strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(host), "gvpocr-"), "-proxy")]
	if port == "" {
		if !ok {
			return Service{}, false
		}
		return Service{doors[0].kind, net.JoinHostPort(host, doors[0].port)}, true
	}
	s := Service{TCP, net.JoinHostPort(host, port)}
	if ok {
		s.Kind = doors[0].kind // a service may have been moved to another port
		if i := slices.IndexFunc(doors, func(d door) bool { return d.port == port }); i >= 0 {
			s.Kind = doors[i].kind
		}
	} else if kind, ok := usual[port]; ok {
		s.Kind = kind
	}
	return s, true
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}
