package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/internal/httpget"
	"github.com/gvpocr/worker/internal/services"
)

// said is what a server answered.
type said struct {
	steps      []Step
	advertised []string // host:port that it hands out
}

func (s *said) add(name, text string, since time.Time) {
	s.steps = append(s.steps, Step{Name: name, OK: true, Text: text, Millis: millis(time.Since(since))})
}

// speak greets a service in its protocol. The error is the connection's or the protocol's; what came before it is
// returned too.
func (l *line) speak(ctx context.Context, s services.Service, cfg Config) (said, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	var answer said
	var err error
	switch s.Kind {
	case services.MongoDB:
		err = l.speakMongoDB(ctx, s.Address, &answer)
	case services.NSQD:
		begin := time.Now()
		if err = nsqdial.Ping(ctx, l.dialer, s.Address, cfg.NSQ); err == nil {
			answer.add(Hello, "NSQ: identified and closed", begin.Add(l.took()))
		}
	case services.NSQLookupd:
		err = l.speakLookupd(ctx, s.Address, cfg.Topic, &answer)
	case services.HTTP:
		err = l.speakHTTP(ctx, s.Address, &answer)
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

// get asks for a path and returns the status and the body.
func (l *line) get(ctx context.Context, address, path string) (int, []byte, error) {
	answer, err := httpget.Get(ctx, httpget.Client(l.dialer.DialContext), "http://"+address+path, maxBody)
	return answer.Status, answer.Body, err
}

func (l *line) speakHTTP(ctx context.Context, address string, s *said) error {
	begin := time.Now()
	status, _, err := l.get(ctx, address, "/")
	switch {
	case err != nil && !errors.Is(err, httpget.ErrTooLarge):
		return err
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return fmt.Errorf("a gateway answers, with status %d: the service behind it is down", status)
	}
	s.add(Hello, fmt.Sprintf("HTTP: status %d", status), begin.Add(l.took()))
	return nil
}

// speakLookupd pings a nsqlookupd and asks it for the nsqds that have the topic, or, where none has, for all.
func (l *line) speakLookupd(ctx context.Context, address, topic string, s *said) error {
	begin := time.Now()
	status, body, err := l.get(ctx, address, "/ping")
	if err == nil && (status != http.StatusOK || string(body) != "OK") {
		err = fmt.Errorf("it answers /ping with status %d: it is not a nsqlookupd", status)
	}
	if err != nil {
		return err
	}
	s.add(Hello, "nsqlookupd: /ping answers OK", begin.Add(l.took()))

	begin = time.Now()
	status, body, err = l.get(ctx, address, "/lookup?topic="+url.QueryEscape(topic))
	text := ""
	if err == nil && status == http.StatusNotFound {
		text = "no nsqd has the topic " + topic + " yet, as before the first job; all that it knows: "
		status, body, err = l.get(ctx, address, "/nodes")
	}
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("it answers with status %d", status)
	}
	if err != nil {
		return err
	}
	if s.advertised, err = producers(body); err != nil {
		return err
	}
	if len(s.advertised) == 0 {
		return errors.New("it knows no nsqd: is nsqd started with --lookupd-tcp-address?")
	}
	s.add(Lookup, text+list(s.advertised), begin)
	return nil
}

func producers(body []byte) ([]string, error) {
	var answer struct {
		Producers []struct {
			BroadcastAddress string `json:"broadcast_address"`
			TCPPort          int    `json:"tcp_port"`
		} `json:"producers"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer is not what nsqlookupd sends: %w", err)
	}
	var addresses []string
	for _, p := range answer.Producers {
		if len(addresses) < maxTargets && len(p.BroadcastAddress) <= 253 {
			addresses = append(addresses, net.JoinHostPort(p.BroadcastAddress, strconv.Itoa(p.TCPPort)))
		}
	}
	return addresses, nil
}
