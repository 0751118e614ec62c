package dialer_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// calls counts the read(2) and write(2) calls of this process so far. Neither splice(2) is one, nor are recvfrom(2) and
// sendto(2).
func calls(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skipf("this kernel does not count a process's calls: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		var count int
		if _, err := fmt.Sscanf(line, "syscr: %d", &count); err == nil {
			n += count
		}
		if _, err := fmt.Sscanf(line, "syscw: %d", &count); err == nil {
			n += count
		}
	}
	return n
}

// send and receive move size bytes by calls that do not count.
func send(conn net.Conn, size int) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for size > 0 {
		var n int
		var sendErr error
		err := raw.Write(func(fd uintptr) bool {
			n, sendErr = unix.SendmsgN(int(fd), chunk[:min(len(chunk), size)], nil, nil, unix.MSG_DONTWAIT)
			return sendErr != unix.EAGAIN
		})
		if err := errors.Join(err, sendErr); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

func receive(conn net.Conn) (size int, err error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	chunk := make([]byte, 1<<20)
	for {
		var n int
		var receiveErr error
		err := raw.Read(func(fd uintptr) bool {
			n, _, receiveErr = unix.Recvfrom(int(fd), chunk, unix.MSG_DONTWAIT)
			return receiveErr != unix.EAGAIN
		})
		if err := errors.Join(err, receiveErr); err != nil || n == 0 {
			return size, err
		}
		size += n
	}
}

// relayed has relay move size bytes from one connection of a dialer's to another, and returns how many calls of read and
// write that took for each 64 KiB.
func relayed(t *testing.T, size int, relay func(to, from net.Conn) error) float64 {
	t.Helper()
	from, source, stopFrom, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer stopFrom()
	to, sink, stopTo, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer stopTo()
	before := calls(t)
	var ends sync.WaitGroup
	ends.Go(func() {
		if err := send(source, size); err != nil {
			t.Error(err)
		}
		source.Close()
	})
	ends.Go(func() {
		if n, err := receive(sink); err != nil || n != size {
			t.Errorf("%d of %d bytes came: %v", n, size, err)
		}
	})
	if err := relay(to, from); err != nil {
		t.Error(err)
	}
	to.Close()
	ends.Wait()
	return float64(calls(t)-before) / float64(size>>16)
}

func TestCopiesBetweenConnectionsSplice(t *testing.T) {
	const size = 128 << 20
	for name, relay := range map[string]func(to, from net.Conn) error{
		"io.Copy": func(to, from net.Conn) error {
			_, err := io.Copy(to, from)
			return err
		},
		"ReadFrom": func(to, from net.Conn) error {
			_, err := to.(io.ReaderFrom).ReadFrom(from.(interface{ NetConn() net.Conn }).NetConn())
			return err
		},
		"WriteTo": func(to, from net.Conn) error {
			_, err := from.(io.WriterTo).WriteTo(to)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			per := relayed(t, size, relay)
			t.Logf("%.3f calls of read and write for each 64 KiB", per)
			if per >= 0.1 {
				t.Errorf("%.3f calls of read and write for each 64 KiB: the bytes were copied", per)
			}
		})
	}
	t.Run("without, to see that calls are counted", func(t *testing.T) {
		per := relayed(t, size>>3, func(to, from net.Conn) error {
			_, err := io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
			return err
		})
		if per < 1 {
			t.Errorf("%.3f calls of read and write for each 64 KiB, and each byte was read and written", per)
		}
	})
}
