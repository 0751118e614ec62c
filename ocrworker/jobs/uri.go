package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/gvpocr/worker/resolve"
)

// connection is what a MongoDB URI says.
type connection struct {
	text          string
	hosts         []string
	user          string
	database      string
	authSourceSet bool
	tls           bool
}

// CheckURI returns the error that Open would return for a URI.
func CheckURI(text string) error {
	_, err := parseURI(text)
	return err
}

func parseURI(text string) (connection, error) {
	c := connection{text: text}
	parsed, err := connstring.ParseAndValidate(text)
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return c, fmt.Errorf("%w: %s", errSRV, lookup.Err)
	}
	if err != nil || slices.ContainsFunc(parsed.Hosts, isNoHost) {
		return c, errURI
	}
	c.hosts = parsed.Hosts
	c.user = parsed.Username
	c.authSourceSet = parsed.AuthSourceSet
	c.tls = parsed.SSL
	c.database = parsed.Database
	if c.database == "" {
		c.database = defaultDatabase
	}
	if strings.ContainsAny(c.database, "/\\. \"$*<>:|?@") { // no name of a database: the end of a password with a / in it
		return connection{}, errURI
	}
	return c, nil
}

// isNoHost reports what the driver takes for a host and nobody can dial: it would look like an outage for ever.
func isNoHost(address string) bool {
	address = strings.TrimSpace(address) // after a comma; the driver works with the others
	if strings.HasPrefix(address, "/") {
		return false // a socket
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), "27017"
	}
	return port == "" || !resolve.IsHost(host)
}

// errSRV: the driver asks DNS whenever it reads such a URI, and no other resolver; the connections go by the dialer.
var errSRV = errors.New("mongodb: the SRV records that a URI with mongodb+srv:// stands for are looked up by DNS alone, " +
	"not by DIAL_ or MAIN_SERVER_IP, and the worker does not start without them; DNS outages do no harm to a URI that names the hosts: " +
	"mongodb://user:password@host1:port,host2:port/database?tls=true&replicaSet=NAME; the lookup failed")

// errURI leaves out the driver's words, since they may quote a password: one with an unescaped : is taken for a port.
var errURI = errors.New("mongodb: the URI is not valid (it is not shown, since it may hold a password); " +
	"it has the form mongodb://user:password@host:port/database, with : / ? # [ ] @ % in user and password percent-encoded")

// refused says why the driver does not take a URI that is well formed: it reads the files that the URI names.
func (c connection) refused(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("mongodb: a file that the URI names: %w", file)
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok { // the driver looks again
		return fmt.Errorf("%w: %s", errSRV, lookup.Err)
	}
	if c.tls {
		return errFiles
	}
	return errURI
}

// errFiles leaves out the driver's words as errURI does: tlsCertificateKeyFilePassword may be in them.
var errFiles = errors.New("mongodb: the files that the URI names can't be used " +
	"(tlsCAFile, tlsCertificateKeyFile and tlsCertificateKeyFilePassword): they must be PEM files, and the password theirs")
