package jobs

import (
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
