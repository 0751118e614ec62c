// Package dialer connects a program to services that it knows by logical names.
//
// A worker dials mongodb-proxy:27017 and gets a connection to the machine where MongoDB is: a resolver (package
// resolve) turns the name into endpoints, the dialer tries them in the order of their priority, and if none answers it
// waits and asks again until the dial's budget is used up. [Dialer.DialContext] has the standard signature, so it
// plugs into every client that takes a dial function: the MongoDB driver's SetDialer, Redis and PostgreSQL clients, gRPC.
// [Dialer.Transport] is for HTTP, and [Dialer.Do] for clients that insist on dialing by themselves.
//
// # What a dial does
//
// Endpoints are raced: one that does not answer within 250 ms gets company by the next (RFC 8305). Each endpoint has a
// breaker: after some failures nobody dials it but a probe, at most a second or so apart, so that a dead endpoint costs
// nothing and its return is noticed soon. A dial that finds every breaker open fails at once with [ErrBreakerOpen].
// A name may keep spare connections ready, and may be secured by TLS.
//
// Errors are *[DialError]: they name the address that was asked for, every endpoint that was tried and what came of it.
// An attempt's own time-out wraps os.ErrDeadlineExceeded; context.DeadlineExceeded is the caller's deadline alone.
//
// # What becomes of a connection
//
// Connections get keepalive and, on Linux, TCP_USER_TIMEOUT, so that a vanished peer is noticed in about 30 s. A TCP
// connection keeps what a *net.TCPConn can do: splice, SyscallConn, CloseWrite. When its endpoint has left the name's
// answer, the connection is closed Config.DrainAfter later, so that a service can move; who can change over before that
// asks for it:
//
//	leaving := conn.(interface{ Leaving() <-chan struct{} }).Leaving()
//	select {
//	case <-leaving: // open another one, and close conn when it is no longer needed
//	case <-done: // conn is closed
//	}
//
// Missing, likewise, returns a channel that is closed by the first answer that lacks the endpoint, which is not sure yet.
//
// # Names of another world
//
// A server often hands out the addresses of its own world, names of containers for instance. [Dialer.Behind] is a
// dialer for such a client: it looks for a name that nobody knows on the hosts of the service that handed it out.
//
// # To see what goes on
//
// [Dialer.Stats], [Dialer.Explain] and [Dialer.Health] are snapshots, [Trace] is called as things happen, and
// Config.Logger gets what an operator wants to know, once. [Faults] makes dials fail as planned, in tests of your own.
package dialer
