package nsqdial_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
	"github.com/nsqio/nsq/nsqd"

	"github.com/gvpocr/worker/dialer/nsqdial"
)

// certificate writes a self-signed certificate for nsqd-proxy.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nsqd"}, DNSNames: []string{"nsqd-proxy"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{
		certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return certFile, keyFile, pool
}

func TestEveryFeatureOfGoNSQsConfigurationWorks(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("secret") != "s3cret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Write([]byte(`{"ttl":60,"identity":"worker","authorizations":[{"permissions":["subscribe","publish"],"topic":".*","channels":[".*"]}]}`))
	}))
	t.Cleanup(auth.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for name, test := range map[string]struct {
		server func(*nsqd.Options)
		client func(*nsq.Config)
	}{
		"plain":   {func(*nsqd.Options) {}, func(*nsq.Config) {}},
		"snappy":  {func(*nsqd.Options) {}, func(c *nsq.Config) { c.Snappy = true }},
		"deflate": {func(*nsqd.Options) {}, func(c *nsq.Config) { c.Deflate = true }},
		"TLS": {
			func(o *nsqd.Options) { o.TLSCert, o.TLSKey, o.TLSRequired = certFile, keyFile, nsqd.TLSRequired },
			func(c *nsq.Config) { c.TlsV1, c.TlsConfig = true, &tls.Config{RootCAs: pool} },
		},
		"TLS and snappy": {
			func(o *nsqd.Options) { o.TLSCert, o.TLSKey = certFile, keyFile },
			func(c *nsq.Config) { c.TlsV1, c.Snappy, c.TlsConfig = true, true, &tls.Config{RootCAs: pool} },
		},
		"auth": {
			func(o *nsqd.Options) { o.AuthHTTPAddresses = []string{strings.TrimPrefix(auth.URL, "http://")} },
			func(c *nsq.Config) { c.AuthSecret = "s3cret" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := startNSQD(t, test.server)
			cfg := nsqdial.NewConfig()
			test.client(cfg)
			p, err := nsqdial.NewProducer(nsqdial.ProducerConfig{Dialer: b.dialer, NSQD: "nsqd-proxy:4150", NSQ: cfg})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			big := strings.Repeat("large ", 20_000)
			for _, body := range []string{"a", big, "c"} {
				if err := p.Publish(t.Context(), topic, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			b.consume(func(c *nsqdial.ConsumerConfig) {
				c.Lookupds, c.NSQDs, c.NSQ, c.MaxInFlight = nil, []string{"nsqd-proxy:4150"}, cfg, 2
			}, nil)
			b.await("a", big, "c")
		})
	}
}

func TestAWrongSecretOrCertificateIsRefusedWithoutShowingIt(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	b := startNSQD(t, func(o *nsqd.Options) { o.TLSCert, o.TLSKey = certFile, keyFile })
	cfg := nsqdial.NewConfig()
	cfg.TlsV1 = true
	cfg.AuthSecret = "s3cret"
	err := nsqdial.Ping(t.Context(), b.dialer, "nsqd-proxy:4150", cfg)
	if err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}
