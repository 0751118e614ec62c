package nsqdial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsqio/go-nsq"
)

// session is one connection to an nsqd, from the handshake to its end. It has two goroutines, a reader and a writer;
// whoever opened it must call close.
type session struct {
	name       string // the address as it was asked for
	remote     string // ip:port
	conn       net.Conn
	stream     *stream
	msgTimeout time.Duration // how long nsqd waits for an answer to a message
	maxRDY     int
	sessionConfig
	seat

	attached any    // by ConsumerConfig.Connected, as is
	over     func() // nil = nobody wants to know

	requests     chan request
	ready        atomic.Int64  // the RDY that nsqd shall have
	readyChanged chan struct{} // buffered: the writer has to send it
	heartbeat    chan struct{} // buffered: the writer has to answer one
	done         chan struct{} // closed when the connection is of no more use
	running      sync.WaitGroup

	mu      sync.Mutex     // guards the fields below; nothing is read or written under it
	waiting []chan<- error // requests whose answer is due, in the order in which they were written
	err     error          // why done is closed
}

// request is a command for the writer; reply is nil if nsqd does not answer it.
type request struct {
	cmd   *nsq.Command
	reply chan<- error
}

// sessionConfig is what the sessions of one consumer or producer have in common.
type sessionConfig struct {
	cfg        *nsq.Config
	subscribe  *nsq.Command                       // nil for a producer, as are the two functions
	onMessage  func(*session, *nsq.Message) error // runs in the reader: must not block
	onAnswered func(finished bool)
	logger     *slog.Logger
}

// open connects to name and starts the session.
func (c sessionConfig) open(ctx context.Context, dial dialFunc, name string) (*session, error) {
	conn, err := dial(ctx, "tcp", name)
	if err != nil {
		return nil, err
	}
	stream, id, err := handshake(ctx, conn, name, c.cfg, c.subscribe)
	if err != nil {
		conn.Close()
		return nil, &handshakeError{fmt.Sprintf("nsqd %s (%s)", name, conn.RemoteAddr()), err}
	}
	s := &session{
		name:          name,
		remote:        conn.RemoteAddr().String(),
		conn:          conn,
		stream:        stream,
		msgTimeout:    time.Duration(id.MsgTimeout) * time.Millisecond,
		maxRDY:        max(id.MaxRDY, 1),
		sessionConfig: c,
		requests:      make(chan request),
		readyChanged:  make(chan struct{}, 1),
		heartbeat:     make(chan struct{}, 1),
		done:          make(chan struct{}),
	}
	s.running.Go(func() { s.fail(s.read()) })
	s.running.Go(func() { s.fail(s.write()) })
	return s, nil
}

// read takes frames until the connection ends.
func (s *session) read() error {
	for {
		// nsqd sends a heartbeat each HeartbeatInterval: silence means that it is gone.
		if err := s.conn.SetReadDeadline(time.Now().Add(s.cfg.ReadTimeout)); err != nil {
			return err
		}
		kind, data, err := readFrame(s.stream)
		if err != nil {
			return err
		}
		switch kind {
		case nsq.FrameTypeMessage:
			if err := s.deliver(data); err != nil {
				return err
			}
		case nsq.FrameTypeResponse:
			if string(data) == heartbeat {
				notify(s.heartbeat)
			} else {
				s.answer(nil)
			}
		case nsq.FrameTypeError:
			err := serverError(data)
			if err.aboutMessage() {
				s.logger.Debug("answer came too late", "nsqd", s.name, "error", err)
				continue
			}
			if !s.answer(err) {
				return err
			}
		default:
			return fmt.Errorf("not an nsqd: it sent a frame of type %d", kind)
		}
	}
}

func (s *session) deliver(data []byte) error {
	m, err := nsq.DecodeMessage(data)
	if err != nil {
		return err
	}
	if s.onMessage == nil {
		return errors.New("nsqd sent a message to a producer")
	}
	m.NSQDAddress = s.name
	return s.onMessage(s, m)
}

func notify(flag chan<- struct{}) {
	select {
	case flag <- struct{}{}:
	default: // it is set
	}
}

// answer gives nsqd's answer to the oldest request that waits. It reports whether there was one.
func (s *session) answer(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return false
	}
	s.waiting[0] <- err // buffered
	s.waiting = s.waiting[1:]
	return true
}

// write writes commands until the connection ends.
func (s *session) write() error {
	for {
		cmd := s.nextCommand()
		if cmd == nil {
			return nil
		}
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
			return err
		}
		if err := s.stream.write(cmd); err != nil {
			return err
		}
	}
}

// nextCommand waits for what to write; nil when the session has ended. RDY goes first: a message that is given back
// because there is no room must not come again before nsqd knows that.
func (s *session) nextCommand() *nsq.Command {
	select {
	case <-s.readyChanged:
		return nsq.Ready(int(s.ready.Load()))
	default:
	}
	select {
	case <-s.done:
		return nil
	case <-s.readyChanged:
		return nsq.Ready(int(s.ready.Load()))
	case <-s.heartbeat:
		return nsq.Nop()
	case r := <-s.requests:
		if r.reply != nil {
			s.mu.Lock()
			s.waiting = append(s.waiting, r.reply)
			s.mu.Unlock()
		}
		return r.cmd
	}
}

// setReady tells nsqd how many messages it may have in flight here. The last value wins.
func (s *session) setReady(n int) {
	n = min(n, s.maxRDY)
	if s.ready.Swap(int64(n)) == int64(n) {
		return
	}
	notify(s.readyChanged)
}

// send hands a command that nsqd does not answer to the writer. It reports false if the connection has ended, where
// nsqd takes a message back by itself.
func (s *session) send(cmd *nsq.Command) bool {
	select {
	case s.requests <- request{cmd, nil}:
		return true
	case <-s.done:
		return false
	}
}

// ask sends a command that nsqd answers, and waits for that.
func (s *session) ask(ctx context.Context, cmd *nsq.Command) error {
	reply := make(chan error, 1)
	select {
	case s.requests <- request{cmd, reply}:
	case <-s.done:
		return s.lost()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
	}
	select {
	case err := <-reply: // nsqd answers an error and closes the connection
		return err
	default:
		return s.lost()
	}
}

// fail ends the session. The first reason stays.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return
	default:
	}
	s.err = err
	close(s.done)
}

// lost returns why the session ended, as an ErrLost.
func (s *session) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return fmt.Errorf("nsqd %s: %w", s.name, ErrLost)
	}
	return fmt.Errorf("nsqd %s: %w: %w", s.name, ErrLost, s.err)
}

// close ends the session and waits for its goroutines.
func (s *session) close() {
	s.fail(net.ErrClosed)
	s.conn.Close()
	s.running.Wait()
}

// finish ends the session after everything that was sent has been written: it waits for the writer, tells nsqd that no
// more comes, and gives it a moment to read that.
func (s *session) finish() {
	s.send(nsq.Nop()) // taken when the writer is done with what came before
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		select {
		case <-s.done:
		case <-timer.C:
		}
	}
	s.close()
}
