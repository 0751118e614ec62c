package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The dialects that are offered. 3.1.1 is not: it asks for more than a greeting.
var smbDialects = []uint16{0x0202, 0x0210, 0x0300, 0x0302}

const (
	smbHeaderSize          = 64
	smbStatusNotSupported  = 0xC00000BB // none of the offered dialects
	smbMaxReply            = 1 << 20
	smbNegotiateDialectsAt = 36
)

var (
	errNotSMB     = errors.New("it does not answer as SMB2 does")
	errSMBRefused = errors.New("SMB: negotiation is refused")
)

// speakSMB negotiates a dialect and leaves ([MS-SMB2] 2.2.3 and 2.2.4). Nobody logs in.
func (l *line) speakSMB(ctx context.Context, address string, s *said) error {
	return l.talk(ctx, address, func(conn net.Conn) error {
		begin := time.Now()
		if _, err := conn.Write(smbNegotiate()); err != nil {
			return err
		}
		text, err := readSMBNegotiate(conn)
		if err != nil {
			return err
		}
		s.add(Hello, text, begin)
		return nil
	})
}

func smbNegotiate() []byte {
	le := binary.LittleEndian
	body := make([]byte, smbNegotiateDialectsAt)
	le.PutUint16(body[0:], 36) // StructureSize
	le.PutUint16(body[2:], uint16(len(smbDialects)))
	le.PutUint16(body[4:], 1) // SecurityMode: signing enabled
	for _, d := range smbDialects {
		body = le.AppendUint16(body, d)
	}
	header := make([]byte, smbHeaderSize)
	copy(header, "\xfeSMB")
	le.PutUint16(header[4:], smbHeaderSize)
	le.PutUint16(header[14:], 1) // CreditRequest; the command NEGOTIATE is 0
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(header)+len(body)))
	return append(append(frame, header...), body...)
}

func readSMBNegotiate(r io.Reader) (string, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < smbHeaderSize+6 || n > smbMaxReply {
		return "", errNotSMB
	}
	reply := make([]byte, n)
	if _, err := io.ReadFull(r, reply); err != nil {
		return "", err
	}
	if !bytes.HasPrefix(reply, []byte("\xfeSMB")) {
		return "", errNotSMB
	}
	switch status := binary.LittleEndian.Uint32(reply[8:]); status {
	case 0:
	case smbStatusNotSupported:
		return "SMB: negotiates, newer dialects than 3.0.2 only", nil
	default:
		return "", fmt.Errorf("%w with status 0x%08X", errSMBRefused, status)
	}
	dialect := binary.LittleEndian.Uint16(reply[smbHeaderSize+4:])
	return fmt.Sprintf("SMB: dialect %d.%d.%d", dialect>>8, dialect>>4&0xf, dialect&0xf), nil
}
