package nsqdial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/httpget"
	"github.com/gvpocr/worker/internal/printable"
	"github.com/gvpocr/worker/resolve"
)

// Bounds of what a nsqlookupd may answer.
const (
	maxLookupBytes = 4 << 20
	maxProducers   = 256

	// What can't be dialed is for people, to find whose it is.
	maxLeftOut      = 8
	maxLeftOutBytes = 300 // more than a host name and a port have
)

// lookup asks nsqlookupds for the nsqds that hold a topic.
type lookup struct {
	urls   []*url.URL
	client *http.Client
}

func newLookup(d *dialer.Dialer, addresses []string, topic string) (*lookup, error) {
	l := &lookup{client: httpget.Client(d.DialContext)}
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

// producers are the nsqds that a lookupd lists, by what they advertise.
type producers struct {
	nsqds   []string // host:port
	leftOut []string // can't be dialed; for people, and not all where there are many
}

// ask asks one lookupd for the nsqds that have the topic.
func (l *lookup) ask(ctx context.Context, u *url.URL) (producers, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	answer, err := httpget.Get(ctx, l.client, u.String(), maxLookupBytes)
	switch {
	case err != nil:
		return producers{}, fmt.Errorf("nsqlookupd %s: %w", u.Host, err)
	case answer.Status == http.StatusNotFound:
		return producers{}, nil // nobody has published on the topic yet
	case answer.Status != http.StatusOK:
		return producers{}, fmt.Errorf("nsqlookupd %s: it answers with status %d", u.Host, answer.Status)
	}
	listed, err := parseProducers(answer.Body)
	if err != nil {
		return producers{}, fmt.Errorf("nsqlookupd %s: %w", u.Host, err)
	}
	return listed, nil
}

// parseProducers reads the answer to /lookup. A producer that can't be dialed is left out: one bad registration must
// not hide the others.
func parseProducers(body []byte) (listed producers, err error) {
	var answer struct {
		Producers []struct {
			BroadcastAddress string `json:"broadcast_address"`
			TCPPort          int    `json:"tcp_port"`
		} `json:"producers"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return listed, fmt.Errorf("the answer is not what nsqlookupd sends: %w", err)
	}
	for _, p := range answer.Producers {
		addr := net.JoinHostPort(p.BroadcastAddress, strconv.Itoa(p.TCPPort))
		switch {
		case !resolve.IsHost(p.BroadcastAddress) || p.TCPPort < 1 || p.TCPPort > 65535:
			if len(listed.leftOut) < maxProducers {
				listed.leftOut = append(listed.leftOut, printable.Line(addr[:min(len(addr), maxLeftOutBytes)]))
			}
		case len(listed.nsqds) < maxProducers:
			listed.nsqds = append(listed.nsqds, addr)
		}
	}
	slices.Sort(listed.leftOut) // a lookupd's order differs from one answer to the next
	listed.leftOut = listed.leftOut[:min(len(listed.leftOut), maxLeftOut)]
	return listed, nil
}
