package dialer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// TLSConfig is how connections of one logical name are secured, for a gateway on the main server that ends TLS. The
// files are PEM, and are read again when they change. Connections are never below TLS 1.2.
type TLSConfig struct {
	CAFile     string // what the server's certificate is verified by; empty = the system's authorities
	CertFile   string // the client's certificate, if the server asks for one
	KeyFile    string // and its key
	ServerName string // what the server's certificate must be for; empty = the logical name
}

// parseTLS reads mongodb-proxy=ca:/ca.pem;cert:/c.pem;key:/k.pem;server_name:db.example,other=...
func parseTLS(text string) (map[string]TLSConfig, error) {
	if text == "" {
		return nil, nil
	}
	configs := map[string]TLSConfig{}
	for entry := range strings.SplitSeq(text, ",") {
		name, settings, ok := strings.Cut(strings.TrimSpace(entry), "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("DIALER_TLS: %q is not name=setting:value;…", entry)
		}
		var c TLSConfig
		for setting := range strings.SplitSeq(settings, ";") {
			key, value, _ := strings.Cut(setting, ":")
			field, ok := map[string]*string{
				"ca": &c.CAFile, "cert": &c.CertFile, "key": &c.KeyFile, "server_name": &c.ServerName,
			}[key]
			if !ok || value == "" {
				return nil, fmt.Errorf("DIALER_TLS: %s: %q is not ca:FILE, cert:FILE, key:FILE or server_name:NAME", name, setting)
			}
			*field = value
		}
		if _, twice := configs[name]; twice {
			return nil, fmt.Errorf("DIALER_TLS: %s stands there twice; join its settings with ;", name)
		}
		configs[name] = c
	}
	return configs, nil
}

// tlsFiles is a TLSConfig with what its files hold.
type tlsFiles struct {
	cfg    TLSConfig
	loaded atomic.Pointer[loadedTLS]
}

type loadedTLS struct {
	stamp string // of the files
	conf  *tls.Config
}

// newTLSFiles reads the files for the first time.
func newTLSFiles(name string, cfg TLSConfig) (*tlsFiles, error) {
	if (cfg.CertFile == "") != (cfg.KeyFile == "") {
		return nil, fmt.Errorf("dialer: TLS: %s: CertFile and KeyFile belong together", name)
	}
	if cfg.ServerName == "" {
		cfg.ServerName = name
	}
	f := &tlsFiles{cfg: cfg}
	if _, err := f.config(); err != nil {
		return nil, fmt.Errorf("dialer: TLS: %s: %w", name, err)
	}
	return f, nil
}

// config returns what the files say. While changed files can't be read, as in the middle of being replaced, the last
// good ones serve.
func (f *tlsFiles) config() (*tls.Config, error) {
	stamp := f.stamp()
	last := f.loaded.Load()
	if last != nil && last.stamp == stamp {
		return last.conf, nil
	}
	conf, err := f.load()
	if err != nil {
		if last != nil {
			return last.conf, nil
		}
		return nil, err
	}
	f.loaded.Store(&loadedTLS{stamp, conf})
	return conf, nil
}

func (f *tlsFiles) stamp() string {
	var b strings.Builder
	for _, name := range []string{f.cfg.CAFile, f.cfg.CertFile, f.cfg.KeyFile} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d %d ", info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

func (f *tlsFiles) load() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.cfg.ServerName}
	if f.cfg.CAFile != "" {
		pem, err := os.ReadFile(f.cfg.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", f.cfg.CAFile)
		}
	}
	if f.cfg.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(f.cfg.CertFile, f.cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", f.cfg.CertFile, f.cfg.KeyFile, err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

// secure makes TLS of a fresh connection.
func (f *tlsFiles) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	conf, err := f.config()
	if err != nil {
		return nil, err
	}
	secured := tls.Client(&underTLS{Conn: conn}, conf)
	if err := secured.HandshakeContext(ctx); err != nil {
		if advice := tlsAdvice(err); advice != "" {
			return nil, fmt.Errorf("TLS: %w; %s", err, advice)
		}
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured, nil
}

// tlsAdvice says what a person can do about a handshake that failed, where that is known.
func tlsAdvice(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "set server_name in DIALER_TLS to the name that the certificate is for, or have the server get another"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "renew the server's certificate, or set this machine's clock"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "set ca in DIALER_TLS to the certificate of the authority that signed the server's"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS there: is the port right, and does the name belong into DIALER_TLS?"
	}
	return ""
}

// refusedCertificate reports whether a TLS handshake failed for a reason that only a person can mend.
func refusedCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// tlsConn is a TLS connection. It offers no SyscallConn: bytes that bypass it would not be encrypted.
type tlsConn struct {
	*tls.Conn
	under   *underTLS  // nil if a DialFunc of the caller's made the connection
	writing sync.Mutex // held during a Write, so that two do not mix
	s       connState
}

func newTLSConn(raw *tls.Conn) *tlsConn {
	under, _ := raw.NetConn().(*underTLS)
	return &tlsConn{Conn: raw, under: under}
}

func (c *tlsConn) state() *connState { return &c.s }

func (c *tlsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.read(n, err)
	return n, err
}

// Close is tcpConn's.
func (c *tlsConn) Close() error { return c.s.close(byProgram) }

// Leaving is tcpConn's.
func (c *tlsConn) Leaving() <-chan struct{} { return c.s.leaving() }

// Missing is tcpConn's.
func (c *tlsConn) Missing() <-chan struct{} { return c.s.missing() }

// CloseWrite is tcpConn's.
func (c *tlsConn) CloseWrite() error {
	c.s.endpoint.abandoned(&c.s.trial)
	err := c.Conn.CloseWrite()
	if err == nil && c.under != nil {
		err = c.under.kept() // a Write before it was cut by its deadline, and the end can't go out either
	}
	return err
}

// Secures reports whether connections that are dialed by name are secured, because the Dialer's TLS names it or another
// name of its service.
func (d *Dialer) Secures(name string) bool {
	_, ok := d.tls.of(name)
	return ok
}
