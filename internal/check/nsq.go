package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gvpocr/worker/resolve"
)

// pingLookupdTCP greets as an nsqd does that registers, and leaves (nsqlookupd's protocol V1: lines to it, answers behind
// their length).
func pingLookupdTCP(conn net.Conn) error {
	if _, err := io.WriteString(conn, "  V1PING\n"); err != nil {
		return err
	}
	var answer [6]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if string(answer[:]) != "\x00\x00\x00\x02OK" {
		return errors.New("it does not answer as nsqlookupd does")
	}
	return nil
}

func (l *line) speakLookupdTCP(ctx context.Context, address string, s *said) error {
	return l.talk(ctx, address, func(conn net.Conn) error {
		begin := time.Now()
		if err := pingLookupdTCP(conn); err != nil {
			return err
		}
		s.add(Hello, "nsqlookupd: answers where nsqds register", begin)
		return nil
	})
}

// speakNSQDHTTP asks nsqd whether it is well: /ping says what keeps it from storing messages.
func (l *line) speakNSQDHTTP(ctx context.Context, address string, s *said) error {
	begin := time.Now()
	status, body, err := l.get(ctx, "http://"+address+"/ping")
	switch {
	case err != nil:
		return err
	case status == http.StatusInternalServerError:
		return fmt.Errorf("%w: nsqd answers /ping with %.200q", errUnwell, body)
	case status != http.StatusOK || string(body) != "OK":
		return fmt.Errorf("it answers /ping with status %d, as nsqd does not", status)
	}
	s.add(Hello, "nsqd: /ping answers OK", begin.Add(l.took()))
	return nil
}

// speakLookupd pings a nsqlookupd and asks it for the nsqds that have the topic, or, where none has, for all.
func (l *line) speakLookupd(ctx context.Context, address, topic string, s *said) error {
	begin := time.Now()
	status, body, err := l.get(ctx, "http://"+address+"/ping")
	if err == nil && (status != http.StatusOK || string(body) != "OK") {
		err = fmt.Errorf("it answers /ping with status %d: it is not a nsqlookupd", status)
	}
	if err != nil {
		return err
	}
	s.add(Hello, "nsqlookupd: /ping answers OK", begin.Add(l.took()))

	begin = time.Now()
	status, body, err = l.get(ctx, "http://"+address+"/lookup?topic="+url.QueryEscape(topic))
	text := ""
	if err == nil && status == http.StatusNotFound {
		text = "no nsqd has the topic " + topic + " yet, as before the first job; all that it knows: "
		status, body, err = l.get(ctx, "http://"+address+"/nodes")
	}
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("it answers with status %d", status)
	}
	if err != nil {
		return err
	}
	var unusable int
	if s.advertised, unusable, err = producers(body); err != nil {
		return err
	}
	if len(s.advertised) == 0 && unusable > 0 {
		return errors.New("of the nsqds that it knows none advertises a host name and a port: set nsqd's --broadcast-address")
	}
	if len(s.advertised) == 0 {
		return errors.New("it knows no nsqd: is nsqd started with --lookupd-tcp-address?")
	}
	text += list(s.advertised)
	if unusable > 0 {
		text += fmt.Sprintf("; left out, since what they advertise is no host name and port: %d", unusable)
	}
	s.add(Lookup, text, begin)
	return nil
}

// producers returns the addresses that nsqds have registered, and how many can't be dialed.
func producers(body []byte) (addresses []string, unusable int, err error) {
	var answer struct {
		Producers []struct {
			BroadcastAddress string `json:"broadcast_address"`
			TCPPort          int    `json:"tcp_port"`
		} `json:"producers"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, 0, fmt.Errorf("the answer is not what nsqlookupd sends: %w", err)
	}
	for _, p := range answer.Producers {
		switch {
		case !resolve.IsHost(p.BroadcastAddress), p.TCPPort < 1, p.TCPPort > 65535:
			unusable++
		case len(addresses) < maxTargets:
			addresses = append(addresses, net.JoinHostPort(p.BroadcastAddress, strconv.Itoa(p.TCPPort)))
		}
	}
	return addresses, unusable, nil
}
