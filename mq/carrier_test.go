package mq_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
	"evalq/mq"
	"evalq/tasks"
)

// What Asynq and its operators do to a message on their own account.

// archived waits until exactly one message is set aside.
func archived(t *testing.T, rdb *redis.Client) *asynq.TaskInfo {
	t.Helper()
	var dead []*asynq.TaskInfo
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	eventually(t, "one message is set aside", func() (ok bool) {
		var err error
		dead, err = inspector.ListArchivedTasks("mq")
		return err == nil && len(dead) == 1
	})
	return dead[0]
}

func TestAnErrorWhoseTextAsynqCannotStoreIsAFailureLikeAnyOther(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"half a character": "the model said: 回答"[:len("the model said: 回答")-1],
		"a megabyte":       strings.Repeat("很", 1<<19),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, rdb := startRedis(t)
			q := opened(t, quick(rdb))
			tries := make(chan struct{}, 100)
			background(t, func(ctx context.Context) error {
				return q.Subscribe(ctx, func(context.Context, *mq.Message) error {
					tries <- struct{}{}
					return errors.New(text)
				})
			})
			must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
			dead := archived(t, rdb)
			if n := len(tries); n != 5 {
				t.Errorf("%d tries", n)
			}
			if n := len(dead.LastErr); n == 0 || n > 3000 || !strings.HasPrefix(text, dead.LastErr[:10]) {
				t.Errorf("the reason has %d bytes", n)
			}
		})
	}
}

func TestARunByHandIsAFreshStart(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	q := opened(t, quick(rdb))
	var tries atomic.Int64
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(context.Context, *mq.Message) error {
			if tries.Add(1) == 14 {
				return nil
			}
			return errors.New("not yet")
		})
	})
	must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	for _, want := range []int64{5, 10} {
		dead := archived(t, rdb)
		if n := tries.Load(); n != want {
			t.Errorf("set aside after %d tries, want %d", n, want)
		}
		must(t, inspector.RunTask("mq", dead.ID))
	}
	eventually(t, "the fourth try of the third start is its last", func() bool {
		info, err := inspector.GetQueueInfo("mq")
		return err == nil && info.Size == 0 && tries.Load() == 14
	})
}

func TestAMessageWithWhichProcessesDiedRunsWhenAnOperatorSaysSo(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t, redistest.WithTCP())
	dieWithOne(t, rdb)
	cfg := quick(rdb)
	cfg.Attempts = 1
	q := opened(t, cfg)
	got := make(chan *mq.Message, 1)
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error { got <- m; return nil })
	})
	must(t, asynq.NewInspectorFromRedisClient(rdb).RunTask("mq", archived(t, rdb).ID))
	receive(t, "the message", got)
}

func TestAMessageThatAsynqCountedOutIsSetAsideUnseen(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	q := opened(t, quick(rdb))
	must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
	// A process that comes up a minute after its death finds that Asynq has brought
	// the message back, which counts as a failure and not as a loss.
	lost := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Queues: map[string]int{"mq": 1}, LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond, DelayedTaskCheckInterval: time.Millisecond,
		RetryDelayFunc: func(n int, _ error, _ *asynq.Task) time.Duration {
			if n == 4 {
				return time.Hour
			}
			return 0
		},
	})
	must(t, lost.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return asynq.ErrLeaseExpired })))
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	var list []*asynq.TaskInfo
	eventually(t, "five losses", func() bool {
		var err error
		list, err = inspector.ListRetryTasks("mq")
		return err == nil && len(list) == 1 && list[0].Retried == 5
	})
	lost.Shutdown()
	must(t, inspector.RunTask("mq", list[0].ID))
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(context.Context, *mq.Message) error {
			t.Error("it was handled")
			return nil
		})
	})
	if dead := archived(t, rdb); !strings.Contains(dead.LastErr, "did not come to an end") {
		t.Errorf("set aside because %q", dead.LastErr)
	}
}

func TestATaskOfAnotherProgramThatUsesAnIDAgainIsHandledAgain(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	q := opened(t, quick(rdb))
	got := make(chan *mq.Message, 10)
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error { got <- m; return nil })
	})
	producer := asynq.NewClientFromRedisClient(rdb)
	for range 2 {
		eventually(t, "the id is free", func() bool {
			_, err := producer.Enqueue(asynq.NewTask("t", []byte(`{}`)), asynq.Queue("mq"), asynq.TaskID("report-42"))
			return err == nil
		})
		receive(t, "the message", got)
	}
}

func TestCancellingAMessageEndsItsHandlerAndSetsItAside(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	cfg := quick(rdb)
	cfg.DrainTimeout = time.Millisecond
	q := opened(t, cfg)
	began := make(chan struct{}, 10)
	var running atomic.Int64
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(ctx context.Context, _ *mq.Message) error {
			if running.Add(1) > 1 {
				t.Error("it is handled twice at once")
			}
			defer running.Add(-1)
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
	receive(t, "the handler", began)
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	active, err := inspector.ListActiveTasks("mq")
	must(t, err)
	eventually(t, "the handler has ended", func() bool {
		must(t, inspector.CancelProcessing(active[0].ID)) // it is lost before the consumer listens
		return running.Load() == 0
	})
	if dead := archived(t, rdb); !strings.Contains(dead.LastErr, "an operator has cancelled it") {
		t.Errorf("set aside because %q", dead.LastErr)
	}
	must(t, inspector.RunTask("mq", active[0].ID))
	receive(t, "the handler after a run by hand", began)
}

func TestHandlersOfTasksWithAShortDeadlineKeepTheirSlots(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	cfg := quick(rdb)
	cfg.Concurrency, cfg.Attempts = 2, 1000
	q := opened(t, cfg)
	var running, most atomic.Int64
	release := make(chan struct{})
	handled := make(chan struct{}, 100)
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(ctx context.Context, _ *mq.Message) error {
			n := running.Add(1)
			defer running.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			<-release // and not ctx.Done()
			handled <- struct{}{}
			return nil
		})
	})
	producer := asynq.NewClientFromRedisClient(rdb)
	for range 6 {
		_, err := producer.Enqueue(asynq.NewTask("t", []byte(`{}`)), asynq.Queue("mq"), asynq.Timeout(time.Second))
		must(t, err)
	}
	eventually(t, "Asynq has given up two", func() bool {
		list, err := asynq.NewInspectorFromRedisClient(rdb).ListRetryTasks("mq")
		return err == nil && len(list) >= 2
	})
	eventually(t, "Asynq has taken two more", func() bool {
		list, err := asynq.NewInspectorFromRedisClient(rdb).ListActiveTasks("mq")
		return err == nil && len(list) == 2 || most.Load() > 2
	})
	close(release)
	for range 6 {
		receive(t, "a handler's end", handled)
	}
	if n := most.Load(); n > 2 {
		t.Errorf("%d handlers ran at once", n)
	}
}

func TestAMessageThatComesAgainWhileItIsHandledIsNotHandledTwice(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	q := opened(t, quick(rdb))
	began, finish := make(chan struct{}, 10), make(chan struct{})
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(context.Context, *mq.Message) error {
			began <- struct{}{}
			<-finish
			return nil
		})
	})
	must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
	receive(t, "the handler", began)
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	active, err := inspector.ListActiveTasks("mq")
	must(t, err)
	id := active[0].ID
	// As Asynq's recovery does when Redis was away for a minute.
	_, err = rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.LRem(t.Context(), "asynq:{mq}:active", 0, id)
		p.ZRem(t.Context(), "asynq:{mq}:lease", id)
		p.HSet(t.Context(), "asynq:{mq}:t:"+id, "state", "pending")
		p.LPush(t.Context(), "asynq:{mq}:pending", id)
		return nil
	})
	must(t, err)
	eventually(t, "it waits for the first handler", func() bool {
		list, err := inspector.ListRetryTasks("mq")
		return len(began) > 0 || err == nil && len(list) == 1 && list[0].Retried == 0
	})
	close(finish)
	eventually(t, "it is gone", func() bool {
		info, err := inspector.GetQueueInfo("mq")
		return err == nil && info.Size == 0
	})
	if len(began) > 0 {
		t.Error("it was handled twice")
	}
}

func TestATransientErrorIsPutUpWithForADayFromTheFirst(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	cfg := quick(rdb)
	cfg.Attempts = 1
	q := opened(t, cfg)
	must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	list, err := inspector.ListPendingTasks("mq")
	must(t, err)
	key := "asynq:{mq}:t:" + list[0].ID
	again := make(chan struct{}, 100)
	var past atomic.Bool
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(ctx context.Context, _ *mq.Message) error {
			again <- struct{}{}
			if past.Load() {
				yesterday := time.Now().Add(-24 * time.Hour).UnixMilli()
				if err := rdb.HSet(ctx, key, "evalq_mq_transient", yesterday).Err(); err != nil {
					t.Error(err)
				}
			}
			return tasks.NewError(tasks.ClassRateLimited, errors.New("slow down"))
		})
	})
	for range 5 {
		receive(t, "another try", again)
	}
	past.Store(true)
	archived(t, rdb)
}

func TestQueuesThatNobodyMadeGiveClearErrorsOrWork(t *testing.T) {
	t.Parallel()
	alone(t)
	var inRedis mq.RedisQueue
	for what, err := range map[string]error{
		"publish":   inRedis.Publish(t.Context(), &mq.Message{Type: "t"}),
		"subscribe": inRedis.Subscribe(t.Context(), func(context.Context, *mq.Message) error { return nil }),
		"ready":     inRedis.Ready(t.Context()),
	} {
		if err == nil || !strings.Contains(err.Error(), "the Redis client is nil") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, inRedis.Close(), inRedis.Close())

	var memory, closed mq.InMemoryQueue
	must(t, closed.Close())
	must(t, memory.Publish(t.Context(), &mq.Message{Type: "t"}))
	got := make(chan *mq.Message, 1)
	background(t, func(ctx context.Context) error {
		return memory.Subscribe(ctx, func(_ context.Context, m *mq.Message) error { got <- m; return nil })
	})
	receive(t, "the message", got)
	must(t, memory.Close())

	var none *mq.RedisQueue
	mq.InitMessageQueue(none)
	if err := mq.PublishEvaluationReport(t.Context(), 7, 42); !errors.Is(err, mq.ErrNoQueue) {
		t.Errorf("a nil pointer: %v", err)
	}
}
