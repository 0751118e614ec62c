package dialer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/resolve"
)

// identity is a self-signed certificate with its key, as files.
type identity struct {
	certFile, keyFile string
	cert              tls.Certificate
}

func newIdentity(t testing.TB, dir, name string, until time.Time) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	id := identity{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	for file, data := range map[string][]byte{id.certFile: certPEM, id.keyFile: keyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if id.cert, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return id
}

// gateway is a TLS server; each connection that it accepts, with its handshake done, goes to accepted.
func gateway(t testing.TB, conf *tls.Config) (addr string, accepted chan *tls.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = make(chan *tls.Conn, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			secured := tls.Server(conn, conf)
			if secured.Handshake() != nil {
				conn.Close()
				continue
			}
			accepted <- secured
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
		for len(accepted) > 0 {
			(<-accepted).Close()
		}
	})
	return listener.Addr().String(), accepted
}

func secureDialer(t testing.TB, addr string, c dialer.TLSConfig) *dialer.Dialer {
	t.Helper()
	d, err := dialer.New(dialer.Config{
		Resolver: static(t, map[string]string{"db": addr}),
		TLS:      map[string]dialer.TLSConfig{"db": c},
		Budget:   2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestATLSConnectionHasNoSyscallConn(t *testing.T) {
	id := newIdentity(t, t.TempDir(), "db", time.Now().Add(time.Hour))
	addr, _ := gateway(t, &tls.Config{Certificates: []tls.Certificate{id.cert}})
	d := secureDialer(t, addr, dialer.TLSConfig{CAFile: id.certFile})
	conn, err := d.DialContext(t.Context(), "tcp", "db:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(syscall.Conn); ok {
		t.Error("SyscallConn would bypass the encryption")
	}
	if n, ok := conn.(interface{ NetConn() net.Conn }); !ok || n.NetConn() == nil {
		t.Error("no NetConn")
	}
}

func TestEveryWayToASecuredNameIsSecured(t *testing.T) {
	id := newIdentity(t, t.TempDir(), "mongodb-proxy", time.Now().Add(time.Hour))
	addr, accepted := gateway(t, &tls.Config{Certificates: []tls.Certificate{id.cert}})
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, configured := range []string{"mongodb-proxy", "MongoDB-Proxy", "mongodb-proxy."} {
		d, err := dialer.New(dialer.Config{
			Resolver: static(t, map[string]string{"mongodb-proxy": host}),
			TLS:      map[string]dialer.TLSConfig{configured: {CAFile: id.certFile, ServerName: "mongodb-proxy"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		behind := d.Behind("mongodb-proxy")
		for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
			"mongodb-proxy": d.DialContext, "MONGODB-PROXY": d.DialContext, "mongodb-proxy.": d.DialContext,
			"gvpocr-mongo-1": behind.DialContext,
		} {
			conn, err := dial(t.Context(), "tcp", net.JoinHostPort(name, port))
			if err != nil {
				t.Errorf("TLS for %s, %s: %v", configured, name, err)
				continue
			}
			wantTLS(t, conn, accepted, configured, name)
		}
		d.Close()
	}
}

// wantTLS checks that a connection to name is secured because configured is, and closes both of its ends.
func wantTLS(t *testing.T, conn net.Conn, accepted <-chan *tls.Conn, configured, name string) {
	t.Helper()
	defer conn.Close()
	if _, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); !ok {
		t.Errorf("TLS for %s, and %s is dialed without: %T", configured, name, conn)
		return
	}
	(<-accepted).Close()
}

func TestAllNamesOfASecuredServiceAreSecured(t *testing.T) {
	id := newIdentity(t, t.TempDir(), "db", time.Now().Add(time.Hour))
	addr, accepted := gateway(t, &tls.Config{Certificates: []tls.Certificate{id.cert}})
	resolver, err := resolve.Env([]string{"DIAL_MONGODB_PROXY=" + addr})
	if err != nil {
		t.Fatal(err)
	}
	for _, configured := range []string{"mongodb-proxy", "mongodb"} {
		d, err := dialer.New(dialer.Config{
			Resolver: resolver, TLS: map[string]dialer.TLSConfig{configured: {CAFile: id.certFile, ServerName: "db"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"mongodb-proxy", "mongodb", "gvpocr-mongodb"} {
			conn, err := d.DialContext(t.Context(), "tcp", name+":27017")
			if err != nil {
				t.Fatal(err)
			}
			wantTLS(t, conn, accepted, configured, name)
		}
		d.Close()
	}
}

func TestANameOfAnotherWorldWithTLSOfItsOwnIsSecured(t *testing.T) {
	id := newIdentity(t, t.TempDir(), "gvpocr-mongo-1", time.Now().Add(time.Hour))
	addr, _ := gateway(t, &tls.Config{Certificates: []tls.Certificate{id.cert}})
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{
		Resolver: static(t, map[string]string{"mongodb-proxy": host}),
		TLS:      map[string]dialer.TLSConfig{"gvpocr-mongo-1": {CAFile: id.certFile}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	conn, err := d.Behind("mongodb-proxy").DialContext(t.Context(), "tcp", net.JoinHostPort("gvpocr-mongo-1", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); !ok {
		t.Errorf("dialed without: %T", conn)
	}
}

func TestTwoSettingsForOneNameAreRefused(t *testing.T) {
	if _, err := dialer.New(dialer.Config{TLS: map[string]dialer.TLSConfig{"db": {}, "DB.": {}}, Spares: map[string]int{"a": 1, "A": 2}}); err == nil ||
		!strings.Contains(err.Error(), "TLS: DB. and db are one name") || !strings.Contains(err.Error(), "Spares: A and a are one name") {
		t.Errorf("got %v", err)
	}
	for _, variable := range []string{"DIALER_TLS=db=ca:/x,db=server_name:y", "DIALER_SPARES=db=1,db=2"} {
		if _, err := dialer.ConfigFromEnv([]string{variable}); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s: got %v", variable, err)
		}
	}
}

func TestACertificateThatIsRefusedIsNoFailureOfTheServer(t *testing.T) {
	id := newIdentity(t, t.TempDir(), "elsewhere", time.Now().Add(time.Hour))
	addr, _ := gateway(t, &tls.Config{Certificates: []tls.Certificate{id.cert}})
	d := secureDialer(t, addr, dialer.TLSConfig{CAFile: id.certFile})
	for range 12 {
		_, err := d.DialContext(t.Context(), "tcp", "db:1")
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
			t.Fatalf("got %v", err)
		}
		<-time.After(60 * time.Millisecond) // failures that are nearer count once
	}
}

func TestAWrongCertificateFailsAtOnceAndSaysWhy(t *testing.T) {
	for name, test := range map[string]struct {
		certName string
		until    time.Time
		want     string
	}{
		"for another name": {"elsewhere", time.Now().Add(time.Hour), "elsewhere, not db"},
		"expired":          {"db", time.Now().Add(-time.Hour), "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			id := newIdentity(t, t.TempDir(), test.certName, test.until)
			addr, _ := gateway(t, &tls.Config{Certificates: []tls.Certificate{id.cert}})
			d := secureDialer(t, addr, dialer.TLSConfig{CAFile: id.certFile})
			_, err := d.DialContext(t.Context(), "tcp", "db:1")
			if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if s := d.Stats().Names[0].Endpoints[0]; s.Dials != 1 {
				t.Errorf("%d dials; another can't mend it", s.Dials)
			}
		})
	}
}

func TestClientCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	serverID := newIdentity(t, t.TempDir(), "gateway", time.Now().Add(time.Hour))
	dir := t.TempDir()
	clientID := newIdentity(t, dir, "first", time.Now().Add(time.Hour))
	addr, accepted := gateway(t, &tls.Config{Certificates: []tls.Certificate{serverID.cert}, ClientAuth: tls.RequireAnyClientCert})
	d := secureDialer(t, addr, dialer.TLSConfig{
		CAFile: serverID.certFile, CertFile: clientID.certFile, KeyFile: clientID.keyFile, ServerName: "gateway",
	})
	for i, want := range []string{"first", "second", "second"} {
		switch i {
		case 1:
			newIdentity(t, dir, "second", time.Now().Add(time.Hour))
		case 2: // caught in the middle of being replaced: the last good one serves
			if err := os.WriteFile(clientID.certFile, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		conn, err := d.DialContext(t.Context(), "tcp", "db:1")
		if err != nil {
			t.Fatal(err)
		}
		server := <-accepted
		if got := server.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("dial %d showed %q, want %q", i, got, want)
		}
		conn.Close()
		server.Close()
	}
}

func TestASpareThatCannotBeCheckedIsNotMadeOverAndOver(t *testing.T) {
	id := newIdentity(t, t.TempDir(), "db", time.Now().Add(time.Hour))
	addr, _ := gateway(t, &tls.Config{Certificates: []tls.Certificate{id.cert}})
	var dials atomic.Int32
	d, err := dialer.New(dialer.Config{
		Resolver: static(t, map[string]string{"db": addr}),
		TLS:      map[string]dialer.TLSConfig{"db": {CAFile: id.certFile}},
		Spares:   map[string]int{"db": 1},
		DialFunc: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return struct{ net.Conn }{conn}, err // no *net.TCPConn, whose state could be asked for
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	conn, err := d.DialContext(t.Context(), "tcp", "db:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-time.After(300 * time.Millisecond) // a loop would dial dozens of times
	if n := dials.Load(); n > 2 {
		t.Errorf("%d dials for one connection and one try at a spare", n)
	}
}

func TestTLSSettingsAreReadFromTheEnvironment(t *testing.T) {
	cfg, err := dialer.ConfigFromEnv([]string{"DIALER_TLS=db=ca:/ca.pem;cert:/c.pem;key:/k.pem;server_name:db.example,backend=ca:/b.pem"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]dialer.TLSConfig{
		"db": {CAFile: "/ca.pem", CertFile: "/c.pem", KeyFile: "/k.pem", ServerName: "db.example"}, "backend": {CAFile: "/b.pem"},
	}
	if diff := cmp.Diff(want, cfg.TLS); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, bad := range []string{"db", "db=ca", "db=ca:", "=ca:/ca.pem", "db=sni:x"} {
		if _, err := dialer.ConfigFromEnv([]string{"DIALER_TLS=" + bad}); err == nil || !strings.Contains(err.Error(), "DIALER_TLS: ") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestNewRefusesTLSFilesThatCannotBeRead(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]dialer.TLSConfig{
		"missing": {CAFile: "/nowhere/ca.pem"}, "empty": {CAFile: empty}, "no key": {CertFile: empty},
	} {
		if _, err := dialer.New(dialer.Config{TLS: map[string]dialer.TLSConfig{"db": c}}); err == nil || !strings.Contains(err.Error(), "TLS: db") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
