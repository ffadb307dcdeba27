package engine

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// newMemConn returns the two ends of an in-memory connection. Unlike
// net.Pipe, a write never waits for the reader: the embedded server answers a
// command at a time and would otherwise stop reading a long pipeline as soon
// as its first answer is not taken, and a subscriber that does not read would
// hold up every publisher and with it the lock of the whole engine.
//
// The price is memory in proportion to what is unread; both ends belong to
// this process, which holds those bytes anyway.
func newMemConn() (client, server net.Conn) {
	up, down := newMemStream(), newMemStream()
	return &memConn{in: down, out: up}, &memConn{in: up, out: down}
}

// memConn is one end of an in-memory connection.
type memConn struct {
	in, out *memStream
}

func (c *memConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends both directions. The other end reads what is already under way,
// then io.EOF.
func (c *memConn) Close() error {
	c.in.closeReader()
	c.out.closeWriter()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr { return memAddr{} }

func (c *memConn) SetDeadline(t time.Time) error     { return c.SetReadDeadline(t) }
func (c *memConn) SetReadDeadline(t time.Time) error { c.in.setDeadline(t); return nil }

// SetWriteDeadline has nothing to do: a write never waits.
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return "embedded" }

// memStream is one direction of a memConn.
type memStream struct {
	mu       sync.Mutex
	changed  *sync.Cond
	data     []byte // unread bytes are data[off:]
	off      int
	deadline time.Time
	noMore   bool // the writer closed
	unread   bool // the reader closed
}

func newMemStream() *memStream {
	s := &memStream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *memStream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.unread:
			return 0, io.ErrClosedPipe
		case s.off < len(s.data):
			n := copy(p, s.data[s.off:])
			s.off += n
			s.reclaim()
			return n, nil
		case s.noMore:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		if !s.await() {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// await waits for a change, at most until the deadline, and reports whether
// the deadline is still to come. The caller holds the lock.
func (s *memStream) await() bool {
	if s.deadline.IsZero() {
		s.changed.Wait()
		return true
	}
	left := time.Until(s.deadline)
	if left <= 0 {
		return false
	}
	timer := time.AfterFunc(left, s.wake)
	s.changed.Wait()
	timer.Stop()
	return true
}

// wake takes the lock so that a reader is either before its check of the
// clock or already waiting, never in between.
func (s *memStream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

func (s *memStream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noMore || s.unread {
		return 0, io.ErrClosedPipe
	}
	s.data = append(s.data, p...)
	s.changed.Broadcast()
	return len(p), nil
}

// reclaim drops what was read, and the buffer itself once a burst has made it
// larger than a connection should keep.
func (s *memStream) reclaim() {
	const keep = 64 << 10
	if s.off < len(s.data) {
		return
	}
	s.off = 0
	if cap(s.data) > keep {
		s.data = nil
		return
	}
	s.data = s.data[:0]
}

func (s *memStream) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	s.changed.Broadcast()
}

func (s *memStream) closeReader() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread = true
	s.data, s.off = nil, 0
	s.changed.Broadcast()
}

func (s *memStream) closeWriter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noMore = true
	s.changed.Broadcast()
}
