package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	pollEvery = 10 * time.Millisecond
	// askTimeout bounds one question to a server that may hang.
	askTimeout = 2 * time.Second
)

// child is one run of the server. We may be its parent or have adopted it.
type child struct {
	socket string
	pid    int
	exited chan struct{} // closed when our own child is gone; nil if adopted
}

// startChild runs a server and waits until it answers. The server is in a
// process group of its own, so that a Ctrl-C in the terminal reaches only us
// and it can be stopped last.
func startChild(ctx context.Context, socket string, cfg ManagedConfig) (*child, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("engine: remove the socket of an earlier server: %w", err)
	}
	cmd := exec.Command(cfg.Binary,
		"--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--daemonize", "no",
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
		"--dir", cfg.Dir, "--logfile", logPath(cfg.Dir))
	cmd.Dir = cfg.Dir
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("engine: start %q: %w", cfg.Binary, err)
	}
	c := &child{socket: socket, pid: cmd.Process.Pid, exited: make(chan struct{})}
	go func() {
		defer close(c.exited)
		_ = cmd.Wait() // why it ended is in its log
	}()
	if err := c.awaitAnswer(ctx, cfg.StartTimeout); err != nil {
		// Nobody will own it, so it must not stay.
		err = fmt.Errorf("engine: start %q: %w; its log %q ends:\n%s", cfg.Binary, err, logPath(cfg.Dir), logTail(cfg.Dir))
		return nil, errors.Join(err, c.stop(cfg.StopTimeout))
	}
	return c, nil
}

func logPath(dir string) string { return filepath.Join(dir, "redis.log") }

// logTail has the last lines of the server's log, for people.
func logTail(dir string) string {
	b, err := os.ReadFile(logPath(dir))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// awaitAnswer waits until PING is answered: up to silence without any answer,
// and for as long as ctx allows while the server says that it is loading.
func (c *child) awaitAnswer(ctx context.Context, silence time.Duration) error {
	client := newClient(c.socket)
	defer client.Close()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	lastSign := time.Now()
	for {
		err := ping(ctx, client, c.socket)
		if err == nil {
			return nil
		}
		if isLoading(err) {
			lastSign = time.Now()
		}
		if time.Since(lastSign) > silence {
			return fmt.Errorf("it does not answer: %w", err)
		}
		select {
		case <-tick.C:
		case <-c.exited:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// adopt returns the server that already answers at socket, nil if there is
// none. A server with another folder or other settings is an error.
func adopt(ctx context.Context, socket string, cfg ManagedConfig) (*child, error) {
	if !listens(socket) {
		return nil, nil
	}
	c := &child{socket: socket}
	if err := c.awaitAnswer(ctx, cfg.StartTimeout); err != nil {
		if !listens(socket) {
			return nil, nil // it was on its way out
		}
		return nil, err
	}
	client := newClient(socket)
	defer client.Close()
	settings := map[string]string{"dir": cfg.Dir, "appendonly": "yes"}
	for name, want := range settings {
		got, err := client.ConfigGet(ctx, name).Result()
		if err != nil {
			return nil, err
		}
		if got[name] != want {
			return nil, fmt.Errorf("it is not ours: its %s is %q, not %q; stop it first", name, got[name], want)
		}
	}
	info, err := client.InfoMap(ctx, "server").Result()
	if err != nil {
		return nil, err
	}
	version := info["Server"]["redis_version"]
	if !newEnough(version) {
		return nil, fmt.Errorf("it is Redis %s, evalq needs %d.%d or newer; stop it first", version, minMajor, minMinor)
	}
	if _, err := fmt.Sscan(info["Server"]["process_id"], &c.pid); err != nil || c.pid <= 1 {
		return nil, errors.New("it does not tell its process id")
	}
	return c, nil
}

// awaitEnd blocks until the server is gone, and reports whether it is; false
// means that ctx ended first.
func (c *child) awaitEnd(ctx context.Context) bool {
	tick := time.NewTicker(20 * pollEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		// The kernel closes our connection the moment the process is gone,
		// which also tells of one whose parent we are not.
		if conn, err := net.Dial("unix", c.socket); err == nil {
			release := context.AfterFunc(ctx, func() { conn.Close() })
			_, _ = io.Copy(io.Discard, conn)
			release()
			conn.Close()
			if ctx.Err() != nil {
				return false
			}
		}
		if !listens(c.socket) {
			return true
		}
		select { // somebody closed that connection, or the server is short of them
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return false
}

// stop ends the server and waits until it is gone, by force after patience.
func (c *child) stop(patience time.Duration) error {
	if c.gone() {
		return nil
	}
	if err := signalTo(c.pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	if c.awaitGone(patience) {
		return nil
	}
	if err := signalTo(c.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the server: %w", err)
	}
	if !c.awaitGone(patience) {
		return fmt.Errorf("the server, process %d, did not end", c.pid)
	}
	return nil
}

func (c *child) awaitGone(patience time.Duration) bool {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	deadline := time.After(patience)
	for !c.gone() {
		select {
		case <-tick.C:
		case <-deadline:
			return c.gone()
		}
	}
	return true
}

// gone reports whether the server's process has ended. An adopted one is never
// signalled once its socket is silent: its number may be another process' by then.
func (c *child) gone() bool {
	if c.exited == nil {
		return !listens(c.socket)
	}
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// listens reports whether a process holds the socket open.
func listens(socket string) bool {
	conn, err := net.DialTimeout("unix", socket, askTimeout)
	if err == nil {
		conn.Close()
		return true
	}
	// A full queue of connections means that somebody listens, if slowly.
	return !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist)
}

func newClient(socket string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: "unix", Addr: socket, ContextTimeoutEnabled: true,
		MaxRetries: -1, DialerRetries: 1, PoolSize: 1, PipelinePoolSize: -1,
	})
}

// ping asks only a socket that is there: the client's pool prints each failure
// to dial, and after a few gives up.
func ping(ctx context.Context, client *redis.Client, socket string) error {
	if !listens(socket) {
		return errors.New("nothing listens on its socket")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return client.Ping(ctx).Err()
}

func isLoading(err error) bool { return strings.Contains(err.Error(), "LOADING") }
