package jobs

import (
	"context"
	"net"
	"sync"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// dialTimeout bounds one dial of the driver's: shorter than an operation, so that the operation's error can say why
// there is no connection.
const dialTimeout = operationTimeout / 2

// dials dials for the driver and remembers the last failure.
type dials struct {
	dialer options.ContextDialer

	mu   sync.Mutex // guards last
	last error
}

// DialContext is the driver's dial function.
func (d *dials) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := d.dialer.DialContext(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
	return conn, err
}

// failure returns the error of the last dial, or nil if that succeeded.
func (d *dials) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}
