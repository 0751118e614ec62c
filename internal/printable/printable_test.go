package printable_test

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/gvpocr/worker/internal/printable"
)

func TestTextBecomesOneLineOfWhatCanBePrinted(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"größer als 16 MiB, हिन्दी":           "größer als 16 MiB, हिन्दी",
		"\x1b[31mEVIL\nx":                     "[31mEVIL x",
		"a\r\n\tb  c\u00a0d\u2028e":           "a b c d e",
		"\u202eturned\u200b\x00\x7f\x9b[1m":   "turned\ufffd[1m",
		"\u009b1m and \x1b]0;a title\x07 all": "1m and ]0;a title all",
	} {
		if got := printable.Line(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAnErrorDoesNotNameThePortOfThisMachine(t *testing.T) {
	err := fmt.Errorf("IDENTIFY: %w", &net.OpError{
		Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded,
		Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 43924}, Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4150},
	})
	if got := printable.Error(err); got != "IDENTIFY: read: i/o timeout" {
		t.Errorf("%q", got)
	}
}
