// Package settings lists the DIALER_ variables that resolve and dialer read between them. Each of the two reads only
// its own, but both must refuse a name that neither knows, so that a misspelled setting can't pass for its default.
package settings

import (
	"fmt"
	"slices"
	"strings"
)

// Names are the variables that are read, in the order in which the README explains them.
var Names = []string{
	"DIALER_SRV_DOMAIN",
	"DIALER_SRV_SERVER",
	"DIALER_UNKNOWN",
	"DIALER_CONNECT_TIMEOUT",
	"DIALER_BUDGET",
	"DIALER_KEEPALIVE_IDLE",
	"DIALER_KEEPALIVE_INTERVAL",
	"DIALER_KEEPALIVE_COUNT",
	"DIALER_ATTEMPT_DELAY",
	"DIALER_USER_TIMEOUT",
	"DIALER_CACHE_FILE",
	"DIALER_SPARES",
	"DIALER_SPARE_IDLE",
	"DIALER_DRAIN_AFTER",
	"DIALER_TLS",
}

// Unknown returns one error for each DIALER_ variable in environ that nothing reads, in the order of environ.
func Unknown(environ []string) []error {
	var errs []error
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "DIALER_") && value != "" && !slices.Contains(Names, name) {
			errs = append(errs, fmt.Errorf("%s: unknown setting; the settings are %s", name, strings.Join(Names, ", ")))
		}
	}
	return errs
}
