package dialer

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/gvpocr/worker/resolve"
)

// permanent reports whether another pass can't mend the dial.
func (e *DialError) permanent() bool {
	switch {
	case e.final:
		return true
	case e.unresolved == nil:
		// An endpoint that refuses, is silent or can't be reached may be back in a second.
		return false
	case errors.Is(e.unresolved, resolve.ErrNotFound):
		// Nobody knows the name. Waiting would turn a misspelled name into a hang of a whole budget.
		return true
	default:
		// A name server that does not answer, or a target whose host DNS lost, may be back.
		return false
	}
}

// splitAddress checks what the caller asked for, before anything is resolved.
func splitAddress(network, address string) (host, port string, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return "", "", net.UnknownNetworkError(network)
	}
	host, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", err // a *net.AddrError, which names the address
	}
	if host == "" {
		return "", "", fmt.Errorf("address %q: the host is missing", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("address %q: the port must be a number from 1 to 65535", address)
	}
	return host, port, nil
}
