package nsqdial_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// sayAfterIdentify is a server that answers IDENTIFY with identity, and everything after it with an error. It returns its
// address.
func sayAfterIdentify(t *testing.T, identity, refusal string) string {
	t.Helper()
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				conn.Read(make([]byte, 4096)) // the magic and IDENTIFY, in one write
				conn.Write(frame(0, identity))
				if n, _ := conn.Read(make([]byte, 4096)); n > 0 {
					conn.Write(frame(1, refusal))
					io.Copy(io.Discard, conn)
				}
			})
		}
	})
	return listener.Addr().String()
}

func frame(kind uint32, data string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)+4))
	return append(binary.BigEndian.AppendUint32(b, kind), data...)
}
