package resolve

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// env answers from DIAL_ variables.
type env struct {
	entries map[string]entry // by variable
	dns     *nameServers
}

// Env answers from variables of environ, which is in the form of os.Environ: DIAL_MONGODB_PROXY=10.0.0.1 says where
// mongodb-proxy is. The variable is DIAL_ and the name in upper case, with '-' and '.' as '_'; the value is a target
// (see [Target]); an empty value is as good as none. The aliases of a main server's service share the entry of its
// name, port included, unless they have one of their own. For srv: parts of a target the name servers of
// /etc/resolv.conf are asked. The error joins every bad variable.
func Env(environ []string) (Resolver, error) {
	return newEnv(environ, SRVConfig{}.ask(nil))
}

func newEnv(environ []string, dns *nameServers) (Resolver, error) {
	e := &env{entries: map[string]entry{}, dns: dns}
	var errs []error
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" {
			continue
		}
		if err := checkVariable(name); err != nil {
			errs = append(errs, err)
			continue
		}
		target, err := ParseTarget(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		e.entries[name] = entry{target, "env " + name}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return e, nil
}

func checkVariable(name string) error {
	rest := strings.TrimPrefix(name, envPrefix)
	if rest == "" || strings.Trim(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return fmt.Errorf("%q: the name after %s has upper-case letters, digits and '_': mongodb-proxy is %s",
			name, envPrefix, Variable("mongodb-proxy"))
	}
	return nil
}

func (e *env) Resolve(ctx context.Context, host, port string) (Answer, error) {
	for _, name := range withService(host) {
		if entry, ok := e.entries[Variable(name)]; ok {
			return entry.answer(ctx, host, port, e.dns)
		}
	}
	return Answer{}, notFound(host, "env "+Variable(host))
}

func (e *env) named() Resolver { return e }

// Variable is the environment variable that names the target of host: see [Env].
func Variable(host string) string { // the ':' is of IPv6 addresses
	return envPrefix + strings.NewReplacer("-", "_", ".", "_", ":", "_").Replace(strings.ToUpper(canonical(host)))
}

// envPrefix begins the variables that name targets. DIALER_ begins the settings, so neither is taken for the other.
const envPrefix = "DIAL_"
