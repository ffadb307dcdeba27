package chaos

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// weather is what a proxy does to what passes through it. The zero value lets
// everything through.
type weather struct {
	refuse  bool          // connections are cut, new ones too
	silent  bool          // nothing gets through, and nobody is told
	delay   time.Duration // of each piece, either way
	lose    float64       // the chance of a reply to be swallowed; then the connection is cut
	commits bool          // lose concerns replies to a COMMIT alone
}

// proxy passes connections on to a server, as far as its weather lets it. Its
// address stays the same when the server moves.
type proxy struct {
	listener net.Listener
	wg       sync.WaitGroup
	lost     atomic.Int64 // replies swallowed

	mu      sync.Mutex
	target  string
	weather weather
	changed chan struct{} // closed when the weather changes
	links   map[*link]bool
	rng     *rand.Rand
	closed  bool
}

// link is one connection with both its ends.
type link struct {
	client, server net.Conn
	gone           chan struct{}
	once           sync.Once
	commit         atomic.Bool // a COMMIT went up and its reply has not come down
	dead           atomic.Bool // open at both ends, and nothing passes any more
}

func (l *link) cut() {
	l.once.Do(func() {
		close(l.gone)
		for _, c := range []net.Conn{l.client, l.server} {
			if c == nil {
				continue
			}
			if t, ok := c.(*net.TCPConn); ok {
				_ = t.SetLinger(0) // a reset, as from a machine that is gone
			}
			_ = c.Close()
		}
	})
}

func newProxy(target string, seed uint64) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{
		listener: l, target: target, changed: make(chan struct{}), links: map[*link]bool{},
		rng: rand.New(rand.NewPCG(seed, 1)),
	}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// point leads new connections to another server.
func (p *proxy) point(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
}

// set changes the weather, for the connections that are there too.
func (p *proxy) set(w weather) {
	p.mu.Lock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
	var cut []*link
	if w.refuse {
		for l := range p.links {
			cut = append(cut, l)
		}
	}
	p.mu.Unlock()
	for _, l := range cut {
		l.cut()
	}
}

// deaden leaves the connections that are there open and lets nothing through them
// for good, as when the way between two machines has moved.
func (p *proxy) deaden() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.dead.Store(true)
	}
}

func (p *proxy) look() (weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather, p.changed
}

func (p *proxy) chance(c float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rng.Float64() < c
}

// close cuts everything and waits until all is gone.
func (p *proxy) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.set(weather{refuse: true})
	p.wg.Wait()
	return err
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no file is free
			continue
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *proxy) serve(client net.Conn) {
	l := &link{client: client, gone: make(chan struct{})}
	defer l.cut()
	if !p.enter(l) {
		return
	}
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, l.client, l.server, false) })
	both.Go(func() { p.pump(l, l.server, l.client, true) })
	both.Wait()
}

// enter connects a link to the server and puts it on the list, unless nobody
// gets through.
func (p *proxy) enter(l *link) bool {
	p.mu.Lock()
	target, refuse := p.target, p.weather.refuse
	p.mu.Unlock()
	if refuse || target == "" {
		return false
	}
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		return false
	}
	l.server = server
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.weather.refuse || p.closed {
		return false
	}
	p.links[l] = true
	return true
}

func (p *proxy) pump(l *link, from, to net.Conn, replies bool) {
	defer l.cut()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.pass(l, buf[:n], replies) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until a piece may go on. False swallows it and ends the link.
func (p *proxy) pass(l *link, piece []byte, reply bool) bool {
	if l.dead.Load() {
		<-l.gone
		return false
	}
	w, changed := p.look()
	for w.silent {
		select {
		case <-changed:
		case <-l.gone:
			return false
		}
		w, changed = p.look()
	}
	if w.delay > 0 && !l.linger(w.delay) {
		return false
	}
	if !reply {
		if bytes.Contains(piece, []byte("COMMIT")) {
			l.commit.Store(true)
		}
		return true
	}
	commit := l.commit.Swap(false)
	if w.lose > 0 && (commit || !w.commits) && p.chance(w.lose) {
		p.lost.Add(1)
		return false
	}
	return true
}

func (l *link) linger(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.gone:
		return false
	}
}
