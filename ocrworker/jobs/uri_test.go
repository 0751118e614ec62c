package jobs

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/dns"
)

func TestAURIWhosePasswordIsNotEncodedIsRefusedAndNotShown(t *testing.T) {
	for _, uri := range []string{
		"mongodb://admin:geh@eim@mongodb-proxy:27017/gvpocr",
		"mongodb://admin:geh@Wr/eim@mongodb-proxy:27017/gvpocr",
		"mongodb://admin:geh/eim@mongodb-proxy:27017/gvpocr",
		"mongodb://admin:geh:eim@mongodb-proxy:27017/gvpocr",
	} {
		err := CheckURI(uri)
		if err == nil || strings.Contains(err.Error(), "eim") || !strings.Contains(err.Error(), "percent-encoded") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	if err := CheckURI("mongodb://admin:geh%40Wr%2Feim@mongodb-proxy:27017/gvpocr?authSource=admin"); err != nil {
		t.Error(err)
	}
}

// The driver would look for them as long as the worker runs.
func TestAURIWithAHostThatIsNoneIsRefused(t *testing.T) {
	for _, authority := range []string{":27017", "h:27017,:27017", "h h:27017", "h:", "[]:27017"} {
		if err := CheckURI("mongodb://admin:geheim@" + authority + "/gvpocr"); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", authority, err)
		}
	}
	for _, authority := range []string{"h", "h_1:27017", "[2001:db8::1]", "[2001:db8::1]:27017", "10.0.0.1,10.0.0.2:27018", "gvpocr-mongodb.", "%2Ftmp%2Fmongodb-27017.sock"} {
		if err := CheckURI("mongodb://admin:geheim@" + authority + "/gvpocr"); err != nil {
			t.Errorf("%s: %v", authority, err)
		}
	}
}

func TestAURIOfSRVRecordsSaysWhoIsAskedForThem(t *testing.T) {
	driver := *dns.DefaultResolver
	t.Cleanup(func() { *dns.DefaultResolver = driver })
	dns.DefaultResolver.LookupTXT = func(string) ([]string, error) { return nil, nil }
	const uri = "mongodb+srv://admin:geheim@cluster.example.org/gvpocr"
	dns.DefaultResolver.LookupSRV = func(_, _, name string) (string, []*net.SRV, error) {
		return "", nil, &net.DNSError{Err: "server misbehaving", Name: name}
	}
	err := CheckURI(uri)
	for _, want := range []string{"looked up by DNS alone", "server misbehaving", "mongodb://user:password@host1:port,host2:port/database"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	dns.DefaultResolver.LookupSRV = func(string, string, string) (string, []*net.SRV, error) {
		return "", []*net.SRV{{Target: "one.example.org.", Port: 27018}}, nil
	}
	if c, err := parseURI(uri); err != nil || !slices.Equal(c.hosts, []string{"one.example.org:27018"}) || !c.tls {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAFileOfAURIThatCanNotBeUsedIsNamed(t *testing.T) {
	dir := t.TempDir()
	missing, empty := filepath.Join(dir, "missing.pem"), filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const uri = "mongodb://admin:geheim@mongodb-proxy:27017/gvpocr?tls=true&"
	for options, want := range map[string]string{
		"tlsCAFile=" + missing: "missing.pem: no such file",
		"tlsCAFile=" + empty:   "tlsCAFile",
		"tlsCertificateKeyFile=" + empty + "&tlsCertificateKeyFilePassword=geheim": "tlsCertificateKeyFile",
	} {
		_, err := Open(Config{URI: uri + options})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v, want %q", options, err, want)
		}
	}
}
