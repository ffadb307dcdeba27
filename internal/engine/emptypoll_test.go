package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// scripts counts the scripts that reach the engine.
type scripts struct {
	redis.Hook
	n *atomic.Int64
}

func (s scripts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if _, ok := dequeues(cmd.Args()); ok {
			s.n.Add(1)
		}
		if _, ok := forwards(cmd.Args()); ok {
			s.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (s scripts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (s scripts) DialHook(next redis.DialHook) redis.DialHook { return next }

func TestAnIdleWorkerRunsNoScriptsAndStillFindsWork(t *testing.T) {
	t.Parallel()
	e, err := OpenEmbedded(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var reached atomic.Int64
	e.client.AddHook(scripts{n: &reached}) // behind emptyPoll: sees what it lets through
	srv := asynq.NewServerFromRedisClient(e.client, asynq.Config{Concurrency: 1, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel, Queues: map[string]int{"q": 1}})
	ran := make(chan struct{})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { close(ran); return nil })); err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	client := asynq.NewClientFromRedisClient(e.client)
	if _, err := client.Enqueue(asynq.NewTask("x", nil), asynq.Queue("q")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ran:
	case <-time.After(20 * time.Second):
		t.Fatal("the task was not found")
	}
	// One script to take the task, and one more if it had to be loaded first.
	if n := reached.Load(); n < 1 || n > 2 {
		t.Fatalf("%d dequeue scripts reached the engine", n)
	}
}

func TestScheduledTasksAreForwardedAndEmptySetsAreNotAskedFor(t *testing.T) {
	t.Parallel()
	e, err := OpenEmbedded(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var reached atomic.Int64
	e.client.AddHook(scripts{n: &reached})
	insp := asynq.NewInspectorFromRedisClient(e.client)
	client := asynq.NewClientFromRedisClient(e.client)
	if _, err := client.Enqueue(asynq.NewTask("x", nil), asynq.Queue("q"), asynq.ProcessIn(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n, err := insp.RunAllRetryTasks("q"); err != nil || n != 0 || reached.Load() != 0 {
		t.Fatalf("an empty set: %d run, %v, %d scripts", n, err, reached.Load())
	}
	if n, err := insp.RunAllScheduledTasks("q"); err != nil || n != 1 || reached.Load() == 0 {
		t.Fatalf("a set of one: %d run, %v, %d scripts", n, err, reached.Load())
	}
}

func TestAnIdleWorkerTakesATaskTheMomentItArrives(t *testing.T) {
	t.Parallel()
	e, err := OpenEmbedded(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ran := make(chan struct{}, 1)
	srv := asynq.NewServerFromRedisClient(e.client, asynq.Config{
		Concurrency: 1, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel, Queues: map[string]int{"a": 1, "b": 1, "c": 1},
	})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { ran <- struct{}{}; return nil })); err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	client := asynq.NewClientFromRedisClient(e.client)
	for _, q := range []string{"a", "b", "c", "a", "c"} {
		if _, err := client.Enqueue(asynq.NewTask("x", nil), asynq.Queue(q)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ran:
		case <-time.After(20 * time.Second):
			t.Fatalf("the task in %s was not taken", q)
		}
	}
}

func TestALookIntoAnEmptyQueueEndsWithItsContextAndAtAPush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := miniredis.NewMiniRedis()
		h := newEmptyPoll(m)
		h.know("asynq:{q}:pending")
		began := time.Now()
		h.wait(t.Context())
		if took := time.Since(began); took != idleWait {
			t.Fatalf("alone it took %s, want %s", took, idleWait)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		h.wait(ctx)
		over := make(chan struct{})
		go func() {
			defer close(over)
			h.wait(t.Context())
		}()
		synctest.Wait() // it waits by now
		h.wake()
		<-over
		if took := time.Since(began); took != 0 {
			t.Fatalf("an ended context and a push took %s", took)
		}
		if _, err := m.Lpush("asynq:{q}:pending", "x"); err != nil {
			t.Fatal(err)
		}
		h.wait(t.Context())
		if took := time.Since(began); took != 0 {
			t.Fatalf("with work in another queue it took %s", took)
		}
	})
}

func TestAQueueThatWasNeverEmptyKeepsWorkersFromWaitingAtAnother(t *testing.T) {
	t.Parallel()
	e, err := OpenEmbedded(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	client := asynq.NewClientFromRedisClient(e.client)
	const n = 200
	for range n {
		if _, err := client.Enqueue(asynq.NewTask("x", nil), asynq.Queue("full")); err != nil {
			t.Fatal(err)
		}
	}
	var ran atomic.Int64
	all := make(chan struct{})
	began := time.Now()
	srv := asynq.NewServerFromRedisClient(e.client, asynq.Config{
		Concurrency: 4, TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel, Queues: map[string]int{"empty": 9, "void": 9, "full": 1},
	})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if ran.Add(1) == n {
			close(all)
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	select {
	case <-all:
	case <-time.After(60 * time.Second):
		t.Fatalf("%d of %d ran", ran.Load(), n)
	}
	// Two waits at the empty queues for each task would take 40 s.
	if took := time.Since(began); took > n*idleWait/2 {
		t.Fatalf("it took %s", took)
	}
}
