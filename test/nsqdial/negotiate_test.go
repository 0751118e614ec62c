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
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
	"github.com/nsqio/nsq/nsqd"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
	"github.com/gvpocr/worker/ocrworker"
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

// authServer stands in for the server that nsqd asks about a client's secret; it knows s3cret.
func authServer(t *testing.T) (address string) {
	t.Helper()
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("secret") != "s3cret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Write([]byte(`{"ttl":60,"identity":"worker","authorizations":[{"permissions":["subscribe","publish"],"topic":".*","channels":[".*"]}]}`))
	}))
	t.Cleanup(auth.Close)
	return strings.TrimPrefix(auth.URL, "http://")
}

func TestEveryFeatureOfGoNSQsConfigurationWorks(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	ours, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	auth := authServer(t)
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
		"TLS and deflate": {
			func(o *nsqd.Options) { o.TLSCert, o.TLSKey = certFile, keyFile },
			func(c *nsq.Config) { c.TlsV1, c.Deflate, c.TlsConfig = true, true, &tls.Config{RootCAs: pool} },
		},
		"TLS with a client's certificate": {
			func(o *nsqd.Options) {
				o.TLSCert, o.TLSKey, o.TLSClientAuthPolicy, o.TLSRootCAFile = certFile, keyFile, "require-verify", certFile
			},
			func(c *nsq.Config) {
				c.TlsV1, c.TlsConfig = true, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{ours}}
			},
		},
		"auth": {
			func(o *nsqd.Options) { o.AuthHTTPAddresses = []string{auth} },
			func(c *nsq.Config) { c.AuthSecret = "s3cret" },
		},
		"TLS, snappy and auth": {
			func(o *nsqd.Options) { o.TLSCert, o.TLSKey, o.AuthHTTPAddresses = certFile, keyFile, []string{auth} },
			func(c *nsq.Config) {
				c.TlsV1, c.Snappy, c.AuthSecret, c.TlsConfig = true, true, "s3cret", &tls.Config{RootCAs: pool}
			},
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

func TestAnNSQDThatIsNotTrustedIsRefusedAndTheSecretNotShown(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	auth := authServer(t)
	secured := func(o *nsqd.Options) { o.TLSCert, o.TLSKey = certFile, keyFile }
	for name, test := range map[string]struct {
		server func(*nsqd.Options)
		client func(*nsq.Config)
		says   string
	}{
		"of an unknown authority": {secured, func(c *nsq.Config) { c.TlsV1 = true }, "certificate"},
		"of another name": {
			secured, func(c *nsq.Config) { c.TlsV1, c.TlsConfig = true, &tls.Config{RootCAs: pool, ServerName: "other"} }, "certificate",
		},
		"without the TLS that is asked for": {
			func(*nsqd.Options) {}, func(c *nsq.Config) { c.TlsV1, c.TlsConfig = true, &tls.Config{RootCAs: pool} }, "offers no TLS",
		},
		"whose TLS is asked for by nobody": {
			func(o *nsqd.Options) { secured(o); o.TLSRequired = nsqd.TLSRequired }, func(*nsq.Config) {}, "E_INVALID",
		},
		"that refuses the secret": {
			func(o *nsqd.Options) { o.AuthHTTPAddresses = []string{auth} }, func(c *nsq.Config) { c.AuthSecret = "s3cret, but wrong" }, "E_AUTH_FAILED",
		},
		"that asks for a secret": {
			func(o *nsqd.Options) { o.AuthHTTPAddresses = []string{auth} }, func(c *nsq.Config) { c.AuthSecret = "" }, "NSQ_AUTH_SECRET",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := startNSQD(t, test.server)
			cfg := nsqdial.NewConfig()
			cfg.AuthSecret = "s3cret"
			test.client(cfg)
			p, err := nsqdial.NewProducer(nsqdial.ProducerConfig{Dialer: b.dialer, NSQD: "nsqd-proxy:4150", NSQ: cfg})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			err = p.Publish(t.Context(), topic, []byte("x"))
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v, want an error with %q", err, test.says)
			}
		})
	}
}

func TestTLSIsNeverBelow12(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[uint16]string{tls.VersionTLS11: "version", tls.VersionTLS12: "TLS: EOF"} {
		listener, err := net.Listen("tcp", anyPort)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.Read(make([]byte, 4096))
			conn.Write(frame(0, `{"tls_v1":true}`))
			old := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: version})
			old.Handshake() // and no more than that
		}()
		b := &bench{t: t}
		cfg := nsqdial.NewConfig()
		cfg.TlsV1, cfg.TlsConfig = true, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10}
		err = nsqdial.Ping(t.Context(), b.newDialer("DIAL_NSQD_PROXY="+listener.Addr().String()), "nsqd-proxy:4150", cfg)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", tls.VersionName(version), err, want)
		}
		listener.Close()
		<-served
	}
}

func TestANameThatTheDialerSecuresIsRefusedAtTheStart(t *testing.T) {
	d, err := dialer.New(dialer.Config{TLS: map[string]dialer.TLSConfig{"nsqd-proxy": {}}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_, consumerErr := nsqdial.NewConsumer(nsqdial.ConsumerConfig{
		Dialer: d, Topic: topic, Channel: channel, NSQDs: []string{"nsqd-proxy:4150"},
	}, nsq.HandlerFunc(func(*nsq.Message) error { return nil }))
	_, lookupErr := nsqdial.NewConsumer(nsqdial.ConsumerConfig{
		Dialer: d, Topic: topic, Channel: channel, Lookupds: []string{"nsqd-proxy:4161"},
	}, nsq.HandlerFunc(func(*nsq.Message) error { return nil }))
	if lookupErr == nil || !strings.Contains(lookupErr.Error(), "NSQD_ADDRESS") {
		t.Errorf("a secured nsqlookupd alone: got %v, want an error that says to name NSQDs", lookupErr)
	}
	_, producerErr := nsqdial.NewProducer(nsqdial.ProducerConfig{Dialer: d, NSQD: "nsqd-proxy:4150"})
	for _, err := range []error{consumerErr, producerErr} {
		if err == nil || !strings.Contains(err.Error(), "nsqd-proxy") || !strings.Contains(err.Error(), "NSQ_TLS") {
			t.Errorf("got %v, want an error that names nsqd-proxy and NSQ_TLS", err)
		}
	}
}

func TestAWorkersEnvironmentReachesASecuredNSQD(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	auth := authServer(t)
	b := startNSQD(t, func(o *nsqd.Options) {
		o.TLSCert, o.TLSKey, o.TLSRequired, o.AuthHTTPAddresses = certFile, keyFile, nsqd.TLSRequired, []string{auth}
		o.TLSClientAuthPolicy, o.TLSRootCAFile = "require-verify", certFile
	})
	cfg, err := ocrworker.ConfigFromEnv([]string{
		"MONGO_URI=mongodb://mongodb-proxy/gvpocr", "TESSERACT_ENABLED=false", "NSQD_ADDRESS=queue:4150", "DIAL_QUEUE=" + b.nsqd.tcp,
		"NSQ_TLS=true", "NSQ_TLS_CA_FILE=" + certFile, "NSQ_TLS_CERT_FILE=" + certFile, "NSQ_TLS_KEY_FILE=" + keyFile,
		"NSQ_TLS_SERVER_NAME=nsqd-proxy", "NSQ_AUTH_SECRET=s3cret", "NSQ_DEFLATE=true",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.Dialer.Close()
	p, err := nsqdial.NewProducer(nsqdial.ProducerConfig{Dialer: cfg.Dialer, NSQD: cfg.NSQD, NSQ: cfg.NSQ})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Publish(t.Context(), topic, []byte("x")); err != nil {
		t.Error(err)
	}
}
