package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"evalq/internal/asynqtest"
	"evalq/internal/redistest"
	"evalq/tasks"
)

// words keeps what a worker logs.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) have(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

func listen(w *world) *words {
	said := &words{}
	w.cfg.Logger = slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return said
}

// TestAsynqRunsAFinishedTaskAgainWhenRedisWasAwayAtItsEnd: Asynq notes the end
// for later, and what it noted can never be written.
func TestAsynqRunsAFinishedTaskAgainWhenRedisWasAwayAtItsEnd(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t, redistest.WithAOF())
		rdb := server.Client(t)
		var calls atomic.Int32
		started, finish := make(chan struct{}, 2), make(chan struct{})
		h := func(context.Context, *asynq.Task) error {
			calls.Add(1)
			started <- struct{}{}
			<-finish
			return nil
		}
		plain := asynqtest.Start(t, rdb, asynq.Config{}, h)
		q := asynqtest.At(t, rdb, "default")
		id := q.Enqueue("paid", "")
		<-started
		server.Stop()
		close(finish)
		plain.AwaitLog("Will retry syncing")
		server.Restart()
		plain.Shutdown() // writes what was noted for later, or says that it cannot
		if got := q.State(id); got != "active" || q.Lease(id).IsZero() {
			t.Fatalf("with Redis back, the finished task is %q", got)
		}
		q.Expire(id)
		asynqtest.Start(t, rdb, asynq.Config{}, h)
		asynqtest.Eventually(t, "the finished task runs again", func() bool { return calls.Load() == 2 })
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil, redistest.WithAOF())
		said := listen(w)
		var calls atomic.Int32
		started, finish := make(chan struct{}, 2), make(chan struct{})
		h := func(context.Context, tasks.Job) (json.RawMessage, error) {
			calls.Add(1)
			started <- struct{}{}
			<-finish
			return answer("paid"), nil
		}
		w.serve(h)
		j := w.submit(42)
		<-started
		w.redis.Stop()
		close(finish)
		w.await(j.ID, tasks.Succeeded)
		eventually(t, "end is noted for later by Asynq", func() bool { return said.have("Will retry syncing") })
		w.redis.Restart()
		q := asynqtest.At(t, w.rdb, "default")
		if got := q.State(j.TaskID()); got != "active" {
			t.Fatalf("the task is %q: the end was written after all", got)
		}
		q.Expire(j.TaskID())
		w.serve(h) // its Asynq looks for expired leases
		q.AwaitState(j.TaskID(), "retry")
		if err := asynq.NewInspectorFromRedisClient(w.rdb).RunTask("default", j.TaskID()); err != nil {
			t.Fatal(err)
		}
		w.awaitTask(j, asynq.TaskStateCompleted)
		if got := w.await(j.ID, tasks.Succeeded); calls.Load() != 1 || len(w.attempts(j.ID)) != 1 || string(got.Result) != `"paid"` {
			t.Fatalf("the handler ran %d times in %d attempts", calls.Load(), len(w.attempts(j.ID)))
		}
	})
}

// TestAsynqArchivesATaskThatWasOnlyAskedToWait: an error that is said to be no
// failure still ends a task that has no retry left.
func TestAsynqArchivesATaskThatWasOnlyAskedToWait(t *testing.T) {
	t.Parallel()
	busy := errors.New("429 too many requests")
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		var calls atomic.Int32
		asynqtest.Start(t, rdb, asynq.Config{IsFailure: func(err error) bool { return !errors.Is(err, busy) }}, func(context.Context, *asynq.Task) error {
			calls.Add(1)
			return busy
		})
		q := asynqtest.At(t, rdb, "default")
		id := q.Enqueue("paid", "", asynq.MaxRetry(0))
		q.AwaitState(id, "archived")
		if calls.Load() != 1 {
			t.Fatalf("it was tried %d times", calls.Load())
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(k tasks.Kind) tasks.Policy {
			p := fast(k)
			p.Attempts = 1
			return p
		})
		var calls atomic.Int32
		w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
			if calls.Add(1) == 1 {
				return nil, &tasks.Error{Class: tasks.ClassRateLimited, After: 10 * time.Millisecond, Err: busy}
			}
			return answer(1), nil
		})
		if j := w.await(w.submit(42).ID, tasks.Succeeded); j.Charged != 0 || calls.Load() != 2 {
			t.Fatalf("after %d tries %d were charged", calls.Load(), j.Charged)
		}
	})
}

func TestAsynqGivesATaskThatIsRunByHandOneTryOnly(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		var calls atomic.Int32
		asynqtest.Start(t, rdb, asynq.Config{}, func(context.Context, *asynq.Task) error {
			calls.Add(1)
			return broken
		})
		q := asynqtest.At(t, rdb, "default")
		id := q.Enqueue("paid", "", asynq.MaxRetry(1))
		q.AwaitState(id, "archived")
		if err := asynq.NewInspectorFromRedisClient(rdb).RunTask("default", id); err != nil {
			t.Fatal(err)
		}
		asynqtest.Eventually(t, "it ran and is archived again", func() bool { return calls.Load() > 2 && q.State(id) == "archived" })
		if calls.Load() != 3 {
			t.Fatalf("run by hand it was tried %d times", calls.Load()-2)
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(k tasks.Kind) tasks.Policy {
			p := fast(k)
			p.Attempts = 2
			return p
		})
		var calls atomic.Int32
		w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
			if calls.Add(1) < 4 {
				return nil, broken
			}
			return answer(1), nil
		})
		j := w.await(w.submit(42).ID, tasks.Dead)
		w.awaitTask(j, asynq.TaskStateArchived)
		if err := asynq.NewInspectorFromRedisClient(w.rdb).RunTask("default", j.TaskID()); err != nil {
			t.Fatal(err)
		}
		if got := w.await(j.ID, tasks.Succeeded); got.Run != 2 || calls.Load() != 4 {
			t.Fatalf("run %d ended after %d tries in all", got.Run, calls.Load())
		}
	})
}
