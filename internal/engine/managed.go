package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"evalq/internal/folder"
)

// ErrNoBinary is in the error of [OpenManaged] when there is no server program
// to run.
var ErrNoBinary = errors.New("neither valkey-server nor redis-server is on PATH: install one of them " +
	"(apt-get install redis-server, brew install valkey), name one, or use the embedded engine")

// ErrInUse is in the error of [OpenManaged] when another process has the
// engine's folder.
var ErrInUse = errors.New("another process uses this folder")

const (
	restartFirst   = 50 * time.Millisecond
	restartLongest = 5 * time.Second
	steadyAfter    = time.Minute // a child that has run for so long starts the back-off afresh
)

// ManagedConfig has the settings of a [Managed] engine.
type ManagedConfig struct {
	// Dir is the folder that holds the data, the log redis.log and the socket.
	// It is made when it does not exist, and belongs to one process at a time.
	// Required.
	Dir string
	// Binary is the server program. Defaults to valkey-server, else
	// redis-server, from PATH.
	Binary string
	// StartTimeout is how long a new child may take until it answers at all;
	// reading its data from disk may then take longer. Defaults to 10s.
	StartTimeout time.Duration
	// StopTimeout is how long Close waits for the child to write its data and
	// end. After it the child is killed. Defaults to 10s.
	StopTimeout time.Duration
	// Logger receives what becomes of the child. Defaults to slog.Default().
	Logger *slog.Logger
}

// Managed is a redis-server or valkey-server that this process runs as a child
// on a unix socket, with an append-only file that is synced every second.
//
// The child outlives a crash of this process, and the next [OpenManaged] on
// the same folder goes on with it.
type Managed struct {
	cfg    ManagedConfig
	log    *slog.Logger
	socket string
	lock   *os.File
	mu     sync.Mutex // guards child and closed
	child  *child
	closed bool
}

// OpenManaged takes hold of cfg.Dir, and starts a server there or adopts one
// that survived an earlier process. It returns once the server answers, which
// with much data on disk may take a while; ctx bounds that. The caller runs
// [Managed.Run], which brings a dead child back, and closes the engine last.
func OpenManaged(ctx context.Context, cfg *ManagedConfig) (_ *Managed, err error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	binary, err := findBinary(ctx, c.Binary)
	if err != nil {
		return nil, fmt.Errorf("engine: find a server to run: %w", err)
	}
	c.Binary = binary
	if err := folder.Make(c.Dir); err != nil {
		return nil, fmt.Errorf("engine: make the folder of the managed engine: %w", err)
	}
	// Resolved, because the child reports its folder so.
	if c.Dir, err = filepath.EvalSymlinks(c.Dir); err != nil {
		return nil, fmt.Errorf("engine: resolve the folder of the managed engine: %w", err)
	}
	m := &Managed{cfg: c, log: c.Logger}
	if m.lock, err = lockDir(c.Dir); err != nil {
		return nil, fmt.Errorf("engine: take hold of %q: %w", c.Dir, err)
	}
	defer func() {
		if err != nil {
			m.lock.Close()
		}
	}()
	if m.socket, err = socketPath(c.Dir); err != nil {
		return nil, fmt.Errorf("engine: choose a socket for %q: %w", c.Dir, err)
	}
	if m.child, err = m.adoptOrStart(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// FindManaged answers where the server of a managed engine listens, as a unix://
// URL, and whether somebody answers there. It starts and makes nothing. When
// nobody answers, the error says why OpenManaged could not change that: there is
// no server program to run.
func FindManaged(ctx context.Context, cfg *ManagedConfig) (address string, running bool, err error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return "", false, err
	}
	if dir, err := filepath.EvalSymlinks(c.Dir); err == nil {
		c.Dir = dir
	}
	socket, _, err := socketPlace(c.Dir)
	if err != nil {
		return "", false, fmt.Errorf("engine: choose a socket for %q: %w", c.Dir, err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		if _, err := findBinary(ctx, c.Binary); err != nil {
			return "", false, fmt.Errorf("engine: find a server to run: %w", err)
		}
		return socketURL(socket), false, nil
	}
	return socketURL(socket), true, conn.Close()
}

func (c *ManagedConfig) withDefaults() (ManagedConfig, error) {
	var d ManagedConfig
	if c != nil {
		d = *c
	}
	if d.Dir == "" {
		return d, errors.New("engine: ManagedConfig.Dir is empty: name the folder for the engine's data")
	}
	dir, err := filepath.Abs(d.Dir)
	if err != nil {
		return d, fmt.Errorf("engine: ManagedConfig.Dir: %w", err)
	}
	d.Dir = dir
	if d.StartTimeout < 0 || d.StopTimeout < 0 {
		return d, fmt.Errorf("engine: ManagedConfig.StartTimeout is %v and StopTimeout %v, they cannot be negative", d.StartTimeout, d.StopTimeout)
	}
	if d.StartTimeout == 0 {
		d.StartTimeout = 10 * time.Second
	}
	if d.StopTimeout == 0 {
		d.StopTimeout = 10 * time.Second
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d, nil
}

func (m *Managed) adoptOrStart(ctx context.Context) (*child, error) {
	survivor, err := adopt(ctx, m.socket, m.cfg)
	if err != nil {
		return nil, fmt.Errorf("engine: adopt the server at %q: %w", m.socket, err)
	}
	if survivor != nil {
		m.log.Info("adopted the queue's server, which survived an earlier process", "pid", survivor.pid)
		return survivor, nil
	}
	return startChild(ctx, m.socket, m.cfg)
}

// URL is the address of the server as a unix:// URL. It stays the same when
// the child is started again.
func (m *Managed) URL() string { return socketURL(m.socket) }

func socketURL(path string) string { return (&url.URL{Scheme: "unix", Path: path}).String() }

// Name returns "managed".
func (m *Managed) Name() string { return "managed" }

// Promise says in one sentence what the engine is and what it promises.
func (m *Managed) Promise() string {
	return "the queue lives in " + filepath.Base(m.cfg.Binary) + ", run by this process and synced to disk every second; " +
		"nothing that was accepted is lost, because the ledger has it and delivers again what the last second before a crash may miss"
}

// Run watches over the child and starts it again when it dies, at first after
// 50 ms, then ever more slowly up to 5 s, until ctx ends. It leaves the child
// running and returns nil.
func (m *Managed) Run(ctx context.Context) error {
	wait := restartFirst
	for {
		current := m.current()
		since := time.Now()
		if !current.awaitEnd(ctx) {
			return nil
		}
		if time.Since(since) > steadyAfter {
			wait = restartFirst
		}
		m.log.Error("the queue's server ended; it is started again", "pid", current.pid, "wait", wait)
		// Two servers on one file would ruin it: the old one must be gone, not just silent.
		if err := current.stop(m.cfg.StopTimeout); err != nil {
			m.log.Error("the queue's server is silent but does not end", "err", err)
			continue
		}
		var done bool
		if wait, done = m.bringBack(ctx, wait); done {
			return nil
		}
	}
}

// bringBack tries until a child runs, and returns how long the next death
// waits, and whether ctx ended.
func (m *Managed) bringBack(ctx context.Context, wait time.Duration) (next time.Duration, done bool) {
	for {
		select {
		case <-ctx.Done():
			return wait, true
		case <-time.After(wait):
		}
		wait = min(2*wait, restartLongest)
		fresh, err := startChild(ctx, m.socket, m.cfg)
		if ctx.Err() != nil {
			if fresh != nil {
				m.replace(fresh)
			}
			return wait, true
		}
		if err != nil {
			m.log.Error("the queue's server did not start", "err", err, "wait", wait)
			continue
		}
		m.log.Info("the queue's server runs again", "pid", fresh.pid)
		m.replace(fresh)
		return wait, false
	}
}

func (m *Managed) current() *child {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.child
}

func (m *Managed) replace(c *child) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.child = c
}

// Close tells the server to write its data and end, and waits until it has. It
// is called after [Managed.Run] has returned and everybody who uses the server
// is done.
func (m *Managed) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	err := m.child.stop(m.cfg.StopTimeout)
	if err := errors.Join(err, m.lock.Close()); err != nil {
		return fmt.Errorf("engine: close the managed engine: %w", err)
	}
	return nil
}
