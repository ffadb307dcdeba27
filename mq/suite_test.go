package mq_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"evalq/internal/engine"
	"evalq/internal/redistest"
	"evalq/mq"
	"evalq/mq/mqtest"
	"evalq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// embedded is a client of an engine in this process.
func embedded(t *testing.T) *redis.Client {
	t.Helper()
	e, err := engine.OpenEmbedded(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ran, e.Close()); err != nil {
			t.Error(err)
		}
	})
	return e.Client().(*redis.Client)
}

func TestInMemoryQueueKeepsThePromises(t *testing.T) {
	t.Parallel()
	mqtest.Run(t, func(t *testing.T, cfg mq.Config) func() mq.MessageQueue {
		cfg.Kind = mq.KindMemory
		q := opened(t, cfg)
		return func() mq.MessageQueue { return q }
	})
}

func TestRedisQueueKeepsThePromisesOnTheEmbeddedEngine(t *testing.T) {
	t.Parallel()
	mqtest.Run(t, func(t *testing.T, cfg mq.Config) func() mq.MessageQueue {
		return onRedis(t, embedded(t), cfg)
	})
}

func TestRedisQueueKeepsThePromisesOnRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	mqtest.Run(t, func(t *testing.T, cfg mq.Config) func() mq.MessageQueue {
		return onRedis(t, server.Client(t), cfg)
	})
}

var places atomic.Int64

// onRedis gives each test a queue of its own.
func onRedis(t *testing.T, rdb *redis.Client, cfg mq.Config) func() mq.MessageQueue {
	cfg.Kind, cfg.Redis, cfg.Namespace = mq.KindRedis, rdb, tasks.Namespace(fmt.Sprintf("t%d", places.Add(1)))
	return func() mq.MessageQueue { return opened(t, cfg) }
}

func opened(t *testing.T, cfg mq.Config) mq.MessageQueue {
	t.Helper()
	q, err := mq.Open(t.Context(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}
