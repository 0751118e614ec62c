// Package nsqdial consumes from and publishes to nsqd over a [dialer.Dialer].
//
// It speaks through go-nsq's messages, commands and configuration, so a handler written for go-nsq's Consumer works
// here as it is. The connections are the dialer's: go-nsq itself opens its own, to one address for life, notices a
// lost one only when the handlers that hold its messages end, and waits for the next poll before it connects again.
//
// A [Consumer] finds nsqds through nsqlookupd and dials the names that it advertises behind the service (see
// [dialer.Dialer.Behind]); it connects again as soon as a connection is lost, while the handlers of the lost one still
// run; and it touches messages while they are handled.
package nsqdial
