package check

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gvpocr/worker/internal/printable"
	"github.com/gvpocr/worker/internal/services"
)

// advertised checks whether an address that a server hands out can be reached, as the worker would: by its name where
// somebody knows it, else behind the service that handed it out.
func (c *checker) advertised(ctx context.Context, r *Result, address string) {
	begin := time.Now()
	dialing, cancel := context.WithTimeout(ctx, c.cfg.HelloTimeout)
	defer cancel()
	service := c.behind(r.Service)
	conn, err := c.dialer.Behind(service).DialContext(dialing, "tcp", address)
	source := c.source(address)
	if err != nil {
		s := failedStep(Advertised, address, err)
		s.Text = c.unreached(service, address, source, err)
		r.add(s, begin)
		return
	}
	addr := conn.RemoteAddr().String()
	conn.Close()
	step := Step{Name: Advertised, Target: address, OK: true}
	way := addr + ", by " + source
	if strings.HasPrefix(source, "behind ") {
		way = addr + ", " + source
	}
	what, failure, err := c.identify(ctx, r, addr, address)
	switch {
	case err != nil:
		step.OK, step.fault, step.Text = false, other, fmt.Sprintf("connected to %s: %s", way, printable.Error(err))
	case failure != "":
		step.OK, step.fault, step.Text = false, other, fmt.Sprintf("connected to %s: %s", way, failure)
	default:
		step.Text = fmt.Sprintf("reached at %s, and is %s", way, what)
	}
	r.add(step, begin)
}

// identify makes itself known to what an address leads to: an nsqd, or a member of the replica set.
func (c *checker) identify(ctx context.Context, r *Result, addr, address string) (what, failure string, err error) {
	line, err := c.line(addr)
	if err != nil {
		return "", "", err
	}
	defer line.close()
	g := greeting{service: services.Service{Kind: services.NSQD, Address: address}, target: addr, line: line}
	what = "an nsqd"
	if r.Kind == services.MongoDB {
		g.service.Kind, what = services.MongoDB, "a MongoDB"
		if c.uri.names(r.Address) {
			g.uri = c.uri
		}
	}
	if _, err := g.speak(ctx, c.cfg); err != nil {
		return "", c.failedHello(ctx, g, err).Text, nil
	}
	return what, "", nil
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
		why = printable.Error(err)
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
