package mongotest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The wire protocol: mongodb.com/docs/manual/reference/mongodb-wire-protocol.
const (
	maxMessageSize = 48_000_000
	headerSize     = 16

	opReply      = 1
	opQuery      = 2004
	opCompressed = 2012
	opMsg        = 2013

	flagChecksum       = 1 << 0
	flagMoreToCome     = 1 << 1
	flagExhaustAllowed = 1 << 16
	// requiredFlags are the bits that a receiver must know; the upper half may
	// be ignored.
	requiredFlags = 0xffff
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errCompressed and errFrame end a connection: after them nothing says where
// the next message begins, or in what form.
var (
	errCompressed = errors.New("compressed message, and no compressor was agreed on")
	errFrame      = errors.New("malformed message")
)

type header struct {
	length, requestID, responseTo, opCode int32
}

// message is one request, its sections joined into one command.
type message struct {
	header
	legacy     bool // OP_QUERY: the reply is an OP_REPLY
	checksum   bool
	moreToCome bool // the client wants no reply
	exhaust    bool // the client takes further replies without asking
	db         string
	body       bson.D
}

// readMessage returns the header and the bytes after it. The buffer grows with
// what arrives, not with what the header claims.
func readMessage(r io.Reader) (header, []byte, error) {
	var raw [headerSize]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return header{}, nil, err
	}
	h := header{
		length:     int32(binary.LittleEndian.Uint32(raw[0:])),
		requestID:  int32(binary.LittleEndian.Uint32(raw[4:])),
		responseTo: int32(binary.LittleEndian.Uint32(raw[8:])),
		opCode:     int32(binary.LittleEndian.Uint32(raw[12:])),
	}
	if h.length < headerSize || h.length > maxMessageSize {
		return h, nil, fmt.Errorf("%w: length %d is not in %d..%d", errFrame, h.length, headerSize, maxMessageSize)
	}
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, int64(h.length-headerSize)))
	if err == nil && n < int64(h.length-headerSize) {
		err = io.ErrUnexpectedEOF
	}
	return h, buf.Bytes(), err
}

// parseMessage reads a request. A *serverError means that the frame is sound
// and its content is not, so the client gets it as a reply; m is then filled
// as far as the reply needs. Any other error ends the connection.
func parseMessage(h header, body []byte) (m *message, err error) {
	m = &message{header: h}
	switch h.opCode {
	case opMsg:
		return m, m.parseMsg(body)
	case opQuery:
		m.legacy = true
		return m, m.parseQuery(body)
	case opCompressed:
		return m, errCompressed
	}
	return m, fmt.Errorf("%w: op code %d", errFrame, h.opCode)
}

func (m *message) parseMsg(body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("%w: OP_MSG without flags", errFrame)
	}
	flags := binary.LittleEndian.Uint32(body)
	if flags&requiredFlags&^(flagChecksum|flagMoreToCome) != 0 {
		return fmt.Errorf("%w: OP_MSG has unknown flags %#x", errFrame, flags)
	}
	m.moreToCome = flags&flagMoreToCome != 0
	m.exhaust = flags&flagExhaustAllowed != 0
	m.checksum = flags&flagChecksum != 0
	sections := body[4:]
	if m.checksum {
		if len(sections) < 4 {
			return fmt.Errorf("%w: OP_MSG without its checksum", errFrame)
		}
		cut := len(sections) - 4
		want := binary.LittleEndian.Uint32(sections[cut:])
		sections = sections[:cut]
		got := crc32.Checksum(m.header.bytes(), castagnoli)
		got = crc32.Update(got, castagnoli, body[:len(body)-4])
		if got != want {
			return fmt.Errorf("%w: checksum is %#x, its content has %#x", errFrame, want, got)
		}
	}
	return m.parseSections(sections)
}

func (m *message) parseSections(rest []byte) error {
	var sequences bson.D
	for len(rest) > 0 {
		kind := rest[0]
		section, after, err := cutLength(rest[1:])
		if err != nil {
			return err
		}
		rest = after
		switch kind {
		case 0:
			if m.body != nil {
				return failf(codeProtocolError, "OP_MSG has more than one body section")
			}
			if m.body, err = decode(section); err != nil {
				return err
			}
		case 1:
			seq, err := parseSequence(section)
			if err != nil {
				return err
			}
			sequences = append(sequences, seq)
		default:
			return failf(codeProtocolError, "OP_MSG has a section of unknown kind %d", kind)
		}
	}
	if m.body == nil {
		return failf(codeProtocolError, "OP_MSG has no body section")
	}
	for _, seq := range sequences {
		if _, twice := lookup(m.body, seq.Key); twice {
			return failf(codeProtocolError, "OP_MSG has field %q twice", seq.Key)
		}
		m.body = append(m.body, seq)
	}
	db, ok := lookup(m.body, "$db")
	if !ok {
		return failf(codeMissingField, "OP_MSG requests require a $db argument")
	}
	if m.db, ok = db.(string); !ok {
		return failf(codeTypeMismatch, "$db must be a string")
	}
	return nil
}

func parseSequence(section []byte) (bson.E, error) {
	name, rest, ok := bytes.Cut(section[4:], []byte{0})
	if !ok {
		return bson.E{}, failf(codeProtocolError, "OP_MSG has a document sequence without a name")
	}
	docs := bson.A{}
	for len(rest) > 0 {
		raw, after, err := cutLength(rest)
		if err != nil {
			return bson.E{}, err
		}
		rest = after
		d, err := decode(raw)
		if err != nil {
			return bson.E{}, err
		}
		docs = append(docs, d)
	}
	return bson.E{Key: string(name), Value: docs}, nil
}

// cutLength splits off what begins with its own length in four bytes, as BSON
// documents and document sequences do.
func cutLength(b []byte) (first, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, failf(codeInvalidBSON, "section ends in the middle of a length")
	}
	n := int(int32(binary.LittleEndian.Uint32(b)))
	if n < 5 || n > len(b) {
		return nil, nil, failf(codeInvalidBSON, "section of %d bytes where %d are left", n, len(b))
	}
	return b[:n], b[n:], nil
}

// parseQuery reads a legacy query, with which drivers say hello for the first
// time: flags, collection, skip, limit, document.
func (m *message) parseQuery(body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("%w: OP_QUERY without flags", errFrame)
	}
	name, rest, ok := bytes.Cut(body[4:], []byte{0})
	if !ok || len(rest) < 8 {
		return fmt.Errorf("%w: OP_QUERY is cut short", errFrame)
	}
	raw, _, err := cutLength(rest[8:])
	if err != nil {
		return err
	}
	if m.body, err = decode(raw); err != nil {
		return err
	}
	db, isCommand := strings.CutSuffix(string(name), ".$cmd")
	if !isCommand {
		return failf(codeUnsupportedOpQuery, "OP_QUERY is no longer supported; the client driver may need an upgrade")
	}
	// Some drivers wrap the command to send a read preference along.
	if inner, ok := lookup(m.body, "$query"); ok {
		if m.body, ok = inner.(bson.D); !ok {
			return failf(codeTypeMismatch, "$query must be a document")
		}
	}
	m.db = db
	return nil
}

func (h header) bytes() []byte {
	b := make([]byte, 0, headerSize)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.length))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.requestID))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.responseTo))
	return binary.LittleEndian.AppendUint32(b, uint32(h.opCode))
}

// encodeReply frames the answer in the form of the request.
func (m *message) encodeReply(requestID int32, reply bson.D, moreToCome bool) ([]byte, error) {
	doc, err := bson.Marshal(reply)
	if err != nil {
		return nil, fmt.Errorf("encode reply: %w", err)
	}
	h := header{requestID: requestID, responseTo: m.requestID, opCode: opMsg}
	if m.legacy {
		h.opCode = opReply
		h.length = int32(headerSize + 20 + len(doc))
		b := h.bytes()
		b = binary.LittleEndian.AppendUint32(b, 8) // AwaitCapable, as every server since 1.6 says
		b = binary.LittleEndian.AppendUint64(b, 0) // no cursor
		b = binary.LittleEndian.AppendUint32(b, 0) // first document
		b = binary.LittleEndian.AppendUint32(b, 1) // one document
		return append(b, doc...), nil
	}
	var flags uint32
	if moreToCome {
		flags |= flagMoreToCome
	}
	h.length = int32(headerSize + 5 + len(doc))
	if m.checksum {
		flags |= flagChecksum
		h.length += 4
	}
	b := h.bytes()
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(b, 0)
	b = append(b, doc...)
	if m.checksum {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	}
	return b, nil
}
