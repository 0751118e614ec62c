package nsqdial

import (
	"bufio"
	"compress/flate"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/golang/snappy"
	"github.com/nsqio/go-nsq"
)

// dialFunc opens a connection to an address that the caller knows or that nsqlookupd advertised.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// stream is what the protocol runs on: the connection, or TLS and compression over it.
type stream struct {
	io.Reader
	w     io.Writer
	flush func() error
}

// identity is nsqd's answer to IDENTIFY.
type identity struct {
	MaxRDY       int   `json:"max_rdy_count"`
	MsgTimeout   int64 `json:"msg_timeout"` // ms
	TLS          bool  `json:"tls_v1"`
	Deflate      bool  `json:"deflate"`
	Snappy       bool  `json:"snappy"`
	AuthRequired bool  `json:"auth_required"`
}

// handshakeTimeout bounds the few round trips of a handshake. A server that takes longer is frozen, or none.
const handshakeTimeout = 10 * time.Second

// handshake makes a fresh connection ready for commands, and subscribes it if subscribe is given.
func handshake(ctx context.Context, conn net.Conn, name string, cfg *nsq.Config, subscribe *nsq.Command) (*stream, identity, error) {
	deadline := time.Now().Add(min(cfg.ReadTimeout, handshakeTimeout))
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, identity{}, err
	}
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})()
	h := &shaker{stream: plain(conn), conn: conn, cfg: cfg}
	id, err := h.identify()
	switch {
	case err != nil || !cfg.TlsV1:
	case !id.TLS:
		err = errNoTLS // going on in the clear would show the secret and the messages to whoever took the offer out
	default:
		err = h.upgradeTLS(ctx, name)
	}
	switch {
	case err != nil:
	case cfg.Snappy && id.Snappy:
		err = h.upgrade("snappy", snappy.NewReader(h.conn), snappy.NewBufferedWriter(h.conn))
	case cfg.Deflate && id.Deflate:
		var w *flate.Writer
		if w, err = flate.NewWriter(h.conn, cfg.DeflateLevel); err == nil {
			err = h.upgrade("deflate", flate.NewReader(h.conn), w)
		}
	}
	if err == nil && id.AuthRequired {
		err = h.authenticate()
	}
	if err == nil && subscribe != nil {
		err = h.command("SUB", subscribe)
	}
	if err == nil {
		// Writes are bounded one by one from here on, reads by the server's heartbeats.
		err = conn.SetDeadline(time.Time{})
	}
	h.stream.Reader = bufio.NewReader(h.stream.Reader)
	return h.stream, id, err
}

// shaker is the state of one handshake.
type shaker struct {
	stream *stream
	conn   net.Conn // the connection, or TLS over it
	cfg    *nsq.Config
}

// plain reads without a buffer: nsqd sends the first bytes of a compressed stream right behind its answer, and a
// buffer would take them from the one who has to read them.
func plain(conn net.Conn) *stream {
	w := bufio.NewWriter(conn)
	return &stream{conn, w, w.Flush}
}

func (h *shaker) identify() (identity, error) {
	if _, err := h.stream.w.Write(nsq.MagicV2); err != nil {
		return identity{}, err
	}
	cmd, err := nsq.Identify(map[string]any{
		"client_id":             h.cfg.ClientID,
		"hostname":              h.cfg.Hostname,
		"user_agent":            h.cfg.UserAgent,
		"feature_negotiation":   true,
		"tls_v1":                h.cfg.TlsV1,
		"deflate":               h.cfg.Deflate,
		"deflate_level":         h.cfg.DeflateLevel,
		"snappy":                h.cfg.Snappy,
		"heartbeat_interval":    milliseconds(h.cfg.HeartbeatInterval),
		"sample_rate":           h.cfg.SampleRate,
		"output_buffer_size":    h.cfg.OutputBufferSize,
		"output_buffer_timeout": milliseconds(h.cfg.OutputBufferTimeout),
		"msg_timeout":           milliseconds(h.cfg.MsgTimeout),
	})
	if err != nil {
		return identity{}, err
	}
	data, err := h.ask("IDENTIFY", cmd)
	if err != nil {
		return identity{}, err
	}
	var id identity
	if err := json.Unmarshal(data, &id); err != nil {
		return identity{}, fmt.Errorf("IDENTIFY: nsqd is too old to negotiate: %w", err)
	}
	return id, nil
}

// milliseconds leaves -1 alone, with which go-nsq's configuration turns a feature off.
func milliseconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

func (h *shaker) upgradeTLS(ctx context.Context, name string) error {
	conf := &tls.Config{}
	if h.cfg.TlsConfig != nil {
		conf = h.cfg.TlsConfig.Clone()
	}
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(name)
	}
	conn := tls.Client(h.conn, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	h.conn, h.stream = conn, plain(conn)
	_, err := readOK(h.stream, "TLS")
	return err
}

// flusher is a compressing writer.
type flusher interface {
	io.Writer
	Flush() error
}

func (h *shaker) upgrade(what string, r io.Reader, w flusher) error {
	h.stream = &stream{r, w, w.Flush}
	_, err := readOK(h.stream, what)
	return err
}

func (h *shaker) authenticate() error {
	if h.cfg.AuthSecret == "" {
		return errors.New("AUTH: nsqd asks for a secret, and none is set (AuthSecret, NSQ_AUTH_SECRET)")
	}
	cmd, err := nsq.Auth(h.cfg.AuthSecret)
	if err != nil {
		return err
	}
	err = h.command("AUTH", cmd)
	if refused, ok := errors.AsType[*ServerError](err); ok {
		// What a server says ends in a log, and this one knows the secret.
		hide := strings.NewReplacer(h.cfg.AuthSecret, "(the secret)")
		return fmt.Errorf("AUTH: %w", &ServerError{hide.Replace(refused.Code), hide.Replace(refused.Text)})
	}
	return err
}

func (h *shaker) command(name string, cmd *nsq.Command) error {
	_, err := h.ask(name, cmd)
	return err
}

func (h *shaker) ask(name string, cmd *nsq.Command) ([]byte, error) {
	if err := h.stream.write(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return readOK(h.stream, name)
}

func (s *stream) write(cmd *nsq.Command) error {
	if _, err := cmd.WriteTo(s.w); err != nil {
		return err
	}
	return s.flush()
}
