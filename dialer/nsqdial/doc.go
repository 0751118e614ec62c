// Package nsqdial consumes from and publishes to nsqd over a [dialer.Dialer].
//
// It speaks through go-nsq's messages, commands and configuration, so a handler written for go-nsq's Consumer works
// here as it is. The connections are the dialer's: go-nsq itself opens its own, to one address for life, notices a
// lost one only when the handlers that hold its messages end, and waits for the next poll before it connects again.
//
// A [Consumer] finds nsqds through any number of nsqlookupds, each asked in its own time, and dials the names that they
// advertise behind the service (see [dialer.Dialer.Behind]). It connects again as soon as the dialer finds the server,
// while the handlers of the lost connection still run; it touches messages while they are handled, and knows them again
// when nsqd sends them a second time. When a service moves it connects to the new place before it leaves the old one;
// while only one answer says so, it consumes both.
// A [Producer] follows its nsqd in the same way.
//
// TLS, compression and authentication are those of go-nsq's configuration, negotiated by nsqd's own protocol. The
// dialer's TLS, and its spares, are not for nsqds.
package nsqdial
