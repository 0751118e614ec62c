package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"

	"github.com/gvpocr/worker/internal/printable"
	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/resolve"
)

// hello is MongoDB's answer to the command of that name, as far as it matters here.
type hello struct {
	OK       float64  `bson:"ok"`
	Message  string   `bson:"errmsg"`
	Writable bool     `bson:"isWritablePrimary"`
	SetName  string   `bson:"setName"`
	Hosts    []string `bson:"hosts"`
	Primary  string   `bson:"primary"`
	MaxWire  int      `bson:"maxWireVersion"`
}

// mongoURI is what MONGO_URI says of connections, as the driver itself reads it.
type mongoURI struct {
	hosts []string
	tls   *tls.Config // nil: without TLS
	err   error       // the files that it names can't be used
}

func readURI(text string) mongoURI {
	if text == "" {
		return mongoURI{}
	}
	opts := options.Client().ApplyURI(text)
	u := mongoURI{hosts: opts.Hosts, tls: opts.TLSConfig}
	if parsed, err := connstring.ParseAndValidate(text); err == nil && parsed.SSL && u.tls == nil {
		u.err = &tlsError{"MONGO_URI", errors.New("the files that it names can't be used (tlsCAFile, tlsCertificateKeyFile and its password)")}
		if file, ok := errors.AsType[*fs.PathError](opts.Validate()); ok { // other words of the driver's may quote what is no file's name
			u.err = &tlsError{"MONGO_URI", file}
		}
	}
	return u
}

// names reports whether the URI names address, which has a port.
func (u mongoURI) names(address string) bool {
	return slices.Contains(u.hosts, address) || slices.Contains(u.hosts, strings.TrimSuffix(address, ":27017"))
}

// config returns how the driver secures a connection to address, or nil.
func (u mongoURI) config(address string) *tls.Config {
	if u.tls == nil {
		return nil
	}
	conf := u.tls.Clone()
	conf.ServerName, _, _ = net.SplitHostPort(address)
	return conf
}

// speakMongoDB greets without logging in, by one message of its own: the driver would repeat it until its time is up,
// and does not say what it got.
func (l *line) speakMongoDB(ctx context.Context, address string, uri mongoURI, s *said) error {
	return l.talk(ctx, address, func(conn net.Conn) error {
		begin := time.Now()
		if uri.err != nil {
			return uri.err
		}
		text := ""
		if conf := uri.config(address); conf != nil {
			secured := tls.Client(conn, conf)
			if err := secured.HandshakeContext(ctx); err != nil {
				return &tlsError{"MONGO_URI", err}
			}
			conn, text = secured, ", over TLS"
		}
		h, err := askHello(conn)
		if err != nil {
			return err
		}
		s.add(Hello, h.String()+text, begin)
		for _, address := range h.Hosts {
			if host, _, err := net.SplitHostPort(address); err == nil && resolve.IsHost(host) && len(s.advertised) < maxTargets {
				s.advertised = append(s.advertised, address)
			}
		}
		return nil
	})
}

func (h hello) String() string {
	role := "standalone"
	switch {
	case h.SetName != "" && h.Writable:
		role = "primary of replica set " + h.SetName
	case h.SetName != "" && h.Primary != "":
		role = fmt.Sprintf("secondary of replica set %s, whose primary is %s", h.SetName, h.Primary)
	case h.SetName != "":
		role = "member of replica set " + h.SetName + ", which has no primary now"
	case !h.Writable:
		role = "not writable"
	}
	return fmt.Sprintf("MongoDB: %s, wire version %d", role, h.MaxWire)
}

// askHello sends hello as an OP_MSG and reads the answer
// (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/).
func askHello(conn net.Conn) (hello, error) {
	var h hello
	command, err := bson.Marshal(bson.D{{Key: "hello", Value: 1}, {Key: "$db", Value: "admin"}})
	if err != nil {
		return h, err
	}
	start, message := wiremessage.AppendHeaderStart(nil, 1, 0, wiremessage.OpMsg)
	message = wiremessage.AppendMsgFlags(message, 0)
	message = wiremessage.AppendMsgSectionType(message, wiremessage.SingleDocument)
	message = append(message, command...)
	message = bsoncore.UpdateLength(message, start, int32(len(message)))
	if _, err := conn.Write(message); err != nil {
		return h, err
	}
	const maxReply = 1 << 20 // a hello has a few hundred bytes
	var length [4]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return h, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < 16 || n > maxReply {
		return h, errNotMongoDB
	}
	reply := make([]byte, n)
	copy(reply, length[:])
	if _, err := io.ReadFull(conn, reply[4:]); err != nil {
		return h, err
	}
	_, _, _, opcode, rest, ok := wiremessage.ReadHeader(reply)
	if !ok || opcode != wiremessage.OpMsg {
		return h, errNotMongoDB
	}
	_, rest, ok = wiremessage.ReadMsgFlags(rest)
	if ok {
		_, rest, ok = wiremessage.ReadMsgSectionType(rest)
	}
	if !ok {
		return h, errNotMongoDB
	}
	document, _, ok := wiremessage.ReadMsgSectionSingleDocument(rest)
	if !ok || bson.Unmarshal(document, &h) != nil {
		return h, errNotMongoDB
	}
	if h.OK != 1 {
		return h, fmt.Errorf("%w: %s", errHelloRefused, h.Message)
	}
	return h, nil
}

var (
	errNotMongoDB   = errors.New("it does not answer as MongoDB does")
	errHelloRefused = errors.New("MongoDB refuses hello")
)

// Codes of MongoDB's answers.
const (
	unauthorized         = 13 // to do that, or without a login
	authenticationFailed = 18
)

// login logs in as the worker does, with its fallback to admin, and asks for what it may do where the jobs are.
func (c *checker) login(ctx context.Context) Step {
	s := Step{Name: Login}
	uri, err := connstring.ParseAndValidate(c.cfg.MongoURI)
	if err != nil {
		s.Text = jobs.CheckURI(c.cfg.MongoURI).Error() // without the driver's words, which may quote a password
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.HelloTimeout)
	defer cancel()
	store, err := jobs.Open(jobs.Config{URI: c.cfg.MongoURI, Dialer: c.dialer})
	if err == nil {
		err = store.Ping(ctx)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = store.Close(closing) // it has answered, or it has not
	}
	refusal, refuses := errors.AsType[mongo.ServerError](err)
	switch {
	case err == nil && uri.Username == "":
		s.OK, s.Text = true, "the worker's driver reads the jobs; MONGO_URI has no user, so nobody logs in"
	case err == nil:
		s.OK, s.Text = true, "user "+uri.Username+" is accepted"
	case refuses && refusal.HasErrorCode(authenticationFailed):
		s.Text = fmt.Sprintf("user %s is refused: the password is wrong, or the user lives in a database other than %s (authSource)",
			uri.Username, strings.Join(authSources(uri), " and "))
	case refuses && refusal.HasErrorCode(unauthorized) && uri.Username == "":
		s.Text = "MongoDB asks for a login, and there is no user: put user:password@ into MONGO_URI, or set MONGO_USERNAME and MONGO_PASSWORD"
	case refuses && refusal.HasErrorCode(unauthorized):
		s.Text = fmt.Sprintf("user %s is accepted, and may not read and write the collection bulk_jobs of the database %s: it needs the role readWrite there",
			uri.Username, databaseOf(uri))
	default:
		s.Text = printable.Error(err)
	}
	return s
}

// databaseOf returns the database of the jobs.
func databaseOf(uri *connstring.ConnString) string { return cmp.Or(uri.Database, "gvpocr") }

// authSources are the databases in which the worker looks for its user.
func authSources(uri *connstring.ConnString) []string {
	if uri.AuthSourceSet {
		return []string{uri.AuthSource}
	}
	return slices.Compact([]string{databaseOf(uri), "admin"})
}
