package check_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/internal/services"
)

// says answers a greeting that begins in one way, and hangs up on every other as a server does that was spoken to in a
// foreign protocol.
func says(greeting, reply string) func(net.Conn) {
	return func(conn net.Conn) {
		heard := make([]byte, len(greeting))
		if _, err := io.ReadFull(conn, heard); err == nil && string(heard) == greeting {
			_, _ = io.WriteString(conn, reply)
			mute(conn)
		}
	}
}

// nsqd answers IDENTIFY, and everything else as nsqd does: with an error, and the end.
func nsqd(conn net.Conn) {
	frame := func(kind byte, data string) {
		_, _ = conn.Write(append([]byte{0, 0, 0, byte(len(data) + 4), 0, 0, 0, kind}, data...))
	}
	var magic [4]byte
	if _, err := io.ReadFull(conn, magic[:]); err != nil {
		return
	}
	if string(magic[:]) != "  V2" {
		frame(1, "E_BAD_PROTOCOL")
		return
	}
	frame(0, `{"max_rdy_count":2500,"msg_timeout":60000}`)
	mute(conn)
}

// waits is an HTTP server that waits for the end of a line which never comes in a binary protocol.
func waits(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestWhatAnswersInThePlaceOfAServiceIsNamed(t *testing.T) {
	info := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/info" {
				_, _ = io.WriteString(w, body)
			}
		}
	}
	nsqdHTTP := waits(t, info(`{"version":"1.3.0","broadcast_address":"a","tcp_port":4150,"http_port":4151}`))
	lookupd := waits(t, info(`{"version":"1.3.0"}`))
	nginx := waits(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "nginx/1.22.1") })
	lookupdTCP := listen(t, says("  V1PING\n", "\x00\x00\x00\x02OK"))
	mongo := listen(t, func(conn net.Conn) {
		// As MongoDB does, it closes when a message is longer than one can be.
		var header [16]byte
		if _, err := io.ReadFull(conn, header[:]); err == nil && bytes.Equal(header[12:], []byte{0xdd, 0x07, 0, 0}) {
			_, _ = conn.Write(mongoDB(t, bson.M{"ok": 1, "isWritablePrimary": true, "maxWireVersion": 21}))
			mute(conn)
		}
	})
	for name, c := range map[string]struct {
		kind services.Kind
		addr string
		says string
	}{
		"nsqd at MongoDB's port":                   {services.MongoDB, listen(t, nsqd), "not MongoDB but nsqd (its TCP port, usually 4150): is the port right?"},
		"an HTTP server at MongoDB's port":         {services.MongoDB, nginx, `not MongoDB but an HTTP server ("nginx/1.22.1")`},
		"SMB at MongoDB's port":                    {services.MongoDB, listen(t, says("\x00\x00\x00\x6c\xfeSMB", string(smb(0, 0x0302)))), "not MongoDB but an SMB file share"},
		"SSH at MongoDB's port":                    {services.MongoDB, listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n"); mute(conn) }), `not MongoDB: it says "SSH-2.0-OpenSSH_9.2"`},
		"something at MongoDB's port":              {services.MongoDB, listen(t, says("open sesame", "")), "closes the connection when it is spoken to: what answers there is not MongoDB"},
		"something with words at MongoDB's port":   {services.MongoDB, listen(t, answers(bytes.Repeat([]byte("what? "), 9))), "what answers there is not MongoDB: it does not answer as MongoDB does"},
		"MongoDB at nsqd's port":                   {services.NSQD, mongo, "not nsqd (its TCP port, usually 4150) but MongoDB"},
		"MongoDB at the backend's port":            {services.HTTP, mongo, "not an HTTP server but MongoDB"},
		"nsqd's HTTP port for its TCP port":        {services.NSQD, nsqdHTTP, "not nsqd (its TCP port, usually 4150) but nsqd (its HTTP port, usually 4151)"},
		"nsqd's TCP port for its HTTP port":        {services.NSQDHTTP, listen(t, nsqd), "not nsqd (its HTTP port, usually 4151) but nsqd (its TCP port, usually 4150)"},
		"nsqlookupd's HTTP port for its TCP port":  {services.NSQLookupdTCP, lookupd, "not nsqlookupd (its TCP port, usually 4160) but nsqlookupd (its HTTP port, usually 4161)"},
		"nsqlookupd's TCP port for its HTTP port":  {services.NSQLookupd, lookupdTCP, "not nsqlookupd (its HTTP port, usually 4161) but nsqlookupd (its TCP port, usually 4160)"},
		"a forwarder whose target is far away":     {services.MongoDB, listen(t, func(net.Conn) { <-time.After(400 * time.Millisecond) }), "a forwarder (such as socat) stands in front of a dead service"},
		"a forwarder in front of nsqlookupd's TCP": {services.NSQLookupdTCP, listen(t, closes), "a forwarder (such as socat) stands in front of a dead service"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := run(t, c.kind, c.addr)
			failure, failed := report.Services[0].Failure()
			if !failed || !strings.Contains(failure.Text, c.says) {
				t.Errorf("%+v; want %q", report.Services[0].Steps, c.says)
			}
			if forwarder := strings.Contains(failure.Text, "forwarder"); forwarder != strings.Contains(c.says, "forwarder") {
				t.Errorf("it is taken for a forwarder: %q", failure.Text)
			}
		})
	}
}
