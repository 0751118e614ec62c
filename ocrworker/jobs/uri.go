package jobs

import (
	"errors"
	"fmt"
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
}

func parseURI(text string) (connection, error) {
	c := connection{text: text}
	parsed, err := connstring.ParseAndValidate(text)
	if err != nil {
		return c, c.conceal(err)
	}
	c.hosts = parsed.Hosts
	c.user = parsed.Username
	c.authSourceSet = parsed.AuthSourceSet
	c.database = parsed.Database
	if c.database == "" {
		c.database = defaultDatabase
	}
	return c, nil
}

// conceal leaves the driver's words out where the URI may hold a password, since they may quote it.
func (c connection) conceal(err error) error {
	if strings.Contains(c.text, "@") {
		return errors.New("mongodb: the URI is not valid (it is not shown, since it may hold a password); " +
			"it has the form mongodb://user:password@host:port/database, with : / ? # [ ] @ % in user and password percent-encoded")
	}
	return fmt.Errorf("mongodb: the URI is not valid: %w", err)
}
