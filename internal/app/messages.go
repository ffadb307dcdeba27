package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/config"
	"evalq/mq"
	"evalq/tasks"
)

// messages looks after the queue of package mq, which a platform may keep in the
// same Redis.
type messages struct {
	ready func(context.Context) error
	every time.Duration // how often the log tells of messages that nobody takes
	log   *slog.Logger
}

// openMessages makes the queue of the same namespace, and connects to nothing.
func openMessages(cfg config.Config, rdb redis.UniversalClient, log *slog.Logger) (*messages, error) {
	client, ok := rdb.(*redis.Client)
	if !ok {
		return nil, errors.New("app: the engine's client is no *redis.Client")
	}
	q := mq.NewRedisQueueIn(tasks.Namespace(cfg.Namespace), client)
	return &messages{ready: q.Ready, every: time.Minute, log: log}, nil
}

// check is an error while messages wait and nobody has subscribed. That Redis is
// away is said elsewhere.
func (m *messages) check(ctx context.Context) error {
	if err := m.ready(ctx); errors.Is(err, mq.ErrNoConsumer) {
		return err
	}
	return nil
}

func (m *messages) run(ctx context.Context) error {
	for {
		rest(ctx, m.every)
		if ctx.Err() != nil {
			return nil
		}
		if err := m.check(ctx); err != nil {
			m.log.Error("messages are not handled", "err", err)
		}
	}
}
