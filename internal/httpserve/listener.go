package httpserve

import (
	"net"
	"net/netip"
	"time"
)

// zone is what a connection may be used for, by how many there were before it.
type zone int8

const (
	zoneUsual  zone = iota
	zoneBrief       // one request, and no long poll
	zoneProbes      // one request to a probe's path
)

// listener lets in what there is room for.
type listener struct {
	net.Listener
	s *Server
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.s.admit(raw); c != nil {
			return c, nil
		}
	}
}

// admit gives raw a place, or closes it and returns nil.
func (s *Server) admit(raw net.Conn) *conn {
	now := time.Now()
	c := &conn{Conn: raw, s: s, waiting: now}
	var local bool
	c.address, local = network(raw.RemoteAddr())
	s.mu.Lock()
	if !local {
		s.boundAddress(c.address, now)
	}
	if len(s.conns) >= s.bounds.usual {
		s.evict(s.victim(func(*conn) bool { return true }))
	}
	open := len(s.conns)
	switch {
	case open >= s.bounds.all:
		s.mu.Unlock()
		s.report.count(refused)
		refuse(raw)
		return nil
	case open >= s.bounds.brief:
		c.zone = zoneProbes
	case open >= s.bounds.usual:
		c.zone = zoneBrief
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	return c
}

// boundAddress makes room among the connections of an address that are not
// signed in and wait for their client.
func (s *Server) boundAddress(address string, now time.Time) {
	waiting := func(c *conn) bool { return c.address == address && c.rank == anonymous && c.stalled(now) }
	n := 0
	for c := range s.conns {
		if waiting(c) {
			n++
		}
	}
	if n >= s.cfg.PerAddress {
		s.evict(s.victim(waiting))
	}
}

// victim is the connection whose place another may have, or nil. Only one that
// waits for its client loses it.
func (s *Server) victim(may func(*conn) bool) *conn {
	var found *conn
	share := map[string]int{}
	for c := range s.conns {
		share[c.address]++
	}
	for c := range s.conns {
		if !c.waiting.IsZero() && may(c) && (found == nil || c.before(found, share)) {
			found = c
		}
	}
	return found
}

// before reports whether c loses its place rather than other.
func (c *conn) before(other *conn, share map[string]int) bool {
	if c.rank != other.rank {
		return c.rank < other.rank
	}
	if mine, its := share[c.address], share[other.address]; mine != its {
		return mine > its
	}
	return c.waiting.Before(other.waiting)
}

// evict closes c, which may be nil. The caller holds the lock.
func (s *Server) evict(c *conn) {
	if c == nil {
		return
	}
	s.forget(c)
	if c.pending > 0 {
		c.abort()
	}
	_ = c.Conn.Close()
	s.report.count(evicted)
}

// forget takes c off the books. The caller holds the lock.
func (s *Server) forget(c *conn) {
	delete(s.conns, c)
	s.release(c)
	if c.loose {
		s.loose -= c.pending
		c.loose = false
	}
}

const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// refuse tells a client that there is no room. So few bytes never block.
func refuse(raw net.Conn) {
	_ = raw.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = raw.Write([]byte(refusal))
	_ = raw.Close()
}

// network is what one client can be expected to own: an IPv4 address, or an IPv6
// network of 64 bits. Local is true for loopback and for what has no address.
func network(a net.Addr) (name string, local bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return a.String(), true
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		return netip.PrefixFrom(addr, 64).Masked().String(), false
	}
	return addr.String(), addr.IsLoopback()
}
