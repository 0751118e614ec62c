// Package services lists what a worker needs of its main server, as its configuration names it.
package services

import (
	"net"
	"net/url"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/gvpocr/worker/ocrworker"
	"github.com/gvpocr/worker/resolve"
)

// Kind is what a service speaks.
type Kind string

// The kinds.
const (
	MongoDB    Kind = "mongodb"
	NSQD       Kind = "nsqd"
	NSQLookupd Kind = "nsqlookupd"
	HTTP       Kind = "http"
	SMB        Kind = "smb"
	TCP        Kind = "tcp" // nothing is known but that it accepts connections
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

// Files returns the services that files may be fetched from, as far as environ, in the form of os.Environ, names them:
// the backend and the file share.
func Files(environ []string) []Service {
	vars := map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	var list []Service
	if u, err := url.Parse(vars["GVPOCR_SERVER_URL"]); err == nil && u.Host != "" {
		port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
		if u.Port() != "" || port != "" {
			list = append(list, Service{HTTP, withPort(u.Host, port)})
		}
	}
	if host := vars["SAMBA_HOST"]; host != "" {
		list = append(list, Service{SMB, withPort(host, "13445")})
	}
	return list
}

// known are the names of the main server's services without gvpocr- or -proxy.
var known = map[string]struct {
	kind Kind
	port string
}{
	"mongodb":    {MongoDB, "27017"},
	"nsqd":       {NSQD, "4150"},
	"nsqlookupd": {NSQLookupd, "4161"},
	"backend":    {HTTP, "5000"},
	"samba":      {SMB, "13445"},
}

// Names are the names that workers have for the main server's services.
func Names() []string {
	return []string{"mongodb-proxy", "nsqd-proxy", "nsqlookupd-proxy", "backend-proxy", "samba-proxy"}
}

// Named returns the service that a name stands for, with or without a port: one of configured that has it, one of the
// main server's under its usual port, or an address of which nothing else is known. It reports false for a name without a
// port that is none of these.
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
	base := strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(host), "gvpocr-"), "-proxy")
	usual, ok := known[base]
	switch {
	case port == "" && !ok:
		return Service{}, false
	case port == "" || port == usual.port:
		return Service{usual.kind, net.JoinHostPort(host, usual.port)}, true
	}
	for _, s := range known {
		if s.port == port && !ok {
			return Service{s.kind, net.JoinHostPort(host, port)}, true
		}
	}
	if ok {
		return Service{usual.kind, net.JoinHostPort(host, port)}, true
	}
	return Service{TCP, net.JoinHostPort(host, port)}, true
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}
