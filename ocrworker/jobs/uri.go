package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
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
	if err != nil {
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

// errURI leaves out the driver's words, since they may quote a password: one with an unescaped : is taken for a port.
var errURI = errors.New("mongodb: the URI is not valid (it is not shown, since it may hold a password); " +
	"it has the form mongodb://user:password@host:port/database, with : / ? # [ ] @ % in user and password percent-encoded")

// refused says why the driver does not take a URI that is well formed: it reads the files that the URI names.
func (c connection) refused(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("mongodb: a file that the URI names: %w", file)
	}
	if c.tls {
		return errFiles
	}
	return errURI
}

// errFiles leaves out the driver's words as errURI does: tlsCertificateKeyFilePassword may be in them.
var errFiles = errors.New("mongodb: the files that the URI names can't be used " +
	"(tlsCAFile, tlsCertificateKeyFile and tlsCertificateKeyFilePassword): they must be PEM files, and the password theirs")
