// Package resolve turns the names that a program asks for into the endpoints where the service is reached.
//
// A worker asks for mongodb-proxy:27017. Which machine that is can be fixed in the program ([Static]), said by the
// environment ([Env]: DIAL_MONGODB_PROXY=10.0.0.1), follow from the main server's address ([MainServer]) or be left to
// ordinary DNS ([System]). [Chain] puts resolvers in an order; [FromEnv] builds the usual chain.
//
// Every Resolver of this package is safe for concurrent use and holds no connection and no goroutine, except for a
// [Cache], which is to be closed.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Endpoint is one place where a service can be reached.
type Endpoint struct {
	Addr     string // host:port
	Priority uint16 // lower is tried first (RFC 2782)
	Weight   uint16 // share within one priority
}

// Answer is what a Resolver knows about a name. Endpoints is shared: read only.
type Answer struct {
	Endpoints []Endpoint
	TTL       time.Duration // 0 = unknown
	Source    string        // which resolver answered: "env DIAL_MONGODB_PROXY"
	Stale     bool          // served past its TTL because a refresh failed
	Partial   bool          // some of the name's hosts could not be resolved, or the answer was cut off
}

// Resolver turns host and port, as a program asked for them, into endpoints.
// It returns an error wrapping ErrNotFound when it does not know the name.
type Resolver interface {
	Resolve(ctx context.Context, host, port string) (Answer, error)
}

// ErrNotFound says that a resolver does not know a name, which another one may. Every other error of a Resolver means
// that it is the one to ask and could not answer.
var ErrNotFound = errors.New("name not found")

// ErrUnavailable says that the resolver which may know a name could not be asked: its name servers do not answer. A name
// that somebody has an entry for is never ErrUnavailable.
var ErrUnavailable = errors.New("whether the name is known can't be told")

// unavailable marks err as ErrUnavailable, which its words say already.
func unavailable(err error) error { return &unavailableError{err} }

type unavailableError struct{ error }

func (e *unavailableError) Is(target error) bool { return target == ErrUnavailable }
func (e *unavailableError) Unwrap() error        { return e.error }

// notFound is the answer of a resolver that does not know host; by names the resolver.
func notFound(host, by string) error {
	return fmt.Errorf("%s: %w (%s)", host, ErrNotFound, by)
}

// canonical is the form in which names are compared: DNS names ignore case and a final dot.
func canonical(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// singleLabel reports whether host is a name without a dot, as containers have.
func singleLabel(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && !strings.Contains(strings.TrimSuffix(host, "."), ".")
}
