package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"evalq/client"
	"evalq/internal/asynqtest"
	"evalq/internal/redistest"
	"evalq/tasks"
)

const adopted = "adopt.topic_evaluation.1.2"

var wish = tasks.TopicEvaluation{UserID: 1, ReportID: 2}

// TestAsynqKeepsTheLockOfATaskThatItDidNotEnqueue: and that of one that has
// failed for good.
func TestAsynqKeepsTheLockOfATaskThatItDidNotEnqueue(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		c := asynq.NewClientFromRedisClient(rdb)
		enqueue := func(payload string, options ...asynq.Option) error {
			_, err := c.Enqueue(asynq.NewTask("paid", []byte(payload)), append(options, asynq.Unique(time.Hour))...)
			return err
		}
		if err := enqueue("a", asynq.TaskID("x")); err != nil {
			t.Fatal(err)
		}
		if err := enqueue("b", asynq.TaskID("x")); !errors.Is(err, asynq.ErrTaskIDConflict) {
			t.Fatal(err)
		}
		if err := enqueue("b"); !errors.Is(err, asynq.ErrDuplicateTask) {
			t.Fatalf("what was never enqueued says %v", err)
		}
		if err := asynq.NewInspectorFromRedisClient(rdb).ArchiveTask("default", "x"); err != nil {
			t.Fatal(err)
		}
		if err := enqueue("a"); !errors.Is(err, asynq.ErrDuplicateTask) {
			t.Fatalf("what has failed for good says %v", err)
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := redisServer(t)
		q := asynqtest.At(t, w.raw, "default")
		for range 2 {
			if _, err := w.Submit(t.Context(), wish); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.asynq.ArchiveTask("default", adopted); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Submit(t.Context(), wish); err != nil {
			t.Fatal(err)
		}
		locks, err := w.raw.Keys(t.Context(), "*unique*").Result()
		if got := q.State(adopted); got != "pending" || len(locks) != 0 || err != nil {
			t.Fatalf("the task is %q; locks: %v, %v", got, locks, err)
		}
	})
}

// TestAsynqWritesIntoTheOptionsOfATaskThatItEnqueues: two enqueues of one task at
// once are a data race. It is shown one after the other, where it can be seen.
func TestAsynqWritesIntoTheOptionsOfATaskThatItEnqueues(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		mine := append(make([]asynq.Option, 0, 4), asynq.MaxRetry(3))
		task := asynq.NewTask("paid", nil, mine...)
		if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(task, asynq.Queue("low")); err != nil {
			t.Fatal(err)
		}
		if written := mine[:2][1]; written == nil || written.Type() != asynq.QueueOpt {
			t.Fatalf("behind the caller's options is %v", written)
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := redisServer(t)
		mine := append(make([]client.Option, 0, 4), client.WithPriority(tasks.Low))
		shared := tasks.Custom{Name: "own", UserID: 1, ReportID: 2, Data: json.RawMessage(`{"k":1}`)}
		var wg sync.WaitGroup
		for range 16 { // the race detector watches
			wg.Go(func() {
				if _, err := w.Submit(t.Context(), shared, mine...); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if mine[:2][1] != nil {
			t.Error("something was written behind the caller's options")
		}
		if q, err := w.asynq.GetQueueInfo("low"); err != nil || q.Pending != 1 {
			t.Errorf("%+v %v", q, err)
		}
	})
}

func TestAsynqIgnoresTheDeadlineOfAnEnqueue(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	plain := asynq.NewClient(asynq.RedisClientOpt{Network: "unix", Addr: s.Socket})
	t.Cleanup(func() { plain.Close() })
	ours := open(t, s.URL, nil)
	if err := plain.Ping(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(s.PID(), syscall.SIGCONT) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	returned := make(chan error, 1)
	go func() {
		_, err := plain.EnqueueContext(ctx, asynq.NewTask("paid", nil))
		returned <- err
	}()
	if _, err := ours.Submit(ctx, wish); !errors.Is(err, tasks.ErrOutcomeUnknown) {
		t.Errorf("ours returned %v", err)
	}
	if ctx.Err() == nil {
		t.Error("ours returned before its deadline")
	}
	select {
	case err := <-returned:
		t.Fatalf("Asynq returned %v", err)
	default: // still waiting, though its deadline was the same
	}
	if err := syscall.Kill(s.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-returned:
	case <-time.After(30 * time.Second):
		t.Fatal("in 30 s Asynq did not return")
	}
	// What was said is true: to ask again is safe.
	if _, err := ours.Submit(t.Context(), wish); err != nil {
		t.Fatal(err)
	}
	if info, err := asynq.NewInspectorFromRedisClient(s.Client(t)).GetTaskInfo("default", adopted); err != nil || info.State != asynq.TaskStatePending {
		t.Fatalf("%+v %v", info, err)
	}
}

func TestASubmissionWhoseReplyWasLostIsNoConflict(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s)
	c := open(t, p.URL, nil)
	lost := p.LoseReply("t:"+adopted, ":1\r\n")
	if _, err := c.Submit(t.Context(), wish); err != nil {
		t.Fatal(err)
	}
	p.Await(lost)
	if q, err := asynq.NewInspectorFromRedisClient(s.Client(t)).GetQueueInfo("default"); err != nil || q.Pending != 1 {
		t.Errorf("%+v %v", q, err)
	}
}

// TestWhatIsLeftOfATaskDoesNotStandForASubmission: a result that came late, or
// what a worker leaves that finds a name without a task.
func TestWhatIsLeftOfATaskDoesNotStandForASubmission(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]string{"a late result": "result", "a name that was taken": "state"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := redisServer(t)
			q := asynqtest.At(t, w.raw, "default")
			q.Enqueue("other", "") // so that the queue is known
			if err := w.raw.HSet(t.Context(), q.Key("t:"+adopted), field, "active").Err(); err != nil {
				t.Fatal(err)
			}
			if _, err := asynq.NewClientFromRedisClient(w.raw).Enqueue(asynq.NewTask("topic_evaluation", nil), asynq.TaskID(adopted)); !errors.Is(err, asynq.ErrTaskIDConflict) {
				t.Fatalf("the id is free: %v", err)
			}
			if _, err := w.Submit(t.Context(), wish); err != nil {
				t.Fatal(err)
			}
			if got := q.Traces(adopted); len(got) != 2 || q.State(adopted) != "pending" {
				t.Errorf("the task is %q in %v", q.State(adopted), got)
			}
		})
	}
}

func TestAClosedClientRefusesAndMayBeClosedAgain(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"a server": "http://127.0.0.1:1", "a Redis": redistest.Start(t).URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := client.Open(t.Context(), url, &client.Config{Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 4 { // in the middle of calls, and more than once
				wg.Go(func() { _, _ = c.Submit(t.Context(), wish) })
				wg.Go(func() { _ = c.Close() })
			}
			wg.Wait()
			if _, err := c.Submit(t.Context(), wish); err == nil {
				t.Error("a closed client accepted something")
			}
		})
	}
}
