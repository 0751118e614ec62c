//go:build !linux

package main

import (
	"context"
	"errors"
	"net"
)

var errNoNamespaces = errors.New("network namespaces need Linux")

// namespace is always nil here: the machine's own network.
type namespace struct{}

func newNamespace() (*namespace, error) { return nil, errNoNamespaces }

func (*namespace) do(f func() error) error { return f() }

func (*namespace) close() {}

func (*namespace) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// link is never made here.
type link struct{ server, workers *namespace }

func newLink() (*link, error)         { return nil, errNoNamespaces }
func (*link) close()                  {}
func (*link) silence(_, _ bool) error { return errNoNamespaces }
func (*link) setUp(bool) error        { return errNoNamespaces }
func (*link) moveWorkers() error      { return errNoNamespaces }
