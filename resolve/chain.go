package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gvpocr/worker/internal/settings"
)

// chain asks its resolvers in order.
type chain []Resolver

// Chain answers with the first resolver that knows the name: the first that does not return ErrNotFound. An empty
// chain knows nothing.
func Chain(rs ...Resolver) Resolver {
	return chain(slices.Clone(rs))
}

func (c chain) Resolve(ctx context.Context, host, port string) (Answer, error) {
	verdict := notFound(host, "no resolver")
	for _, r := range c {
		answer, err := r.Resolve(ctx, host, port)
		if !errors.Is(err, ErrNotFound) {
			return answer, err
		}
		verdict = err // the last one's, which was asked because the others gave the name up
	}
	return Answer{}, verdict
}

// Named returns r without the parts of it that answer any name at all, such as [System]: what knows a name only
// because somebody said what it means. It is nil if nothing is left. A Resolver of another package counts as named.
func Named(r Resolver) Resolver {
	if n, ok := r.(interface{ named() Resolver }); ok {
		return n.named()
	}
	return r
}

func (c chain) named() Resolver {
	var rest chain
	for _, r := range c {
		if n := Named(r); n != nil {
			rest = append(rest, n)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	return rest
}

func (s *system) named() Resolver { return nil }

// FromEnv builds the usual chain from environ, which is in the form of os.Environ:
//
//   - DIAL_<NAME> lines (see [Env]);
//   - DIALER_SRV_DOMAIN, the domain whose SRV records say where services are (see [SRV]); DIALER_SRV_SERVER has the
//     name servers to ask for them and for srv: parts of targets, host[:port] and comma separated, instead of those of
//     /etc/resolv.conf;
//   - MAIN_SERVER_IP, the main server's address or host name (see [MainServer]);
//   - for other names what DIALER_UNKNOWN says: "system" (the default) asks ordinary DNS; "deny" refuses them, IP
//     addresses included, so that the program reaches nothing that was not named; "main-server" asks DNS and takes a
//     single-label name that DNS does not know for a container of the main server.
//
// The error joins every bad variable, unknown DIALER_ settings among them.
func FromEnv(environ []string) (Resolver, error) {
	vars := map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	errs := settings.Unknown(environ)
	var rs chain
	add := func(name string, r Resolver, err error) {
		switch {
		case err != nil && name != "":
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		case err != nil:
			errs = append(errs, err)
		default:
			rs = append(rs, r)
		}
	}

	var servers []string
	if list := vars["DIALER_SRV_SERVER"]; list != "" {
		var err error
		if servers, err = parseServers(strings.Split(list, ",")); err != nil {
			errs = append(errs, fmt.Errorf("DIALER_SRV_SERVER: %w", err))
		}
	}
	dns := SRVConfig{}.ask(servers)
	r, err := newEnv(environ, dns)
	add("", r, err)
	if domain := vars["DIALER_SRV_DOMAIN"]; domain != "" {
		r, err := newSRV(domain, dns)
		add("DIALER_SRV_DOMAIN", r, err)
	}
	host := vars["MAIN_SERVER_IP"]
	if host != "" {
		r, err := MainServer(host)
		add("MAIN_SERVER_IP", r, err)
	}
	switch unknown := vars["DIALER_UNKNOWN"]; unknown {
	case "", "system":
		add("", System(nil), nil)
	case "deny":
		add("", deny{}, nil)
	case "main-server":
		add("", System(nil), nil)
		if host == "" {
			add("DIALER_UNKNOWN", nil, errors.New("main-server needs MAIN_SERVER_IP"))
		} else if r, err := containers(host); err == nil { // MainServer has reported a bad host
			add("", r, nil)
		}
	default:
		add("DIALER_UNKNOWN", nil, fmt.Errorf("%q is not system, deny or main-server", unknown))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &fromEnv{rs}, nil
}

// fromEnv adds to the chain's error what an operator can do about it.
type fromEnv struct {
	chain
}

func (f *fromEnv) Resolve(ctx context.Context, host, port string) (Answer, error) {
	answer, err := f.chain.Resolve(ctx, host, port)
	service := serviceNames[canonical(host)]
	switch name := Variable(cmp.Or(service, host)); {
	case err == nil:
		return answer, nil
	case !errors.Is(err, ErrNotFound):
		return answer, fmt.Errorf("%w; %s=ADDRESS[:port] would do without DNS", err, name)
	case service != "":
		return answer, fmt.Errorf("%w; set %s=host[:port] or MAIN_SERVER_IP", err, name)
	default:
		return answer, fmt.Errorf("%w; set %s=host[:port]", err, name)
	}
}

// deny ends a chain: nothing that was not named is reached.
type deny struct{}

func (deny) Resolve(_ context.Context, host, _ string) (Answer, error) {
	return Answer{}, notFound(host, "DIALER_UNKNOWN=deny")
}

func (d deny) named() Resolver { return nil }
