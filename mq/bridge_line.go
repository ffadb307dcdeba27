package mq

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// bridgeLine watches the connection that is subscribed.
type bridgeLine struct {
	mu   sync.Mutex
	conn *bridgeConn
}

// bridgeConn notes since when somebody waits for its next bytes: a connection that
// nobody reads because the ledger is slow is not silent.
type bridgeConn struct {
	net.Conn
	since atomic.Int64 // 0 while nobody waits
}

func (c *bridgeConn) Read(p []byte) (int, error) {
	c.since.Store(time.Now().UnixNano())
	defer c.since.Store(0)
	return c.Conn.Read(p)
}

func (l *bridgeLine) dialer(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &bridgeConn{Conn: conn}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conn = c
		return c, nil
	}
}

// silence is how long the newest connection has been waited on.
func (l *bridgeLine) silence(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return 0
	}
	since := l.conn.since.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, since))
}

// cut ends the newest connection under whoever reads it.
func (l *bridgeLine) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.Close()
	}
}
