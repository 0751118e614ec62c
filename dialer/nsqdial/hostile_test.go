package nsqdial

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/internal/printable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func frame(size uint32, kind int32, data string) []byte {
	b := binary.BigEndian.AppendUint32(nil, size)
	b = binary.BigEndian.AppendUint32(b, uint32(kind))
	return append(b, data...)
}

// answers are what a server that is no nsqd, or a hostile one, may send to the first commands.
var answers = map[string][]byte{
	"nothing":        nil,
	"HTTP":           []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad Request"),
	"huge frame":     frame(1<<31, 0, ""),
	"tiny frame":     frame(3, 0, ""),
	"cut off":        frame(100, 0, "OK"),
	"old nsqd":       frame(6, 0, "OK"),
	"unknown type":   frame(6, 7, "OK"),
	"message":        frame(6, 2, "xx"),
	"error":          frame(4+9, 1, "E_INVALID"),
	"endless errors": bytes.Repeat(frame(4+9, 1, "E_INVALID"), 1000),
	"bad JSON":       frame(4+2, 0, `{]`),
}

func TestAServerThatIsNoNSQDIsAnErrorAndNotAHang(t *testing.T) {
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conn.Write(answer)
				conn.Close()
			}()
			d, err := dialer.New(dialer.Config{Budget: -1})
			if err != nil {
				t.Fatal(err)
			}
			if err := Ping(t.Context(), d, listener.Addr().String(), nil); err == nil {
				t.Error("it passed for an nsqd")
			} else if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			listener.Close()
			<-served
			d.Close()
		})
	}
}

func TestASilentServerIsGivenUpAfterTheReadTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d, err := dialer.New(dialer.Config{Budget: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	cfg := NewConfig()
	cfg.ReadTimeout = 200 * time.Millisecond
	cfg.HeartbeatInterval = 100 * time.Millisecond
	if err := Ping(t.Context(), d, listener.Addr().String(), cfg); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("got %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, answer := range answers {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		_, data, err := readFrame(r)
		if err == nil && (len(data)+8 > len(b) || r.Len() != len(b)-8-len(data)) {
			t.Errorf("%d bytes of data out of %d", len(data), len(b))
		}
	})
}

func FuzzParseProducers(f *testing.F) {
	f.Add([]byte(`{"channels":["workers"],"producers":[{"broadcast_address":"gvpocr-nsqd","tcp_port":4150,"http_port":4151}]}`))
	f.Add([]byte(`{"producers":[{"broadcast_address":"","tcp_port":1},{"broadcast_address":"a","tcp_port":70000},{"broadcast_address":"b"}]}`))
	f.Add([]byte(`{"message":"TOPIC_NOT_FOUND"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		listed, err := parseProducers(body)
		if err != nil && (listed.nsqds != nil || listed.leftOut != nil) {
			t.Error("an answer and an error")
		}
		if text := strings.Join(listed.leftOut, ""); text != printable.Line(text) || len(text) > maxLeftOut*maxLeftOutBytes {
			t.Errorf("%q is not fit to be shown", text)
		}
		for _, addr := range listed.nsqds {
			host, port, err := net.SplitHostPort(addr)
			if err != nil || host == "" || port == "" || port == "0" {
				t.Errorf("%q: %v", addr, err)
			}
		}
	})
}

func TestOnlyProducersThatCanBeDialedAreTaken(t *testing.T) {
	listed, err := parseProducers([]byte(`{"producers":[{"broadcast_address":"gvpocr_nsqd.1","tcp_port":4150},
		{"broadcast_address":"","tcp_port":4150},{"broadcast_address":"b","tcp_port":0},{"broadcast_address":"\u001b[31mEVIL\nx","tcp_port":4150},
		{"broadcast_address":"fe80::1%\u001b[31m","tcp_port":4150},{"broadcast_address":"::1","tcp_port":1}]}`))
	if got := fmt.Sprint(listed.nsqds); err != nil || got != "[gvpocr_nsqd.1:4150 [::1]:1]" {
		t.Errorf("got %s, %v", got, err)
	}
	if got := fmt.Sprint(listed.leftOut); got != "[:4150 [31mEVIL x:4150 [fe80::1%[31m]:4150 b:0]" {
		t.Errorf("left out are %s", got)
	}
}
