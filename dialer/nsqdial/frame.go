package nsqdial

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/nsqio/go-nsq"
)

// maxFrame bounds what a server can make a client hold: nsqd's own default for the largest message is 1 MiB, and
// nobody is known to have raised it beyond this.
const maxFrame = 64 << 20

// readFrame reads one frame: its size, its type and its data (https://nsq.io/clients/tcp_protocol_spec.html).
func readFrame(r io.Reader) (kind int32, data []byte, err error) {
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[:4])
	kind = int32(binary.BigEndian.Uint32(header[4:]))
	if size < 4 || size > maxFrame {
		return 0, nil, fmt.Errorf("not an nsqd: it sent a frame of %d bytes", size)
	}
	data, err = readBody(r, int(size-4))
	return kind, data, err
}

// readBody reads size bytes. What is large is believed as it comes, not because a header says so.
func readBody(r io.Reader, size int) ([]byte, error) {
	const believed = 1 << 20
	if size <= believed {
		data := make([]byte, size)
		_, err := io.ReadFull(r, data)
		return data, err
	}
	var data bytes.Buffer
	n, err := io.CopyN(&data, r, int64(size))
	if errors.Is(err, io.EOF) && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return data.Bytes(), err
}

// readOK reads the answer to a command of the handshake.
func readOK(r io.Reader, command string) ([]byte, error) {
	for {
		kind, data, err := readFrame(r)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", command, err)
		case kind == nsq.FrameTypeError:
			return nil, fmt.Errorf("%s: %w", command, serverError(data))
		case kind == nsq.FrameTypeResponse && string(data) == heartbeat:
			// A slow handshake may be overtaken by one; the connection is young enough not to answer it.
		case kind == nsq.FrameTypeResponse:
			return data, nil
		default:
			return nil, fmt.Errorf("%s: not an nsqd: it sent a frame of type %d", command, kind)
		}
	}
}

const heartbeat = "_heartbeat_"
