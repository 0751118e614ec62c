package check

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/internal/services"
)

// found is what answers at an endpoint that does not answer as it should.
type found struct {
	kind   services.Kind // secured, or empty for what is not known
	what   string        // in words; empty for what is not known
	banner string        // what it says unasked
	closes bool          // it closes a connection that says nothing: there is nobody behind it
}

// secured is the kind of a server that speaks TLS; what is spoken inside can't be told without its trust.
const secured services.Kind = "tls"

// lookTimeout bounds the look at one endpoint, unless a hello's bound is shorter. What it looks for answers at once.
const lookTimeout = 1500 * time.Millisecond

// silence is how long a connection is held without a word: a forwarder closes it when its own dial has failed, which takes
// as long as the way to its target.
const silence = time.Second

// greetings are the ways to tell what answers, surest first: a server that knows a protocol says so in no other one's words,
// but MongoDB answers HTTP too, and a server of HTTP over TLS says in plain HTTP what it wants.
var greetings = []func(conn net.Conn) (services.Kind, string){
	greetMongoDB, greetNSQ, greetLookupdTCP, greetSMB, greetTLS, greetHTTP,
}

// look finds out what answers, by a connection for each protocol, side by side. What is recognized ends the looks that are
// less sure.
func look(ctx context.Context, limit time.Duration, dial func(context.Context) (net.Conn, error)) found {
	ctx, cancel := context.WithTimeout(ctx, min(limit, lookTimeout))
	defer cancel()
	results := make([]found, len(greetings)+1) // the last is what is said unasked
	var looks sync.WaitGroup
	for i, greet := range greetings {
		own := ctx
		less, enough := context.WithCancel(own) // for all looks that are less sure
		looks.Go(func() {
			withConn(own, dial, func(conn net.Conn) { results[i].kind, results[i].what = greet(conn) })
			if results[i].kind != "" {
				enough()
			}
		})
		ctx = less
	}
	looks.Go(func() {
		withConn(ctx, dial, func(conn net.Conn) { results[len(greetings)].banner, results[len(greetings)].closes = listenTo(conn) })
	})
	looks.Wait()
	for _, r := range results {
		if r.kind != "" {
			return r
		}
	}
	return results[len(greetings)]
}

// withConn dials and lets f use the connection, which ends with ctx.
func withConn(ctx context.Context, dial func(context.Context) (net.Conn, error), f func(net.Conn)) {
	conn, err := dial(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})()
	f(conn)
}

// listenTo says nothing and waits what comes: words, the end, or silence.
func listenTo(conn net.Conn) (banner string, closes bool) {
	_ = conn.SetReadDeadline(time.Now().Add(silence)) // fails only on a closed connection
	var words [64]byte
	n, err := conn.Read(words[:])
	line, _, _ := strings.Cut(string(words[:n]), "\n")
	return strings.TrimSpace(strings.ToValidUTF8(line, "?")), n == 0 && hungUp(err)
}

func greetMongoDB(conn net.Conn) (services.Kind, string) {
	if _, err := askHello(conn); err == nil || errors.Is(err, errHelloRefused) {
		return services.MongoDB, name(services.MongoDB)
	}
	return "", ""
}

func greetNSQ(conn net.Conn) (services.Kind, string) {
	identify, err := nsq.Identify(map[string]any{"feature_negotiation": true})
	if err != nil {
		return "", ""
	}
	var b bytes.Buffer
	b.Write(nsq.MagicV2)
	if _, err = identify.WriteTo(&b); err == nil {
		_, err = conn.Write(b.Bytes())
	}
	if err != nil {
		return "", ""
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return "", ""
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 1<<16 {
		return "", ""
	}
	frame := make([]byte, n)
	var id struct {
		MaxRDY int `json:"max_rdy_count"`
	}
	if _, err := io.ReadFull(conn, frame); err != nil || json.Unmarshal(frame[4:], &id) != nil || id.MaxRDY == 0 {
		return "", ""
	}
	return services.NSQD, name(services.NSQD)
}

func greetLookupdTCP(conn net.Conn) (services.Kind, string) {
	if pingLookupdTCP(conn) != nil {
		return "", ""
	}
	return services.NSQLookupdTCP, name(services.NSQLookupdTCP)
}

func greetSMB(conn net.Conn) (services.Kind, string) {
	if _, err := conn.Write(smbNegotiate()); err != nil {
		return "", ""
	}
	if _, err := readSMBNegotiate(conn); err == nil || errors.Is(err, errSMBRefused) {
		return services.SMB, name(services.SMB)
	}
	return "", ""
}

func greetTLS(conn net.Conn) (services.Kind, string) {
	err := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "gvpocr.invalid"}).Handshake()
	_, refusesCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	if refusal, ok := errors.AsType[*net.OpError](err); err == nil || refusesCertificate || ok && refusal.Op == "remote error" {
		return secured, "a server that speaks TLS"
	}
	return "", ""
}

// greetHTTP asks for /info, in which nsqd and nsqlookupd tell themselves from each other and from everything else.
func greetHTTP(conn net.Conn) (services.Kind, string) {
	if _, err := io.WriteString(conn, "GET /info HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ocr-worker\r\nConnection: close\r\n\r\n"); err != nil {
		return "", ""
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, 64<<10)), nil)
	if err != nil {
		return "", ""
	}
	defer resp.Body.Close()
	var info map[string]any
	if json.NewDecoder(resp.Body).Decode(&info) == nil && resp.StatusCode == http.StatusOK && info["version"] != nil {
		switch {
		case info["tcp_port"] != nil && info["broadcast_address"] != nil:
			return services.NSQDHTTP, name(services.NSQDHTTP)
		case len(info) == 1:
			return services.NSQLookupd, name(services.NSQLookupd)
		}
	}
	what := name(services.HTTP)
	if server := resp.Header.Get("Server"); server != "" {
		what += fmt.Sprintf(" (%.40q)", server)
	}
	return services.HTTP, what
}

// name is what people call a kind of service.
func name(k services.Kind) string {
	return cmp.Or(map[services.Kind]string{
		services.MongoDB:       "MongoDB",
		services.NSQD:          "nsqd (its TCP port, usually 4150)",
		services.NSQDHTTP:      "nsqd (its HTTP port, usually 4151)",
		services.NSQLookupd:    "nsqlookupd (its HTTP port, usually 4161)",
		services.NSQLookupdTCP: "nsqlookupd (its TCP port, usually 4160)",
		services.HTTP:          "an HTTP server",
		services.HTTPS:         "an HTTPS server",
		services.SMB:           "an SMB file share",
	}[k], "what it should be")
}
