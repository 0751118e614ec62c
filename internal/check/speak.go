package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/internal/httpget"
	"github.com/gvpocr/worker/internal/printable"
	"github.com/gvpocr/worker/internal/services"
)

// said is what a server answered.
type said struct {
	steps      []Step
	advertised []string // host:port that it hands out
}

func (s *said) add(name, text string, since time.Time) {
	s.steps = append(s.steps, Step{Name: name, OK: true, Text: printable.Line(text), Millis: millis(time.Since(since))})
}

// speak greets a service in its protocol. The error is the connection's or the protocol's; what came before it is
// returned too.
func (g greeting) speak(ctx context.Context, cfg Config) (said, error) {
	l, s := g.line, g.service
	ctx, cancel := context.WithTimeout(ctx, cfg.HelloTimeout)
	defer cancel()
	var answer said
	var err error
	switch s.Kind {
	case services.MongoDB:
		err = l.speakMongoDB(ctx, s.Address, g.uri, &answer)
	case services.NSQD:
		begin := time.Now()
		if err = nsqdial.Ping(ctx, l.dialer, s.Address, cfg.NSQ); err == nil {
			answer.add(Hello, "NSQ: identified and closed", begin.Add(l.took()))
		}
	case services.NSQLookupd:
		err = l.speakLookupd(ctx, s.Address, cfg.Topic, &answer)
	case services.NSQDHTTP:
		err = l.speakNSQDHTTP(ctx, s.Address, &answer)
	case services.NSQLookupdTCP:
		err = l.speakLookupdTCP(ctx, s.Address, &answer)
	case services.HTTP:
		err = l.speakHTTP(ctx, "http://"+s.Address+"/", &answer)
	case services.HTTPS:
		err = l.speakHTTP(ctx, "https://"+s.Address+"/", &answer)
	case services.SMB:
		err = l.speakSMB(ctx, s.Address, &answer)
	default:
		err = l.speakNothing(ctx, s.Address, &answer)
	}
	return answer, err
}

// talk dials and lets f use the connection, which ends with ctx.
func (l *line) talk(ctx context.Context, address string, f func(conn net.Conn) error) error {
	conn, err := l.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})()
	return f(conn)
}

// acceptHold is how long a connection is held of which nothing but its end can be told.
const acceptHold = 300 * time.Millisecond

// speakNothing waits whether a service of an unknown protocol hangs up.
func (l *line) speakNothing(ctx context.Context, address string, s *said) error {
	return l.talk(ctx, address, func(conn net.Conn) error {
		begin := time.Now()
		_ = conn.SetReadDeadline(begin.Add(acceptHold)) // fails only on a closed connection
		_, err := conn.Read(make([]byte, 1))
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			s.add(Hello, "stays open; its protocol is not known here", begin)
			return nil
		}
		return err
	})
}

// maxBody bounds what a server may answer.
const maxBody = 4 << 20

// get asks for a URL and returns the status and the body.
func (l *line) get(ctx context.Context, u string) (int, []byte, error) {
	answer, err := httpget.Get(ctx, httpget.Client(l.dialer.DialContext), u, maxBody)
	return answer.Status, answer.Body, err
}

// errUnwell says that a server answers in its protocol that it can't do its work.
var errUnwell = errors.New("it is not well")

func (l *line) speakHTTP(ctx context.Context, root string, s *said) error {
	begin := time.Now()
	status, _, err := l.get(ctx, root)
	switch {
	case err != nil && !errors.Is(err, httpget.ErrTooLarge):
		return err
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return fmt.Errorf("%w: a gateway answers with status %d: the service behind it is down", errUnwell, status)
	}
	s.add(Hello, fmt.Sprintf("HTTP: status %d", status), begin.Add(l.took()))
	return nil
}
