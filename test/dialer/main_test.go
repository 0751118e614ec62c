// Package dialer_test tests the dialer with what is too heavy for its own module: packets that get lost, and both
// MongoDB drivers.
package dialer_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/gvpocr/worker/internal/testdns"
)

func TestMain(m *testing.M) {
	testdns.New().Pin()
	goleak.VerifyTestMain(m)
}
