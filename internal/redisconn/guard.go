package redisconn

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"weak"

	"github.com/redis/go-redis/v9"
)

// Refused reports whether an error reply says that this server may not serve
// writes, so that another connection may reach one that may: a replica, a
// primary that was demoted or has lost its replicas, a server that still loads
// its data. The client library knows such a reply by its first word alone, while
// proxies put ERR before it and scripts quote it.
func Refused(reply string) bool {
	text := strings.ToUpper(reply)
	for _, word := range []string{
		"READONLY", "READ ONLY", "READ-ONLY", "MASTERDOWN", "LOADING", "NOREPLICAS", "CLUSTERDOWN",
		"UNBLOCKED", "INSTANCE STATE CHANGED",
	} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// oldEvery bounds how often one reply ends the connections beside its own: a
// server that refuses for good must not be dialled for each command of each
// connection.
const oldEvery = time.Second

// guard watches the replies on all connections that were dialled through it. A
// connection on which the server says that it may not serve writes is not used
// again, and neither are those that were dialled before.
type guard struct {
	before atomic.Int64 // connections dialled before are not used again, in ns
	swept  atomic.Int64 // when before was set last
}

func (g *guard) refused(now time.Time) {
	last := g.swept.Load()
	if now.UnixNano()-last >= int64(oldEvery) && g.swept.CompareAndSwap(last, now.UnixNano()) {
		g.before.Store(now.UnixNano())
	}
}

func (g *guard) wrap(conn net.Conn) net.Conn {
	if _, ok := conn.(*guarded); ok {
		return conn
	}
	return &guarded{Conn: conn, guard: g, dialled: time.Now().UnixNano()}
}

type dial = func(ctx context.Context, network, addr string) (net.Conn, error)

func (g *guard) dialer(next dial) dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return g.wrap(conn), nil
	}
}

// Guard makes a client with these options leave a connection on which the server
// says that it may not serve writes, see [Refused]. The options have a Dialer.
func Guard(o *redis.Options) { o.Dialer = (&guard{}).dialer(o.Dialer) }

// guarded is a connection whose error replies are looked at.
type guarded struct {
	net.Conn
	guard   *guard
	dialled int64
	reason  atomic.Pointer[string]
	replies replyScanner
}

// Read is called by one goroutine at a time.
func (c *guarded) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.replies.scan(p[:n], func(line string) {
		if Refused(line) && c.reason.CompareAndSwap(nil, &line) {
			c.guard.refused(time.Now())
		}
	})
	return n, err
}

// leave is why the connection is not to be used again, nil if it may be.
func (c *guarded) leave() error {
	if reason := c.reason.Load(); reason != nil {
		return &leftError{*reason}
	}
	if c.dialled < c.guard.before.Load() {
		return &leftError{"another connection was told so"}
	}
	return nil
}

// leftError lets the client library repeat the command on another connection, as
// it does when the server has closed one.
type leftError struct{ reply string }

func (e *leftError) Error() string {
	return fmt.Sprintf("redisconn: the connection is left, the server may not serve writes: %.100s", e.reply)
}
func (e *leftError) Unwrap() error { return io.EOF }

// Write refuses what begins after the reply: what is subscribed is subscribed
// anew, and a connection that was just taken from the pool is given up.
func (c *guarded) Write(p []byte) (int, error) {
	if err := c.leave(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// SyscallConn is how the pool looks whether an idle connection still lives: one
// with an error is closed.
func (c *guarded) SyscallConn() (syscall.RawConn, error) {
	if err := c.leave(); err != nil {
		return nil, err
	}
	if raw, ok := c.Conn.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return opaque{}, nil
}

// opaque stands for a connection that cannot be looked at from outside, such as
// one of TLS. It has nothing to read.
type opaque struct{}

func (opaque) Control(func(uintptr)) error    { return nil }
func (opaque) Read(func(uintptr) bool) error  { return nil }
func (opaque) Write(func(uintptr) bool) error { return nil }

// known are the clients of callers that have a guard.
var known sync.Map // of weak.Pointer[redis.Client]

// GuardClient is [Guard] for a client that a caller has made. It adds a hook to
// it. Connections that the client already had are closed when the server refuses
// writes for the first time. Other kinds of clients follow their primary by
// themselves.
func GuardClient(rdb redis.UniversalClient) {
	c, ok := rdb.(*redis.Client)
	if !ok || c == nil {
		return
	}
	key := weak.Make(c)
	if _, there := known.LoadOrStore(key, true); there {
		return
	}
	runtime.AddCleanup(c, func(k weak.Pointer[redis.Client]) { known.Delete(k) }, key)
	h := &guardHook{client: key}
	h.old.Store(c.PoolStats().TotalConns > 0)
	c.AddHook(h)
}

type guardHook struct {
	guard  guard
	client weak.Pointer[redis.Client]
	old    atomic.Bool // there may be connections without a guard
}

func (h *guardHook) DialHook(next redis.DialHook) redis.DialHook { return h.guard.dialer(next) }

func (h *guardHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		h.look(ctx, err)
		return err
	}
}

func (h *guardHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		h.look(ctx, err)
		return err
	}
}

// look closes, once, the connections that were there before the guard: all that
// are idle are taken at once, and the server is asked to end them.
func (h *guardHook) look(ctx context.Context, err error) {
	if err == nil || !h.old.Load() || !Refused(err.Error()) || !h.old.CompareAndSwap(true, false) {
		return
	}
	c := h.client.Value()
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for range c.PoolStats().IdleConns {
		one := c.Conn()
		defer one.Close()
		_ = one.Do(ctx, "QUIT").Err() // what does not know it keeps the connection
	}
}
