package dialer_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/gvpocr/worker/dialer"
)

const (
	noticed   = 33 * time.Second // at most, with the dialer's defaults
	unnoticed = 60 * time.Second // at least, without keepalive and TCP_USER_TIMEOUT
)

// TestAPeerThatVanishesIsNoticed takes a minute, all of it waiting, and loses its packets in a network namespace: whatever
// else silences a peer (a relay that stops, SIGSTOP) has a kernel that goes on acknowledging.
func TestAPeerThatVanishesIsNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits a minute for a connection that nobody answers on")
	}
	if os.Getenv("VANISH_IN_NAMESPACE") == "" {
		t.Parallel()
		inNamespace(t)
		return
	}
	vanish := loopback(t)
	defaults := dialer.Config{}
	off := dialer.Config{KeepAlive: net.KeepAliveConfig{Idle: -1}, UserTimeout: -1}
	cases := []*vanished{
		{name: "idle, after the last byte received", cfg: defaults, soon: true},
		{name: "with data in flight, after the first unanswered write", cfg: defaults, write: true, soon: true},
		{name: "idle, without keepalive", cfg: off},
		{name: "with data in flight, without TCP_USER_TIMEOUT", cfg: off, write: true},
	}
	for _, c := range cases {
		c.connect(t)
	}
	vanish()
	var waits sync.WaitGroup
	for _, c := range cases {
		waits.Go(func() { c.wait(t) })
	}
	waits.Wait()
}

// inNamespace runs the calling test again, in a process with a network of its own.
func inNamespace(t *testing.T) {
	t.Helper()
	test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	test.Env = append(os.Environ(), "VANISH_IN_NAMESPACE=1")
	test.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		test.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		test.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		test.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	test.Stdout, test.Stderr = &out, &out
	if err := test.Start(); err != nil {
		t.Skipf("no network namespace can be made here, so no packet can be lost: %v", err)
	}
	err := test.Wait()
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, out.Bytes())
	case strings.Contains(out.String(), "--- SKIP"):
		t.Skip(out.String())
	default:
		t.Log(out.String())
	}
}

// loopback brings up the namespace's only interface, and returns what makes every packet on it vanish from then on.
func loopback(t *testing.T) (vanish func()) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Skipf("this system does not let a namespace have its network: %v", err)
	}
	filter, err := nftables.New()
	if err != nil {
		t.Skipf("this kernel has no nftables, so no packet can be lost: %v", err)
	}
	table := filter.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "vanish"})
	if err := filter.Flush(); err != nil {
		t.Skipf("this kernel has no nftables, so no packet can be lost: %v", err)
	}
	drop := nftables.ChainPolicyDrop
	return func() {
		filter.AddChain(&nftables.Chain{
			Table: table, Name: "input", Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &drop,
		})
		if err := filter.Flush(); err != nil {
			t.Fatalf("drop packets: %v", err)
		}
	}
}

// vanished is one connection whose peer vanishes.
type vanished struct {
	name  string
	cfg   dialer.Config
	write bool // something that is never acknowledged
	soon  bool // it is noticed within the limit, otherwise not for long

	conn  net.Conn
	since time.Time // the last byte received
}

// connect dials a server, and receives one byte from it.
func (v *vanished) connect(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d, err := dialer.New(v.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if v.conn, err = d.DialContext(t.Context(), "tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.conn.Close() })
	peer, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := v.conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	v.since = time.Now()
}

// wait waits for the connection's end, as somebody does who reads.
func (v *vanished) wait(t *testing.T) {
	if v.write {
		v.since = time.Now()
		if _, err := v.conn.Write([]byte("x")); err != nil {
			t.Errorf("%s: the kernel takes a write, answered or not: %v", v.name, err)
			return
		}
	}
	if err := v.conn.SetReadDeadline(v.since.Add(unnoticed)); err != nil {
		t.Error(err)
		return
	}
	_, err := v.conn.Read(make([]byte, 1))
	took := time.Since(v.since)
	t.Logf("%s: %v after %v", v.name, err, took.Round(10*time.Millisecond))
	switch {
	case v.soon && (!errors.Is(err, syscall.ETIMEDOUT) || took > noticed):
		t.Errorf("%s: %v after %v, want a time-out of the connection within %v", v.name, err, took, noticed)
	case !v.soon && !errors.Is(err, os.ErrDeadlineExceeded):
		t.Errorf("%s: %v after %v, so something else than the dialer's settings notices", v.name, err, took)
	}
}
