package dialer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

// connectFunc connects to addr, which is ip:port.
type connectFunc func(ctx context.Context, addr string) error

// attempt tries one endpoint, within the connect time-out.
func (d *Dialer) attempt(ctx context.Context, addr string, connect connectFunc) Attempt {
	end := func() {}
	if d.cfg.ConnectTimeout > 0 {
		ctx, end = context.WithTimeout(ctx, d.cfg.ConnectTimeout)
	}
	defer end()
	begin := time.Now()
	err := connect(ctx, addr)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		// Clients take context.DeadlineExceeded for their own deadline (the MongoDB driver's monitor would cut
		// connections that are in use), and this one is ours.
		err = &net.OpError{Op: "dial", Net: "tcp", Addr: tcpAddr(addr), Err: os.ErrDeadlineExceeded}
	}
	return Attempt{Addr: addr, Err: err, Elapsed: time.Since(begin)}
}

func tcpAddr(addr string) net.Addr {
	ip, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil
	}
	return net.TCPAddrFromAddrPort(ip)
}

// connect opens a connection and sets keepalive on it.
func (d *Dialer) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.cfg.DialFunc(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.SetKeepAliveConfig(d.cfg.KeepAlive); err != nil {
			conn.Close()
			return nil, &net.OpError{Op: "set keepalive", Net: network, Addr: conn.RemoteAddr(), Err: err}
		}
	}
	return conn, nil
}
