package ledgertest

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"evalq/tasks"
)

// cutter is a proxy before the database. Armed, it lets the next COMMIT through,
// keeps the answer and cuts the connection. It can also make connections fall
// silent, as a host does that loses its power or its network: they stay open,
// and nothing comes through.
type cutter struct {
	url, straight string // through the cutter, and past it
	target        string
	armed         atomic.Bool
	hush          atomic.Bool // the next COMMIT is lost, and its connection silent
	closed        atomic.Bool // it takes no new connections
	cuts          atomic.Int64
	wg            sync.WaitGroup
	gone          chan struct{} // closed at the end
	mu            sync.Mutex
	open          map[net.Conn]bool
	links         []*link
}

// link is one connection through the cutter.
type link struct{ silent atomic.Bool }

func newCutter(t testing.TB, raw string) *cutter {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{straight: raw, target: u.Host, gone: make(chan struct{}), open: map[net.Conn]bool{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	p.url = u.String()
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.end()
		p.wg.Wait()
	})
	return p
}

// end closes every connection, silent ones too.
func (p *cutter) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gone:
	default:
		close(p.gone)
	}
	for c := range p.open {
		c.Close()
	}
}

// silence makes the connections that are open now fall silent.
func (p *cutter) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		l.silent.Store(true)
	}
}

func (p *cutter) track(c net.Conn, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.open[c] = true
	} else {
		delete(p.open, c)
		c.Close()
	}
}

func (p *cutter) serve(client net.Conn) {
	p.track(client, true)
	defer p.track(client, false)
	if p.closed.Load() {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	p.track(server, true)
	defer p.track(server, false)
	l := &link{}
	p.mu.Lock()
	p.links = append(p.links, l)
	p.mu.Unlock()
	var mute atomic.Bool
	p.wg.Go(func() { // what the server says
		defer client.Close()
		l.copy(p.gone, client, server, func([]byte) bool { return !mute.Load() }) // muted, the COMMIT was answered, so it is done
	})
	inside := false // a transaction
	l.copy(p.gone, server, client, func(said []byte) bool {
		said = bytes.ReplaceAll(said, []byte("COMMITTED"), nil) // the isolation level
		has := func(word string) bool { return bytes.Contains(said, []byte(word)) }
		// A request to accept outside of a transaction is one by itself.
		commits := has("COMMIT") || !inside && has(string(tasks.KindEvaluationReport))
		inside = (inside || has("BEGIN") || has("START TRANSACTION")) && !has("COMMIT") && !has("ROLLBACK")
		if !commits {
			return true
		}
		if p.armed.CompareAndSwap(true, false) {
			mute.Store(true)
			p.cuts.Add(1)
		}
		if p.hush.CompareAndSwap(true, false) {
			l.silent.Store(true)
			p.cuts.Add(1)
		}
		return true
	})
}

// copy passes on what one side says until pass refuses. A silent link passes
// nothing on, not even that a side has hung up.
func (l *link) copy(gone <-chan struct{}, to, from net.Conn, pass func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err == nil && !pass(buf[:n]) {
			return
		}
		switch {
		case l.silent.Load() && err != nil:
			<-gone
			return
		case l.silent.Load():
			continue
		case err != nil:
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
