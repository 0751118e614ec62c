// Package services lists what a worker needs of its main server, as its configuration names it.
package services

import (
	"cmp"
	"errors"
	"fmt"
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
// the backend and the file share. The worker uses neither of them yet. The error names the variables that name none, and shows
// no value.
func Files(environ []string) ([]Service, error) {
	vars := map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	var list []Service
	var errs []error
	if text := vars[FileVariables[0]]; text != "" {
		if service, ok := backend(text); ok {
			list = append(list, service)
		} else {
			errs = append(errs, fmt.Errorf("%s: not http://host:port or https://host:port", FileVariables[0]))
		}
	}
	if share := vars[FileVariables[1]]; share != "" {
		if service, ok := at(SMB, share, "13445"); ok {
			list = append(list, service)
		} else {
			errs = append(errs, fmt.Errorf("%s: not host or host:port", FileVariables[1]))
		}
	}
	return list, errors.Join(errs...)
}

func backend(text string) (Service, bool) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
	case u.Scheme == "http":
		return at(HTTP, u.Host, "80")
	case u.Scheme == "https":
		return at(HTTPS, u.Host, "443")
	}
	return Service{}, false
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

// ErrAddress says that text is neither host nor host:port. It may be a URI with a password, and is not shown.
var ErrAddress = errors.New("not host or host:port (not shown: it may hold a password)")

// ErrPort says that a name has no port, and that nothing is known by which it could have a usual one.
var ErrPort = errors.New("only the main server's services have a usual port")

// Named returns the services that a name stands for, with or without a port: those of configured that have it, one of the
// main server's under one of its usual ports, or an address of which nothing else is known than what usually is at its
// port. The error is ErrAddress or ErrPort.
func Named(name string, configured []Service) ([]Service, error) {
	host, port, ok := split(name)
	if !ok {
		return nil, ErrAddress
	}
	var same []Service
	for _, s := range configured {
		if s.Address == name {
			return []Service{s}, nil
		}
		// Also by another name of the same service: it is the one that is logged in to.
		if h, _, _ := net.SplitHostPort(s.Address); port == "" && resolve.ServiceName(h) == resolve.ServiceName(host) {
			same = append(same, s)
		}
	}
	if len(same) > 0 {
		return same, nil
	}
	doors, known := known[strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(host), "gvpocr-"), "-proxy")]
	if port == "" {
		if !known {
			return nil, ErrPort
		}
		return []Service{{doors[0].kind, net.JoinHostPort(host, doors[0].port)}}, nil
	}
	s := Service{TCP, net.JoinHostPort(host, port)}
	if known {
		s.Kind = doors[0].kind // a service may have been moved to another port
		if i := slices.IndexFunc(doors, func(d door) bool { return d.port == port }); i >= 0 {
			s.Kind = doors[i].kind
		}
	} else if kind, ok := usual[port]; ok {
		s.Kind = kind
	}
	return []Service{s}, nil
}

// at returns a service at host or host:port.
func at(kind Kind, address, usual string) (Service, bool) {
	host, port, ok := split(address)
	return Service{kind, net.JoinHostPort(host, cmp.Or(port, usual))}, ok
}

// split reads host, host:port, and IPv6 addresses with brackets or without. Whether the port is one is for the dial to say.
func split(address string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), ""
	}
	digits := strings.Trim(port, "0123456789") == ""
	return host, port, resolve.IsHost(host) && digits
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}
