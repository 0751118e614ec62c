package mainserver

import "net"

// listenOnHost puts the services at the ports that a main server publishes, if there is a Host.
func (c *Config) listenOnHost() {
	if c.Host == "" {
		return
	}
	for port, addr := range map[string]*string{
		"27017": &c.Mongo.Addr,
		"4150":  &c.NSQDAddr,
		"4151":  &c.NSQDHTTPAddr,
		"4160":  &c.LookupdTCPAddr,
		"4161":  &c.LookupdHTTPAddr,
		"5000":  &c.backendAddr,
	} {
		*addr = net.JoinHostPort(c.Host, port)
	}
}
