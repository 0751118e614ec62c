package ocrworker_test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gvpocr/worker/ocrworker"
)

// authority writes the certificate of a server, and returns where and the server.
func authority(t *testing.T) (file string, server *httptest.Server) {
	t.Helper()
	server = httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	file = filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, server
}

func TestWithoutSettingsNSQIsAsTodaysWorkersUseIt(t *testing.T) {
	cfg := configFrom(t, "NSQ_TLS=", "NSQ_AUTH_SECRET=", "NSQ_TLS_CA_FILE=").NSQ
	if cfg.TlsV1 || cfg.TlsConfig != nil || cfg.AuthSecret != "" || cfg.Snappy || cfg.Deflate {
		t.Error("something is on")
	}
}

func TestNSQsSettingsAreRead(t *testing.T) {
	ca, server := authority(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := configFrom(t, "NSQ_TLS=1", "NSQ_TLS_CA_FILE="+ca, "NSQ_TLS_SERVER_NAME=example.com", "NSQ_AUTH_SECRET_FILE="+secret, "NSQ_SNAPPY=true").NSQ
	if !cfg.TlsV1 || !cfg.Snappy || cfg.Deflate || cfg.AuthSecret != "s3cret" || cfg.TlsConfig.ServerName != "example.com" {
		t.Error("not all settings are read")
	}
	if cfg.TlsConfig.MinVersion < tls.VersionTLS12 || cfg.TlsConfig.InsecureSkipVerify {
		t.Error("a server is trusted that must not be")
	}
	connect := func(name string) error {
		conf := cfg.TlsConfig.Clone()
		conf.ServerName = name
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), conf)
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := connect("example.com"); err != nil {
		t.Errorf("the server of the authority's is refused: %v", err)
	}
	if err := connect("nsqd-proxy"); err == nil {
		t.Error("a certificate of another name is taken")
	}
	if !configFrom(t, "NSQ_DEFLATE=true").NSQ.Deflate {
		t.Error("NSQ_DEFLATE is not read")
	}
}

func TestBadNSQSettingsAreNamedAndNotShown(t *testing.T) {
	ca, _ := authority(t)
	garbage := filepath.Join(t.TempDir(), "s3cret.pem")
	if err := os.WriteFile(garbage, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		lines []string
		says  []string
	}{
		"no truth value":             {[]string{"NSQ_TLS=s3cret"}, []string{"NSQ_TLS: not true or false"}},
		"TLS that is not on":         {[]string{"NSQ_TLS_CA_FILE=" + ca, "NSQ_TLS_SERVER_NAME=s3cret"}, []string{"NSQ_TLS_CA_FILE: of no use without NSQ_TLS=true", "NSQ_TLS_SERVER_NAME: of no use"}},
		"no authority":               {[]string{"NSQ_TLS=true", "NSQ_TLS_CA_FILE=/no/s3cret"}, []string{"NSQ_TLS_CA_FILE: the file can't be read"}},
		"an authority of no use":     {[]string{"NSQ_TLS=true", "NSQ_TLS_CA_FILE=" + garbage}, []string{"NSQ_TLS_CA_FILE: the file holds no PEM certificate"}},
		"a certificate without key":  {[]string{"NSQ_TLS=true", "NSQ_TLS_CERT_FILE=" + ca}, []string{"NSQ_TLS_CERT_FILE, NSQ_TLS_KEY_FILE: one is set without the other"}},
		"a key that is none":         {[]string{"NSQ_TLS=true", "NSQ_TLS_CERT_FILE=" + ca, "NSQ_TLS_KEY_FILE=" + garbage}, []string{"NSQ_TLS_CERT_FILE, NSQ_TLS_KEY_FILE: "}},
		"compressed twice":           {[]string{"NSQ_SNAPPY=true", "NSQ_DEFLATE=true"}, []string{"NSQ_SNAPPY, NSQ_DEFLATE: "}},
		"TLS by the dialer":          {[]string{"DIALER_TLS=nsqd-proxy=ca:" + ca}, []string{"DIALER_TLS: nsqd-proxy is an nsqd", "NSQ_TLS=true"}},
		"TLS by the dialer, by host": {[]string{"NSQD_ADDRESS=queue.example:4150", "DIALER_TLS=queue.example=ca:" + ca}, []string{"DIALER_TLS: queue.example is an nsqd", "NSQ_TLS=true"}},
		"spares":                     {[]string{"DIALER_SPARES=gvpocr-nsqd=1"}, []string{"DIALER_SPARES: gvpocr-nsqd is an nsqd"}},
		"all at once":                {[]string{"NSQ_SNAPPY=true", "NSQ_DEFLATE=true", "DIALER_SPARES=nsqd=1", "NSQ_AUTH_SECRET_FILE=/no/s3cret"}, []string{"NSQ_SNAPPY", "DIALER_SPARES", "NSQ_AUTH_SECRET_FILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ocrworker.ConfigFromEnv(slices.Concat(minimal, test.lines))
			if err == nil {
				t.Fatal("no error")
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a value is shown: %v", err)
			}
		})
	}
}
