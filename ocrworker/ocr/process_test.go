package ocr

import (
	"strings"
	"testing"
)

func TestTailKeepsTheEndOfWhatIsWritten(t *testing.T) {
	for _, size := range []int{1, 100, maxStderr, 3 * maxStderr} {
		var end tail
		for range 5*maxStderr/size + 1 {
			if n, err := end.Write([]byte(strings.Repeat("x", size-1) + "\n")); n != size || err != nil {
				t.Fatalf("Write of %d bytes: %d, %v", size, n, err)
			}
			if len(end.kept) > maxStderr {
				t.Fatalf("after writes of %d bytes %d are kept", size, len(end.kept))
			}
		}
		end.Write([]byte("one\n\n two \x1b\nthree\nfour"))
		if got := end.String(); got != "two; three; four" {
			t.Errorf("after writes of %d bytes: %.80q", size, got)
		}
	}
}
