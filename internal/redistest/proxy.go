package redistest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Proxy stands between clients and a server and loses replies: the server has
// done what was asked, and the client does not learn of it. It takes every
// reply to be to the request before it, so it is not for pipelines.
type Proxy struct {
	// URL is what evalq takes as --redis-url to go through the proxy.
	URL string

	tb       testing.TB
	server   *Server
	socket   string
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	lose   *loss
	silent bool
}

type loss struct {
	request, reply []byte
	done           chan struct{}
}

// NewProxy runs until the test ends.
func NewProxy(tb testing.TB, s *Server) *Proxy {
	tb.Helper()
	p := &Proxy{tb: tb, server: s, socket: filepath.Join(shortDir(tb), "p.sock"), conns: map[net.Conn]bool{}}
	p.URL = (&url.URL{Scheme: "unix", Path: p.socket}).String()
	var err error
	if p.listener, err = net.Listen("unix", p.socket); err != nil {
		tb.Fatalf("redistest: proxy: %v", err)
	}
	tb.Cleanup(p.close)
	p.wg.Go(p.accept)
	return p
}

// Client returns a client that goes through the proxy. It is closed when the
// test ends.
func (p *Proxy) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	o := p.server.options()
	o.Network, o.Addr = "unix", p.socket
	c := redis.NewClient(o)
	tb.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			tb.Errorf("redistest: close the client: %v", err)
		}
	})
	return c
}

// LoseReply cuts the connection in place of the next reply that has the one text
// in it, to a request that has the other. The returned channel is closed when
// that has happened.
func (p *Proxy) LoseReply(request, reply string) (lost <-chan struct{}) {
	done := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = &loss{[]byte(request), []byte(reply), done}
	return done
}

// Await waits for what LoseReply promised.
func (p *Proxy) Await(lost <-chan struct{}) {
	p.tb.Helper()
	select {
	case <-lost:
	case <-time.After(30 * time.Second):
		p.tb.Fatal("redistest: in 30 s there was no such reply")
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(p.server.options().Network, p.server.options().Addr)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		pair := &pair{proxy: p, client: client, server: server}
		p.wg.Go(pair.requests)
		p.wg.Go(pair.replies)
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.conns == nil {
			_ = c.Close()
			continue
		}
		p.conns[c] = true
	}
	return p.conns != nil
}

// pair is one client's connection and the one made for it.
type pair struct {
	proxy          *Proxy
	client, server net.Conn

	mu      sync.Mutex
	request []byte // since the last reply
}

func (c *pair) end() {
	_ = c.client.Close()
	_ = c.server.Close()
}

func (c *pair) requests() {
	defer c.end()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.client.Read(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.request = append(c.request, buf[:n]...)
		c.mu.Unlock()
		if _, err := c.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *pair) replies() {
	defer c.end()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.server.Read(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		request := c.request
		c.request = nil
		c.mu.Unlock()
		if c.proxy.loses(request, buf[:n]) {
			return
		}
		if c.proxy.isSilent() {
			continue
		}
		if _, err := io.Copy(c.client, bytes.NewReader(buf[:n])); err != nil {
			return
		}
	}
}

// loses reports whether this is the reply to lose.
func (p *Proxy) loses(request, reply []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lose == nil || !bytes.Contains(request, p.lose.request) || !bytes.Contains(reply, p.lose.reply) {
		return false
	}
	close(p.lose.done)
	p.lose = nil
	return true
}
