package dialer

import (
	"context"
	"fmt"
	"time"
)

// Refresh asks anew where a name leads, whatever the TTL of the last answer, and waits for what is answered: for who has learned in
// another way that it may have moved. An answer that is less than a second old is left. The error is ctx's, whose end says that
// no name server has answered, or that of a bad address.
func (d *Dialer) Refresh(ctx context.Context, address string) error {
	host, port, err := splitAddress("tcp", address)
	if err != nil {
		return fmt.Errorf("refresh %s: %w", address, err)
	}
	if isAddress(host) {
		return nil
	}
	_, before, _ := d.cache.Follow(host, port)
	if time.Since(before) < time.Second {
		return nil
	}
	for {
		_, at, next := d.cache.Follow(host, port)
		if !at.Equal(before) || next == nil { // of a closed cache
			return nil
		}
		d.cache.Refresh(host, port)
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("refresh %s: %w", address, context.Cause(ctx))
		}
	}
}
