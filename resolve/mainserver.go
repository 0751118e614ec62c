package resolve

import (
	"cmp"
	"context"
	"fmt"
)

// services are the main server's services under the name that workers use, with the names that they have on the main
// server itself.
var services = map[string][]string{
	"mongodb-proxy":    {"mongodb", "gvpocr-mongodb"},
	"nsqd-proxy":       {"nsqd", "gvpocr-nsqd"},
	"nsqlookupd-proxy": {"nsqlookupd", "gvpocr-nsqlookupd"},
	"backend-proxy":    {"backend", "gvpocr-backend"},
	"samba-proxy":      {"samba", "gvpocr-samba"},
	"gvpocr-frontend":  nil,
}

// serviceNames maps every name and alias to the service's name.
var serviceNames = func() map[string]string {
	names := map[string]string{}
	for service, aliases := range services {
		names[service] = service
		for _, alias := range aliases {
			names[alias] = service
		}
	}
	return names
}()

// ServiceName returns the name under which settings for host are kept: that of the main server's service if host is one
// of its aliases (see [MainServer]), else host itself in lower case and without a final dot.
func ServiceName(host string) string {
	host = canonical(host)
	return cmp.Or(serviceNames[host], host)
}

// mainServer maps names to one host.
type mainServer struct {
	target Target
	knows  func(host string) bool
	source string
}

// MainServer maps the names and aliases of the main server's services to host, an IP address or a host name, at the
// port that is asked for. It knows mongodb-proxy, nsqd-proxy, nsqlookupd-proxy, backend-proxy and samba-proxy, each
// also without -proxy and with gvpocr- before it, and gvpocr-frontend.
func MainServer(host string) (Resolver, error) {
	target, err := hostTarget(host)
	if err != nil {
		return nil, err
	}
	knows := func(host string) bool { return serviceNames[canonical(host)] != "" }
	return &mainServer{target, knows, "main server " + host}, nil
}

// containers takes every single-label name for a container of the main server.
func containers(host string) (Resolver, error) {
	target, err := hostTarget(host)
	if err != nil {
		return nil, err
	}
	return &mainServer{target, singleLabel, "container of main server " + host}, nil
}

func hostTarget(host string) (Target, error) {
	name, port, err := splitAddress(host)
	if err == nil && port != "" {
		err = fmt.Errorf("it has a port; each service keeps its own")
	}
	if err != nil {
		return Target{}, fmt.Errorf("main server %s: %w", quote(host), err)
	}
	return Target{parts: []part{{host: name, weight: 1}}}, nil
}

func (m *mainServer) Resolve(_ context.Context, host, port string) (Answer, error) {
	if !m.knows(host) {
		return Answer{}, notFound(host, m.source)
	}
	return Answer{Endpoints: m.target.Endpoints(port), Source: m.source}, nil
}

func (m *mainServer) named() Resolver { return m }
