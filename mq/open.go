package mq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/redisconn"
	"evalq/tasks"
)

// Where Open keeps messages.
const (
	KindRedis  = "redis"  // in Redis
	KindMemory = "memory" // in this process
	KindAuto   = "auto"   // in Redis when it can be reached now, else see Open
)

// Config tunes Open. The zero value works with a Redis on this machine.
type Config struct {
	// Kind is KindRedis, KindMemory or KindAuto. Defaults to KindAuto.
	Kind string
	// Redis is the client of the Redis to use; it stays the caller's. Defaults to
	// one made from RedisURL, which Close closes.
	Redis *redis.Client
	// RedisURL is read when Redis is nil: redis://, rediss:// or unix://. Defaults to
	// redis://127.0.0.1:6379/0.
	RedisURL string
	// Client reaches evalq's ledger, to which the two evaluation types then go. It
	// stays the caller's. Defaults to that of UseClient.
	Client *client.Client
	// Namespace begins the name of the queue in Redis, so that several platforms can
	// share one. Defaults to none.
	Namespace tasks.Namespace
	// Buffer is how many messages a queue in memory holds. Defaults to 100.
	Buffer int
	// Concurrency is how many handlers of one Subscribe run at once. Defaults to 10.
	Concurrency int
	// Attempts is how often a message that fails is tried. Defaults to 5.
	Attempts int
	// Pause comes after a first failure; each further one is four times as long, up
	// to 5 minutes. Defaults to 1 s.
	Pause time.Duration
	// Timeout bounds one call of a handler. Defaults to 10 minutes.
	Timeout time.Duration
	// DrainTimeout is how long running handlers may go on when their subscription
	// ends. Defaults to 20 s.
	DrainTimeout time.Duration
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (cfg *Config) rules() (c Config, r rules, err error) {
	if cfg != nil {
		c = *cfg
	}
	if c.Kind == "" {
		c.Kind = KindAuto
	}
	if c.Kind != KindAuto && c.Kind != KindMemory && c.Kind != KindRedis {
		return c, r, fmt.Errorf("mq: Config.Kind %.40q: use %q, %q or %q", c.Kind, KindRedis, KindMemory, KindAuto)
	}
	if c.RedisURL == "" {
		c.RedisURL = "redis://127.0.0.1:6379/0"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	r = defaultRules()
	r.log = c.Logger
	for _, f := range []struct {
		name string
		from int64
		set  func(int64)
	}{
		{"Buffer", int64(c.Buffer), nil},
		{"Concurrency", int64(c.Concurrency), func(n int64) { r.concurrency = int(n) }},
		{"Attempts", int64(c.Attempts), func(n int64) { r.attempts = int(n) }},
		{"Pause", int64(c.Pause), func(n int64) { r.pause = time.Duration(n) }},
		{"Timeout", int64(c.Timeout), func(n int64) { r.timeout = time.Duration(n) }},
		{"DrainTimeout", int64(c.DrainTimeout), func(n int64) { r.drain = time.Duration(n) }},
	} {
		if f.from < 0 {
			return c, r, fmt.Errorf("mq: Config.%s is below 0", f.name)
		}
		if f.from > 0 && f.set != nil {
			f.set(f.from)
		}
	}
	if c.Concurrency > 10_000 {
		return c, r, errors.New("mq: Config.Concurrency is above 10000")
	}
	return c, r, nil
}

// Open makes the queue that cfg names; nil means the defaults. With KindRedis a
// Redis that does not answer is an error. With KindAuto it is not: when there is a
// client of evalq, the two evaluation types go to the ledger as they always do then,
// other types wait for Redis to come back, within the 10 s of a Publish, and a
// consumer starts when it does. Without a client messages are kept in memory, and
// end with the process. The log says at the level of an error which it is. A Redis
// that answers and refuses, such as for a wrong password, is an error with each kind.
func Open(ctx context.Context, cfg *Config) (MessageQueue, error) {
	if ctx == nil {
		return nil, fmt.Errorf("mq: open: %w", errNilContext)
	}
	c, r, err := cfg.rules()
	if err != nil {
		return nil, err
	}
	if c.Kind == KindMemory {
		return newMemory(c.Buffer, r), nil
	}
	rdb, mine := c.Redis, false
	if rdb == nil {
		if rdb, err = redisconn.New(c.RedisURL, nil); err != nil {
			return nil, fmt.Errorf("mq: open: %w", err)
		}
		mine = true
	}
	q := newRedis(rdb, c.Namespace, r)
	q.client = c.Client
	var out MessageQueue = q
	if mine {
		out = &owner{q}
	}
	answer, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	down := rdb.Ping(answer).Err()
	var refused redis.Error
	switch {
	case down == nil, redis.HasErrorPrefix(down, "LOADING"): // it is reading its data
		return out, nil
	case ctx.Err() != nil:
		err = fmt.Errorf("mq: open: %w", context.Cause(ctx))
	case errors.As(down, &refused):
		err = fmt.Errorf("mq: open: redis refuses: %w", down)
	case c.Kind == KindRedis:
		err = fmt.Errorf("mq: open: redis does not answer: %w", down)
	case q.ledger() != nil:
		c.Logger.ErrorContext(ctx, "Redis does not answer; evaluations go to evalq's ledger and nothing is lost, other messages wait for Redis", "err", down)
		return out, nil
	default:
		c.Logger.ErrorContext(ctx, "Redis does not answer and there is no client of evalq; messages are kept in memory and END WITH THIS PROCESS", "err", down)
	}
	if mine {
		err = errors.Join(err, rdb.Close())
	}
	if err != nil {
		return nil, err
	}
	return newMemory(c.Buffer, r), nil
}

// owner also closes the client that Open made.
type owner struct{ *RedisQueue }

func (o *owner) Close() error {
	err := o.RedisQueue.Close()
	if cerr := o.rdb.Close(); cerr != nil && !errors.Is(cerr, redis.ErrClosed) {
		err = errors.Join(err, fmt.Errorf("mq: close: %w", cerr))
	}
	return err
}
