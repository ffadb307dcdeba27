package redistest

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// Failover is a proxy such as a provider puts before a primary and its replica: a
// connection stays with the server that it was dialled to, new ones go where To
// says. It speaks TCP.
type Failover struct {
	Addr string // host:port

	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	to       *Server
	old, new []byte // what is written in place of what in replies
	conns    map[net.Conn]bool
	dials    int
}

// NewFailover runs until the test ends.
func NewFailover(tb testing.TB, to *Server) *Failover {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("redistest: failover: %v", err)
	}
	f := &Failover{Addr: l.Addr().String(), listener: l, to: to, conns: map[net.Conn]bool{}}
	tb.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	f.wg.Go(f.accept)
	return f
}

// To sends the connections that come from now on to another server.
func (f *Failover) To(s *Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = s
}

// Say puts another text in place of one in the replies.
func (f *Failover) Say(old, new string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.old, f.new = []byte(old), []byte(new)
}

// Dials counts the connections that came.
func (f *Failover) Dials() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dials
}

func (f *Failover) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		o := f.to.options()
		f.dials++
		f.mu.Unlock()
		server, err := net.Dial(o.Network, o.Addr)
		if err != nil {
			_ = client.Close()
			continue
		}
		f.mu.Lock()
		f.conns[client], f.conns[server] = true, true
		f.mu.Unlock()
		f.wg.Go(func() { f.pump(client, server, false) })
		f.wg.Go(func() { f.pump(server, client, true) })
	}
}

func (f *Failover) pump(from, to net.Conn, replies bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		out := buf[:n]
		if replies {
			f.mu.Lock()
			if len(f.old) > 0 {
				out = bytes.ReplaceAll(out, f.old, f.new)
			}
			f.mu.Unlock()
		}
		if _, err := to.Write(out); err != nil {
			return
		}
	}
}
