package mq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
)

// subscription is one Subscribe call of a RedisQueue.
type subscription struct {
	q       *RedisQueue
	rdb     *redis.Client // its own
	handler MessageHandler
	crew    *crew
}

// consume runs an Asynq server of its own until ctx ends or the queue closes.
func (q *RedisQueue) consume(ctx context.Context, handler MessageHandler) error {
	// Asynq ends the process when a client is closed under it, so this one is not
	// the caller's.
	options := *q.rdb.Options()
	options.PushNotificationProcessor = nil // each client has one of its own
	rdb := redis.NewClient(&options)
	defer rdb.Close()
	s := &subscription{q: q, rdb: rdb, handler: handler, crew: newCrew(ctx)}
	fetching, stopFetching := context.WithCancel(context.Background())
	defer stopFetching()
	srv := asynq.NewServerFromRedisClient(redisconn.Patient(rdb, fetching), s.config())
	if err := srv.Start(asynq.HandlerFunc(s.process)); err != nil {
		return err
	}
	var watching sync.WaitGroup
	watching.Go(func() { (&lookout{rdb: rdb, name: q.name, log: q.rules.log}).run(fetching) })
	select {
	case <-ctx.Done():
	case <-q.closing:
	}
	stopFetching()
	watching.Wait()
	srv.Stop()
	err := s.crew.end(q.rules.drain)
	srv.Shutdown()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func (s *subscription) config() asynq.Config {
	return asynq.Config{
		Concurrency:              s.q.rules.concurrency,
		Queues:                   map[string]int{s.q.name: 1},
		TaskCheckInterval:        20 * time.Millisecond,
		DelayedTaskCheckInterval: 500 * time.Millisecond,
		ShutdownTimeout:          time.Second, // ours has run by then
		Logger:                   carrierLog{s.q.rules.log},
		LogLevel:                 asynq.InfoLevel,
		// A panic in a hook would end the process; these look at nothing but a
		// verdict.
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
			var a *again
			if errors.As(err, &a) {
				return a.pause
			}
			return time.Second
		},
		IsFailure: func(err error) bool {
			var a *again
			return !errors.As(err, &a) || a.charged
		},
	}
}

// again is another try, as Asynq is told of it.
type again struct{ verdict }

func (a *again) Error() string { return a.err.Error() }

// grave makes Asynq archive the task and shows why.
type grave struct{ verdict }

func (g *grave) Error() string        { return g.err.Error() }
func (g *grave) Is(target error) bool { return target == asynq.SkipRetry }

// process is one arrival of a message. Its context is not the handler's: Asynq
// ends it for reasons of its own, and would free a slot whose handler still runs.
func (s *subscription) process(ctx context.Context, t *asynq.Task) error {
	if !s.crew.enter() {
		return &again{verdict{err: errHandBack}}
	}
	defer s.crew.leave()
	id, _ := asynq.GetTaskID(ctx)
	if s.q.wasHandled(id) {
		return nil
	}
	failures, _ := asynq.GetRetryCount(ctx)
	v := s.try(id, failures, t)
	switch v.fate {
	case done:
		s.q.handled(id)
		return nil
	case buried:
		s.q.rules.log.Error("a message was set aside", "type", t.Type(), "task_id", id, "failures", failures+1, "class", classOf(v.err))
		return &grave{v}
	}
	return &again{v}
}

func (s *subscription) try(id string, failures int, t *asynq.Task) verdict {
	if n := s.q.losses(s.rdb, id); n >= s.q.rules.attempts {
		return verdict{fate: buried, err: fmt.Errorf("%d processes died with it", n)}
	}
	m, err := decode(MessageType(t.Type()), t.Payload())
	if err != nil {
		return verdict{fate: buried, err: err}
	}
	err = s.q.rules.call(s.crew.ctx, s.handler, m)
	return s.q.rules.judge(s.crew.ctx, err, failures, age(t))
}

// age is how long ago the message was published. One that another program has put
// there does not say.
func age(t *asynq.Task) time.Duration {
	at, err := strconv.ParseInt(t.Headers()[headerPublished], 10, 64)
	if err != nil {
		return 0
	}
	return time.Since(time.UnixMilli(at))
}

// A message that was handled while Redis was away comes again, because Asynq
// cannot note its end. For a day it is known here.
const (
	handledFor  = 24 * time.Hour
	handledMost = 100_000
)

func (q *RedisQueue) wasHandled(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.finished[id]
	return ok
}

func (q *RedisQueue) handled(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if len(q.finished) >= handledMost {
		for k, at := range q.finished {
			if len(q.finished) >= handledMost/2 || now.Sub(at) > handledFor {
				delete(q.finished, k)
			}
		}
	}
	q.finished[id] = now
}

// carrierLog passes Asynq's own log on, a level lower.
type carrierLog struct{ log *slog.Logger }

func (l carrierLog) put(level slog.Level, args []any) {
	l.log.Log(context.Background(), level, "asynq", "detail", strings.TrimSpace(fmt.Sprint(args...)))
}

func (l carrierLog) Debug(args ...any) { l.put(slog.LevelDebug-4, args) }
func (l carrierLog) Info(args ...any)  { l.put(slog.LevelDebug, args) }
func (l carrierLog) Warn(args ...any)  { l.put(slog.LevelInfo, args) }
func (l carrierLog) Error(args ...any) { l.put(slog.LevelWarn, args) }
func (l carrierLog) Fatal(args ...any) { l.put(slog.LevelError, args) }
