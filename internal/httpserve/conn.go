package httpserve

import (
	"io"
	"net"
	"net/http"
	"time"
)

type connKey struct{}

// rank says whose connection it is; a lower one makes room for a higher one.
type rank int8

const (
	anonymous rank = iota
	viewer
	operator
)

// conn is a connection as the Server sees it.
type conn struct {
	net.Conn
	s       *Server
	address string
	zone    zone

	// Guarded by s.mu:
	rank    rank      // of the newest request
	waiting time.Time // since when the server waits for the client; zero: it works
	pending int       // bytes of the write under way
	held    bool      // its answer counts in s.held
	loose   bool      // its pending counts in s.loose
	exempt  bool      // its answer is not held back: a probe
	slow    bool      // it failed to read in time
}

// begin is called when a request's headers are there.
func (c *conn) begin(probe bool) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.rank, c.waiting, c.exempt = anonymous, time.Time{}, probe
}

// finish is called when a request's handler has returned. What is buffered of
// its answer is written after that.
func (c *conn) finish() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.release(c)
	c.waiting = time.Now()
}

func (c *conn) waits() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.waiting = time.Now()
}

// stalled reports whether the client has let the server wait for a while. The
// caller holds the lock.
func (c *conn) stalled(now time.Time) bool {
	return !c.waiting.IsZero() && now.Sub(c.waiting) >= stalledAfter
}

// Write writes p in pieces, and gives each its own deadline: a client that reads
// is served to the end, one that does not is cut off.
func (c *conn) Write(p []byte) (n int, err error) {
	before := c.startWrite(len(p))
	defer func() { c.endWrite(before, err) }()
	for n < len(p) {
		if err = c.Conn.SetWriteDeadline(time.Now().Add(c.s.cfg.WriteTimeout)); err != nil {
			return n, err
		}
		wrote, err := c.Conn.Write(p[n:min(n+writeChunk, len(p))])
		n += wrote
		if err != nil {
			return n, err
		}
		c.progress(wrote)
	}
	return n, nil
}

// SetWriteDeadline does nothing: each write has one.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// Close takes the connection off the books.
func (c *conn) Close() error {
	c.s.mu.Lock()
	c.s.forget(c)
	slow := c.slow
	c.s.mu.Unlock()
	if slow {
		c.abort()
	}
	return c.Conn.Close()
}

// CloseWrite lets net/http say that no more comes, before it closes.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// abort has the system drop what it still holds for the client when the
// connection is closed.
func (c *conn) abort() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func (c *conn) startWrite(size int) (before time.Time) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	before = c.waiting
	c.waiting, c.pending = time.Now(), size
	if _, open := s.conns[c]; open && !c.held && size > writeChunk {
		c.loose = true
		s.loose += size
		s.boundLoose(c)
	}
	return before
}

func (c *conn) progress(wrote int) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.waiting = time.Now()
	c.pending -= wrote
	if c.loose {
		s.loose -= wrote
	}
}

func (c *conn) endWrite(before time.Time, err error) {
	s := c.s
	s.mu.Lock()
	if c.loose {
		s.loose -= c.pending
		c.loose = false
	}
	c.pending = 0
	_, open := s.conns[c]
	late := open && isTimeout(err)
	c.slow = c.slow || late
	c.waiting = time.Time{}
	if !before.IsZero() {
		c.waiting = time.Now()
	}
	s.mu.Unlock()
	if late {
		s.report.count(tooSlow)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// body marks the connection as waiting while a handler reads what the client
// sends slowly.
type body struct {
	io.ReadCloser
	c       *conn
	control *http.ResponseController
}

func (b *body) Read(p []byte) (int, error) {
	b.c.waits()
	n, err := b.ReadCloser.Read(p)
	b.c.s.mu.Lock()
	b.c.waiting = time.Time{}
	b.c.s.mu.Unlock()
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
