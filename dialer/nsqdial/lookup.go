package nsqdial

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
	"strings"
	"time"

	"github.com/gvpocr/worker/dialer"
)

// Bounds of what a nsqlookupd may answer.
const (
	maxLookupBytes = 4 << 20
	maxProducers   = 256
)

// lookup asks nsqlookupds for the nsqds that hold a topic.
type lookup struct {
	urls   []*url.URL
	client *http.Client
}

func newLookup(d *dialer.Dialer, addresses []string, topic string) (*lookup, error) {
	l := &lookup{client: lookupClient(d)}
	for _, address := range addresses {
		u, err := lookupURL(address)
		if err != nil {
			return nil, err
		}
		u.RawQuery = url.Values{"topic": {topic}}.Encode()
		l.urls = append(l.urls, u)
	}
	return l, nil
}

func lookupClient(d *dialer.Dialer) *http.Client {
	return &http.Client{
		// Polls are minutes apart: a connection of its own each costs less than one that is kept.
		Transport: &http.Transport{
			DialContext:            d.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		// A redirect would lead away from the main server that was named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// withoutURL drops what *url.Error repeats.
func withoutURL(u *url.URL, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return fmt.Errorf("nsqlookupd %s: %w", u.Host, err)
}

func lookupURL(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("nsqdial: Lookupds: an address is neither host:port nor a URL")
	}
	if u.User != nil {
		return nil, errors.New("nsqdial: Lookupds: an address holds a user or password, which nsqlookupd does not know")
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil || u.Scheme != "http" {
		return nil, fmt.Errorf("nsqdial: Lookupds: %s is not host:port with http:// or without", u.Redacted())
	}
	return u.JoinPath("lookup"), nil
}

// lookupTimeout bounds one question beyond the dial's budget: nsqlookupd answers from memory.
const lookupTimeout = 20 * time.Second

// ask asks one lookupd for the nsqds that have the topic.
func (l *lookup) ask(ctx context.Context, u *url.URL) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, withoutURL(u, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxLookupBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("nsqlookupd %s: %w", u.Host, err)
	case len(body) > maxLookupBytes:
		return nil, fmt.Errorf("nsqlookupd %s: its answer is larger than %d bytes", u.Host, maxLookupBytes)
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil // nobody has published on the topic yet
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("nsqlookupd %s: it answers with status %d", u.Host, resp.StatusCode)
	}
	nsqds, err := parseProducers(body)
	if err != nil {
		return nil, fmt.Errorf("nsqlookupd %s: %w", u.Host, err)
	}
	return nsqds, nil
}

// parseProducers reads the answer to /lookup. A producer that can't be dialed is left out: one bad registration must
// not hide the others.
func parseProducers(body []byte) ([]string, error) {
	var answer struct {
		Producers []struct {
			BroadcastAddress string `json:"broadcast_address"`
			TCPPort          int    `json:"tcp_port"`
		} `json:"producers"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer is not what nsqlookupd sends: %w", err)
	}
	var nsqds []string
	for _, p := range answer.Producers {
		if len(nsqds) == maxProducers || p.BroadcastAddress == "" || len(p.BroadcastAddress) > 253 || p.TCPPort < 1 || p.TCPPort > 65535 {
			continue
		}
		nsqds = append(nsqds, net.JoinHostPort(p.BroadcastAddress, strconv.Itoa(p.TCPPort)))
	}
	return nsqds, nil
}
