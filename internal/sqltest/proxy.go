package sqltest

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy stands before a database, as a cluster's does: new connections go to the server
// that it points to now, and those that are open stay where they are.
type Proxy struct {
	// Answer, set before the first connection, sees what a client says, with the number
	// of its connection from 1 on. What it returns is sent to the client, and then the
	// server does not hear it. Nil means that the server does.
	Answer func(connection int, said []byte) []byte

	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	target string
	count  int
	closed bool
	open   map[net.Conn]bool
}

// NewProxy points to the host of a URL. It ends with the test.
func NewProxy(tb testing.TB, raw string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: l, open: map[net.Conn]bool{}}
	p.Point(tb, raw)
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	tb.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.closed = true
		for c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// URL is raw with the proxy for its host.
func (p *Proxy) URL(tb testing.TB, raw string) string {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Point sends new connections to the host of a URL.
func (p *Proxy) Point(tb testing.TB, raw string) {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = u.Host
}

// Connections is how many there have been.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	p.count++
	n, target := p.count, p.target
	p.mu.Unlock()
	if !p.track(client) {
		return
	}
	defer p.drop(client)
	server, err := net.Dial("tcp", target)
	if err != nil || !p.track(server) {
		return
	}
	defer p.drop(server)
	p.wg.Go(func() {
		defer client.Close()
		pipe(client, server, nil)
	})
	pipe(server, client, func(said []byte) bool {
		if p.Answer == nil {
			return true
		}
		answer := p.Answer(n, said)
		if answer != nil {
			_, _ = client.Write(answer)
		}
		return answer == nil
	})
}

// pipe passes on what one side says, where pass lets it.
func pipe(to, from net.Conn, pass func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if pass != nil && !pass(buf[:n]) {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return false
	}
	p.open[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	c.Close()
}
