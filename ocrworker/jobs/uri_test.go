package jobs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
