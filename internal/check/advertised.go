package check

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/internal/services"
)

// advertised checks whether an address that a server hands out can be reached, as the worker would: by its name where
// somebody knows it, else behind the service that handed it out.
func (c *checker) advertised(ctx context.Context, r *Result, address string) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	service := c.behind(r.Service)
	conn, err := c.dialer.Behind(service).DialContext(ctx, "tcp", address)
	source := c.source(address)
	if err != nil {
		s := failedStep(Advertised, address, err)
		s.Text = c.unreached(service, address, source, err)
		r.add(s, begin)
		return
	}
	addr := conn.RemoteAddr().String()
	conn.Close()
	text := fmt.Sprintf("reached at %s, by %s", addr, source)
	if r.Kind == services.NSQLookupd {
		if err := c.identify(ctx, addr, address); err != nil {
			r.add(Step{Name: Advertised, Target: address, Text: fmt.Sprintf("connected to %s, by %s: %v", addr, source, err), fault: other, cause: err}, begin)
			return
		}
		text += ", and is an nsqd"
	}
	r.add(Step{Name: Advertised, Target: address, OK: true, Text: text}, begin)
}

// identify makes itself known to an nsqd at addr.
func (c *checker) identify(ctx context.Context, addr, address string) error {
	line, err := c.line(addr)
	if err != nil {
		return err
	}
	defer line.close()
	err = nsqdial.Ping(ctx, line.dialer, address, c.cfg.NSQ)
	if err != nil && line.closedAtOnce() {
		return fmt.Errorf("it closes the connection at once: a forwarder (such as socat) stands in front of a dead nsqd")
	}
	return err
}

// source says who resolved an advertised address.
func (c *checker) source(address string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[address].Source
}

// unreached says why an advertised address can't be reached, and what to do.
func (c *checker) unreached(service, address, source string, err error) string {
	host, _, _ := net.SplitHostPort(address)
	c.mu.Lock()
	var tried []string
	for _, e := range c.answers[address].Endpoints {
		tried = append(tried, e.Addr)
	}
	c.mu.Unlock()
	why := map[fault]string{refused: "refused", silent: "no answer", unreachable: "no way there"}[faultOf(err)]
	if why == "" {
		why = err.Error()
	}
	variable := "DIAL_" + strings.NewReplacer("-", "_", ".", "_", ":", "_").Replace(strings.ToUpper(host))
	remedy := fmt.Sprintf("set %s=host:port", variable)
	if source == "" || strings.HasPrefix(source, "behind ") {
		return fmt.Sprintf("nothing maps this name; tried behind %s, at %s: %s; %s, or let the server advertise a name that is known here",
			service, list(tried), why, remedy)
	}
	return fmt.Sprintf("%s says %s: %s; %s", source, list(tried), why, remedy)
}

func list(items []string) string {
	if len(items) == 0 {
		return "nowhere"
	}
	return strings.Join(items, ", ")
}
