package mongotest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A journal is an append-only file of what has changed. It begins with a line
// that says what it is; then come records:
//
//	length of the document   4 bytes, little endian
//	its CRC-32C              4 bytes
//	CRC-32C of these eight   4 bytes
//	document                 BSON
//
// A record is handed to the system in one write before its change is
// acknowledged, and that is enough to survive the death of the process; it is
// not synced to the disk, so the death of the machine may take the last ones.
// A process that dies while it writes leaves a beginning of its last record,
// which is dropped. The header's own checksum is there so that a damaged
// length in the middle is not taken for such a beginning.
type journal struct {
	file *os.File
	lock *os.File
}

const (
	journalMagic      = "mongotest journal 1\n"
	recordHeaderSize  = 12
	journalName       = "journal"
	journalBufferSize = 1 << 20
)

// openJournal gives each record to replay and begins a new file with what
// snapshot writes, so that the file does not grow over restarts.
func openJournal(dir string, replay func(bson.D) error, snapshot func(write func(bson.D) error) error) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, journalName)
	file, err := rewrite(path, replay, snapshot)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	return &journal{file: file, lock: lock}, nil
}

// lockDir fails where another server has the folder. The lock ends with the
// process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another server: %w", dir, err)
	}
	return f, nil
}

func rewrite(path string, replay func(bson.D) error, snapshot func(write func(bson.D) error) error) (*os.File, error) {
	old, err := os.Open(path)
	switch {
	case err == nil:
		err = readJournal(old, replay)
		old.Close()
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := writeJournal(file, snapshot); err != nil {
		file.Close()
		return nil, err
	}
	// The old file stays until the new one is whole and on the disk.
	if err := errors.Join(file.Sync(), os.Rename(path+".new", path)); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func writeJournal(file *os.File, snapshot func(write func(bson.D) error) error) error {
	w := bufio.NewWriterSize(file, journalBufferSize)
	if _, err := w.WriteString(journalMagic); err != nil {
		return err
	}
	err := snapshot(func(d bson.D) error {
		record, err := encodeRecord(d)
		if err == nil {
			_, err = w.Write(record)
		}
		return err
	})
	return errors.Join(err, w.Flush())
}

// append writes one record. After an error nothing more may be appended: what
// it has left of the record would stand in the middle.
func (j *journal) append(d bson.D) error {
	record, err := encodeRecord(d)
	if err != nil {
		return err
	}
	_, err = j.file.Write(record)
	return err
}

func (j *journal) close() error {
	err := errors.Join(j.file.Sync(), j.file.Close())
	j.lock.Close()
	return err
}

func encodeRecord(d bson.D) ([]byte, error) {
	doc, err := bson.Marshal(d)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, recordHeaderSize+len(doc))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(doc)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(doc, castagnoli))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, doc...), nil
}

var errDamaged = errors.New("it is damaged; remove the file to begin with an empty server")

func readJournal(file io.Reader, replay func(bson.D) error) error {
	r := bufio.NewReaderSize(file, journalBufferSize)
	magic := make([]byte, len(journalMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != journalMagic {
		return fmt.Errorf("its first line is not %q: %w", journalMagic, errDamaged)
	}
	offset := int64(len(magic))
	for {
		d, n, err := readRecord(r)
		switch {
		case errors.Is(err, errEnd):
			return nil
		case err == nil:
			err = replay(d)
		}
		if err != nil {
			return fmt.Errorf("the record at byte %d: %w", offset, err)
		}
		offset += n
	}
}

// errEnd: there is no further record, or only the beginning of one that nobody
// was told of.
var errEnd = errors.New("the journal ends")

func readRecord(r io.Reader) (bson.D, int64, error) {
	var h [recordHeaderSize]byte
	if _, err := io.ReadFull(r, h[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, errEnd
	} else if err != nil {
		return nil, 0, err
	}
	length := int64(binary.LittleEndian.Uint32(h[0:]))
	if crc32.Checksum(h[:8], castagnoli) != binary.LittleEndian.Uint32(h[8:]) {
		return nil, 0, fmt.Errorf("its header has another checksum: %w", errDamaged)
	}
	var doc bytes.Buffer
	if n, err := io.Copy(&doc, io.LimitReader(r, length)); err != nil {
		return nil, 0, err
	} else if n < length {
		return nil, 0, errEnd
	}
	if crc32.Checksum(doc.Bytes(), castagnoli) != binary.LittleEndian.Uint32(h[4:]) {
		return nil, 0, fmt.Errorf("its content has another checksum: %w", errDamaged)
	}
	var d bson.D
	if err := bson.Unmarshal(doc.Bytes(), &d); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", err, errDamaged)
	}
	return d, recordHeaderSize + length, nil
}
