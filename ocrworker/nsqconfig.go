package ocrworker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"

	"github.com/nsqio/go-nsq"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/dialer/nsqdial"
)

// nsq returns what the NSQ_ variables ask for. The error joins every bad one, and shows no value.
func (v variables) nsq() (*nsq.Config, error) {
	cfg := nsqdial.NewConfig()
	cfg.AuthSecret = v.NSQAuthSecret
	cfg.Snappy, cfg.Deflate = v.NSQSnappy, v.NSQDeflate
	cfg.TlsV1 = v.NSQTLS
	var errs []error
	if v.NSQSnappy && v.NSQDeflate {
		errs = append(errs, errors.New("NSQ_SNAPPY, NSQ_DEFLATE: a connection can't be compressed in both ways; set one"))
	}
	if !v.NSQTLS {
		for name, value := range map[string]string{
			"NSQ_TLS_CA_FILE": v.NSQCAFile, "NSQ_TLS_CERT_FILE": v.NSQCertFile, "NSQ_TLS_KEY_FILE": v.NSQKeyFile, "NSQ_TLS_SERVER_NAME": v.NSQServerName,
		} {
			if value != "" {
				errs = append(errs, fmt.Errorf("%s: of no use without NSQ_TLS=true", name))
			}
		}
		return cfg, errors.Join(errs...)
	}
	conf, err := v.nsqTLS()
	cfg.TlsConfig = conf
	return cfg, errors.Join(append(errs, err)...)
}

func (v variables) nsqTLS() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: v.NSQServerName}
	if v.NSQCAFile != "" {
		pem, err := os.ReadFile(v.NSQCAFile)
		if err != nil {
			return nil, fmt.Errorf("NSQ_TLS_CA_FILE: the file can't be read: %w", withoutPath(err))
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("NSQ_TLS_CA_FILE: the file holds no PEM certificate")
		}
	}
	if v.NSQCertFile == "" && v.NSQKeyFile == "" {
		return conf, nil
	}
	if v.NSQCertFile == "" || v.NSQKeyFile == "" {
		return nil, errors.New("NSQ_TLS_CERT_FILE, NSQ_TLS_KEY_FILE: one is set without the other")
	}
	load := func() (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(v.NSQCertFile, v.NSQKeyFile)
		if err != nil {
			return nil, fmt.Errorf("NSQ_TLS_CERT_FILE, NSQ_TLS_KEY_FILE: %w", withoutPath(err))
		}
		return &cert, nil
	}
	// Read again for each connection: certificates are renewed more often than workers are restarted.
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	_, err := load()
	return conf, err
}

// nsqdNames are the names of contract.md's main server for nsqd.
var nsqdNames = []string{"nsqd-proxy", "nsqd", "gvpocr-nsqd"}

// checkNSQDNames refuses what the dialer must not do to an nsqd: its protocol negotiates TLS by itself, and an nsqd that
// is stopped waits for silent connections (nsqio/nsq#1534).
func (v variables) checkNSQDNames(dial dialer.Config) error {
	names := nsqdNames
	if host, _, err := net.SplitHostPort(v.NSQD); err == nil {
		names = append(slices.Clone(names), host)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(dial.TLS)) {
		if slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("DIALER_TLS: %s is an nsqd, which negotiates TLS by itself: set NSQ_TLS=true instead", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dial.Spares)) {
		if slices.Contains(names, name) && dial.Spares[name] > 0 {
			errs = append(errs, fmt.Errorf("DIALER_SPARES: %s is an nsqd, which can't be stopped while silent connections are open; take it out", name))
		}
	}
	return errors.Join(errs...)
}

// queueConfig is what consumers and producers work with.
func (w *Worker) queueConfig() *nsq.Config {
	cfg := nsqdial.NewConfig()
	if w.cfg.NSQ != nil {
		*cfg = *w.cfg.NSQ
	}
	cfg.ClientID = w.cfg.ID
	cfg.UserAgent = "gvpocr-worker"
	return cfg
}
