package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"evalq/internal/config"
	"evalq/internal/engine"
	"evalq/internal/redisconn"
)

// carrier is what carries the queue: an engine and a client to it.
type carrier struct {
	name, promise string
	client        redis.UniversalClient
	window        int // tasks of a queue that may wait in it
	finished      int // finished tasks of a queue that it may keep
	run           func(context.Context) error
	closers       []func() error // in the order of closing
}

// Windows of the embedded engine, whose lists cost more the longer they are,
// and of a real Redis.
const (
	smallWindow, largeWindow     = 2_000, 20_000
	smallFinished, largeFinished = 2_000, 100_000
)

func openCarrier(ctx context.Context, cfg config.Config, log *slog.Logger) (*carrier, error) {
	c := &carrier{window: largeWindow, finished: largeFinished, run: idle}
	var err error
	switch cfg.Engine {
	case config.EngineEmbedded:
		err = c.openEmbedded(log)
	case config.EngineManaged:
		err = c.openManaged(ctx, cfg, log)
	case config.EngineRedis:
		err = c.openRedis(ctx, cfg.RedisURL)
	default:
		err = fmt.Errorf("engine %q: use embedded, managed or redis", cfg.Engine)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("app: open engine: %w", err), c.close())
	}
	if cfg.Window > 0 {
		c.window = cfg.Window
	}
	return c, nil
}

func (c *carrier) openEmbedded(log *slog.Logger) error {
	e, err := engine.OpenEmbedded(&engine.EmbeddedConfig{Logger: log})
	if err != nil {
		return err
	}
	c.name, c.promise, c.client, c.run = e.Name(), e.Promise(), e.Client(), e.Run
	c.window, c.finished = smallWindow, smallFinished
	c.closers = append(c.closers, e.Close)
	return nil
}

func (c *carrier) openManaged(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	m, err := engine.OpenManaged(ctx, &engine.ManagedConfig{Dir: filepath.Join(cfg.DataDir, "redis"), Binary: cfg.ManagedBinary, Logger: log})
	if err != nil {
		return err
	}
	c.name, c.promise, c.run = m.Name(), m.Promise(), m.Run
	c.closers = append(c.closers, m.Close)
	client, err := redisconn.Open(ctx, m.URL(), nil)
	if err != nil {
		return err
	}
	c.client = client
	c.closers = append([]func() error{client.Close}, c.closers...)
	return nil
}

func (c *carrier) openRedis(ctx context.Context, url string) error {
	client, err := redisconn.Open(ctx, url, nil)
	if err != nil {
		return err
	}
	c.name, c.client = "redis", client
	c.promise = "the queue is on the Redis at " + redisconn.Redacted(url) + "; if it loses tasks, the ledger delivers them again"
	c.closers = append(c.closers, client.Close)
	return nil
}

func (c *carrier) close() error {
	var errs []error
	for _, f := range c.closers {
		errs = append(errs, f())
	}
	c.closers = nil
	return errors.Join(errs...)
}

// idle is the run of an engine that somebody else runs.
func idle(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
