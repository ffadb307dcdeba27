package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// A tick of the clock sorts all keys under the engine's only lock: about
	// 12 ms at 40,000 keys. Above crowdedKeys it is done more rarely.
	usualTick   = time.Second
	crowdedTick = 5 * time.Second
	crowdedKeys = 50_000

	// The server keeps 150 to 320 bytes for each key name it has ever seen.
	leakWarningEvery = 500_000
)

// EmbeddedConfig has the settings of an [Embedded] engine.
type EmbeddedConfig struct {
	// Logger receives warnings about the engine's memory. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

// Embedded is a Redis-speaking server inside this process. It opens no port
// and keeps nothing on disk: when the process ends, its content is gone.
type Embedded struct {
	log     *slog.Logger
	mini    *miniredis.Miniredis
	srv     *server.Server
	client  *redis.Client
	info    *infoPage
	created atomic.Int64 // tasks seen for the first time
	mu      sync.Mutex   // guards closed, and orders dial before Close
	closed  bool
}

// OpenEmbedded starts an empty engine. The caller runs [Embedded.Run], without
// which nothing in the engine ever expires, and closes the engine after
// everything that uses its client.
func OpenEmbedded(cfg *EmbeddedConfig) (*Embedded, error) {
	var c EmbeddedConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	e := &Embedded{log: c.Logger, mini: miniredis.NewMiniRedis()}
	// A first connection starts the server without a listener.
	first, err := e.mini.Dial()
	if err != nil {
		return nil, fmt.Errorf("engine: start the embedded engine: %w", err)
	}
	if err := first.Close(); err != nil {
		return nil, fmt.Errorf("engine: start the embedded engine: %w", err)
	}
	e.srv = e.mini.Server()
	e.info = newInfoPage(e.srv, time.Now())
	e.srv.SetPreHook(e.beforeCommand)
	e.client = redis.NewClient(e.options())
	e.client.AddHook(newEmptyPoll(e.mini))
	return e, nil
}

func (e *Embedded) options() *redis.Options {
	return &redis.Options{
		Addr:                  memAddr{}.String(), // shown on Asynqmon's Redis page
		Dialer:                e.dial,
		Protocol:              2,
		ContextTimeoutEnabled: true,
		PoolSize:              32,
		PipelinePoolSize:      -1,
		ReadBufferSize:        8 << 10,
		WriteBufferSize:       8 << 10,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
}

func (e *Embedded) dial(context.Context, string, string) (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errors.New("engine: the embedded engine is closed")
	}
	ours, theirs := newMemConn()
	e.srv.ServeConn(theirs)
	return ours, nil
}

// Client returns the one client of the engine, a *redis.Client. It is safe for
// concurrent use, takes pipelines of any length, and is closed by
// [Embedded.Close]; nobody else closes it.
func (e *Embedded) Client() redis.UniversalClient { return e.client }

// Name returns "embedded".
func (e *Embedded) Name() string { return "embedded" }

// Promise says in one sentence what the engine is and what it promises.
func (e *Embedded) Promise() string {
	return "the queue lives in this process and is empty after a restart, at about 1,000 jobs a second; " +
		"nothing that was accepted is lost, because the ledger has it and fills the queue again"
}

// Run lets time pass in the engine until ctx ends: keys expire only while it
// runs, up to a second late (five with more than 50,000 keys). It returns nil.
func (e *Embedded) Run(ctx context.Context) error {
	period := usualTick
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	last := time.Now()
	var warned int64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		// The time that really passed: a tick may come late or not at all.
		now := time.Now()
		e.mini.FastForward(now.Sub(last))
		last = now
		e.info.sample()
		warned = e.warnOfLeak(warned)
		if next := e.tickPeriod(ctx); next != period {
			period = next
			ticker.Reset(period)
		}
	}
}

func (e *Embedded) tickPeriod(ctx context.Context) time.Duration {
	// On an error (we are stopping) the usual period is as good as any.
	if n, err := e.client.DBSize(ctx).Result(); err == nil && n > crowdedKeys {
		return crowdedTick
	}
	return usualTick
}

// warnOfLeak logs once for each leakWarningEvery tasks, and returns how many
// times it has by now.
func (e *Embedded) warnOfLeak(warned int64) int64 {
	n := e.created.Load()
	if n/leakWarningEvery > warned {
		e.log.Warn("the embedded engine keeps some memory for each task it has carried; a restart frees it",
			"tasks", n, "approximate_bytes", n*240)
	}
	return n / leakWarningEvery
}

// beforeCommand sees each command before the server does, also those that a
// script calls, and reports whether it has answered.
func (e *Embedded) beforeCommand(peer *server.Peer, cmd string, args ...string) bool {
	if cmd == "INFO" {
		peer.WriteBulk(e.info.render(args))
		return true
	}
	if writes[cmd] {
		e.info.changes.Add(1)
	}
	if isNewTask(cmd, args) {
		e.created.Add(1)
	}
	return false
}

// isNewTask recognises how asynq's scripts store a task for the first time:
// HSET key "msg" m "state" s with one of three states. Later moves either
// leave the message alone or set another state.
func isNewTask(cmd string, args []string) bool {
	if cmd != "HSET" || len(args) < 5 || args[1] != "msg" || args[3] != "state" {
		return false
	}
	switch args[4] {
	case "pending", "scheduled", "aggregating":
		return true
	}
	return false
}

// Close ends the engine and forgets its content. It is called after
// [Embedded.Run] has returned and nobody uses the client any more.
func (e *Embedded) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	err := e.client.Close()
	e.mini.Close()
	if err != nil {
		return fmt.Errorf("engine: close the embedded engine: %w", err)
	}
	return nil
}
