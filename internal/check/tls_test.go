package check_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/check"
	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/resolve"
)

// certificate returns a server's certificate, which is for example.com, and a file with its authority's.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	if _, err := x509.SystemCertPool(); err != nil { // reading it takes longer than a hello may
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.TLS.Certificates[0], file
}

// runURI checks the MongoDB of a URI whose host is NAME:1, which leads to addr.
func runURI(t *testing.T, host, options, addr string) check.Report {
	t.Helper()
	resolver, err := resolve.Static(map[string]string{host: addr})
	if err != nil {
		t.Fatal(err)
	}
	return runWith(t, check.Config{
		Dialer:   dialer.Config{Resolver: resolver},
		Services: []services.Service{{Kind: services.MongoDB, Address: host + ":1"}},
		MongoURI: "mongodb://user:s3cret@" + host + ":1/gvpocr?" + options,
	})
}

func TestMongoDBIsGreetedOverTLSAsItsURIAsks(t *testing.T) {
	cert, ca := certificate(t)
	hello := mongoDB(t, bson.M{"ok": 1, "isWritablePrimary": true, "maxWireVersion": 21})
	secured := listen(t, func(conn net.Conn) {
		answers(hello)(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}))
	})
	// As MongoDB does without TLS, it closes at what it takes for a message that is too long.
	plain := listen(t, func(conn net.Conn) {
		var length [4]byte
		if _, err := io.ReadFull(conn, length[:]); err == nil && length[3] == 0 {
			_, _ = conn.Write(hello)
			mute(conn)
		}
	})
	for name, c := range map[string]struct {
		host, options, addr string
		ok                  bool
		says                string
	}{
		"tls=true":                               {"example.com", "tls=true&tlsCAFile=" + ca, secured, true, "MongoDB: standalone, wire version 21, over TLS"},
		"ssl=true":                               {"example.com", "ssl=true&tlsCAFile=" + ca, secured, true, "over TLS"},
		"an authority's file alone":              {"example.com", "tlsCAFile=" + ca, secured, true, "over TLS"},
		"any certificate":                        {"elsewhere", "tls=true&tlsInsecure=true", secured, true, "over TLS"},
		"without TLS":                            {"example.com", "tls=false", plain, true, "wire version 21"},
		"an authority that nobody knows":         {"example.com", "tls=true", secured, false, "TLS, as MONGO_URI asks: tls: failed to verify certificate: x509: certificate signed by unknown authority; set tlsCAFile in MONGO_URI"},
		"a certificate for another name":         {"elsewhere", "tls=true&tlsCAFile=" + ca, secured, false, "not elsewhere; name the server in MONGO_URI as its certificate does"},
		"a file that is not there":               {"example.com", "tls=true&tlsCAFile=/nowhere/ca.pem", secured, false, "TLS, as MONGO_URI asks: open /nowhere/ca.pem: no such file or directory"},
		"TLS that the URI does not ask for":      {"example.com", "", secured, false, "what answers there speaks TLS: set tls=true in MONGO_URI"},
		"TLS that the server does not speak":     {"example.com", "tls=true&tlsCAFile=" + ca, plain, false, "it speaks MongoDB without TLS, and MONGO_URI asks for TLS"},
		"TLS, and a forwarder before the server": {"example.com", "tls=true&tlsCAFile=" + ca, listen(t, closes), false, "a forwarder (such as socat) stands in front of a dead service"},
		"TLS, and a server that is frozen":       {"example.com", "tls=true&tlsCAFile=" + ca, listen(t, mute), false, "accepts the connection and does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := runURI(t, c.host, c.options, c.addr)
			var hello check.Step
			for _, s := range report.Services[0].Steps {
				if s.Name == check.Hello {
					hello = s
				}
				if strings.Contains(s.Text, "s3cret") {
					t.Errorf("the password shows: %q", s.Text)
				}
			}
			if hello.OK != c.ok || !strings.Contains(hello.Text, c.says) {
				t.Errorf("%+v; want %v, %q", hello, c.ok, c.says)
			}
		})
	}
}

func TestAServerWithoutATrustedCertificateIsTold(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is told of the refusal too
	server.StartTLS()
	defer server.Close()
	resolver, err := resolve.Static(map[string]string{"service": server.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	report := runWith(t, check.Config{
		Dialer:   dialer.Config{Resolver: resolver, TLS: map[string]dialer.TLSConfig{"service": {}}},
		Services: []services.Service{{Kind: services.HTTP, Address: "service:1"}},
	})
	if failure, failed := report.Services[0].Failure(); !failed || !strings.Contains(failure.Text, "TLS, as DIALER_TLS asks") {
		t.Errorf("%+v", report)
	}
	if failure, failed := run(t, services.HTTPS, server.Listener.Addr().String()).Services[0].Failure(); !failed || !strings.Contains(failure.Text, "certificate") {
		t.Errorf("https: %+v", failure)
	}
}
