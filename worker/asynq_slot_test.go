package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"evalq/internal/asynqtest"
	"evalq/internal/redistest"
	"evalq/tasks"
	"evalq/worker"
)

// gauge counts what runs at the same time.
type gauge struct{ now, most, all atomic.Int32 }

func (g *gauge) enter() (leave func()) {
	g.all.Add(1)
	n := g.now.Add(1)
	for m := g.most.Load(); n > m && !g.most.CompareAndSwap(m, n); m = g.most.Load() {
	}
	return func() { g.now.Add(-1) }
}

// TestAsynqRunsMoreHandlersThanItHasSlots: a task that times out, is cancelled or
// loses its lease frees its slot, though its handler has not returned.
func TestAsynqRunsMoreHandlersThanItHasSlots(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		var g gauge
		finish := make(chan struct{})
		asynqtest.Start(t, rdb, asynq.Config{Concurrency: 2}, func(context.Context, *asynq.Task) error {
			defer g.enter()()
			<-finish
			return nil
		})
		q := asynqtest.At(t, rdb, "default")
		for i := range 4 {
			q.Enqueue("paid", fmt.Sprint(i), asynq.Timeout(time.Second))
		}
		asynqtest.Eventually(t, "four handlers run on two slots", func() bool { return g.now.Load() >= 4 })
		close(finish)
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.cfg.Slots = 2
		var g gauge
		started, finish := make(chan tasks.Job, 8), make(chan struct{})
		w.serve(func(_ context.Context, job tasks.Job) (json.RawMessage, error) {
			defer g.enter()()
			started <- job
			<-finish
			return answer(1), nil
		})
		var jobs []tasks.Job
		for i := range int64(4) {
			jobs = append(jobs, w.submit(i+1))
		}
		first, second := <-started, <-started
		// Asynq gives both up and takes two more, which wait for a slot of ours.
		q, insp := asynqtest.At(t, w.rdb, "default"), asynq.NewInspectorFromRedisClient(w.rdb)
		eventually(t, "Asynq has given both up and taken the others", func() bool {
			for _, j := range []tasks.Job{first, second} {
				if err := insp.CancelProcessing(j.TaskID()); err != nil {
					t.Fatal(err)
				}
			}
			for _, j := range jobs {
				want := "active"
				if j.ID == first.ID || j.ID == second.ID {
					want = "retry"
				}
				if q.State(j.TaskID()) != want {
					return false
				}
			}
			return true
		})
		if n := g.now.Load(); n != 2 {
			t.Fatalf("%d handlers run", n)
		}
		close(finish)
		for _, j := range jobs {
			if got := w.await(j.ID, tasks.Succeeded); got.Attempt != 1 || got.Charged != 0 {
				t.Fatalf("it took %d attempts", got.Attempt)
			}
		}
		if g.most.Load() != 2 || g.all.Load() != 4 {
			t.Fatalf("%d ran at once, %d in all", g.most.Load(), g.all.Load())
		}
	})
}

// TestAsynqHandsATaskOnWhileItsHandlerStillRuns: at shutdown it puts the task
// back, and only then tells the handler to stop.
func TestAsynqHandsATaskOnWhileItsHandlerStillRuns(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		var g gauge
		started, finish := make(chan struct{}, 2), make(chan struct{})
		h := func(ctx context.Context, _ *asynq.Task) error {
			defer g.enter()()
			started <- struct{}{}
			<-ctx.Done() // obeys, and takes a moment to put things in order
			<-finish
			return ctx.Err()
		}
		leaving := asynqtest.Start(t, rdb, asynq.Config{ShutdownTimeout: 50 * time.Millisecond}, h)
		asynqtest.At(t, rdb, "default").Enqueue("paid", "")
		<-started
		asynqtest.Start(t, rdb, asynq.Config{ShutdownTimeout: 50 * time.Millisecond}, h)
		leaving.Shutdown()
		asynqtest.Eventually(t, "two handlers run for one task", func() bool { return g.now.Load() == 2 })
		close(finish)
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.cfg.DrainTimeout = 50 * time.Millisecond
		var g gauge
		var once sync.Once
		started, told, finish := make(chan struct{}), make(chan struct{}), make(chan struct{})
		h := func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
			if job.ReportID != 42 {
				return answer("probe"), nil
			}
			defer g.enter()()
			first := false
			once.Do(func() { first = true })
			if !first {
				return answer("elsewhere"), nil
			}
			close(started)
			<-ctx.Done()
			close(told)
			<-finish
			return nil, ctx.Err()
		}
		stop := w.serve(h)
		j := w.submit(42)
		<-started
		w.serve(h)
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		<-told
		// The other worker serves, but not this job.
		w.await(w.submit(1).ID, tasks.Succeeded)
		if got := w.await(j.ID, tasks.Running); got.Attempt != 1 {
			t.Fatalf("attempt %d runs", got.Attempt)
		}
		close(finish)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		got := w.await(j.ID, tasks.Succeeded)
		if g.most.Load() != 1 || string(got.Result) != `"elsewhere"` || got.Charged != 0 || got.Deaths != 0 {
			t.Fatalf("%d ran at once; %d charged, %d deaths", g.most.Load(), got.Charged, got.Deaths)
		}
	})
}

func TestAsynqRunsACancelledTaskAgain(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.Start(t).Client(t)
		var calls atomic.Int32
		asynqtest.Start(t, rdb, asynq.Config{}, func(ctx context.Context, _ *asynq.Task) error {
			if calls.Add(1) == 1 {
				<-ctx.Done()
			}
			return fmt.Errorf("stopped as asked: %w", asynq.SkipRetry)
		})
		id := asynqtest.At(t, rdb, "default").Enqueue("paid", "")
		insp := asynq.NewInspectorFromRedisClient(rdb)
		asynqtest.Eventually(t, "the cancelled task runs again", func() bool {
			if calls.Load() == 1 { // a message to whoever listens, so perhaps to nobody
				if err := insp.CancelProcessing(id); err != nil {
					t.Fatal(err)
				}
			}
			return calls.Load() == 2
		})
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		var calls atomic.Int32
		started := make(chan struct{}, 2)
		w.serve(func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
			calls.Add(1)
			started <- struct{}{}
			<-ctx.Done()
			return nil, fmt.Errorf("stopped as asked: %w", ctx.Err())
		})
		j := w.submit(42)
		<-started
		if _, err := w.ledger.Cancel(t.Context(), j.ID, "op", ""); err != nil {
			t.Fatal(err)
		}
		w.await(j.ID, tasks.Cancelled)
		w.awaitTask(j, asynq.TaskStateCompleted)
		// Even brought back by hand it is not run.
		if err := asynq.NewInspectorFromRedisClient(w.rdb).DeleteTask("default", j.TaskID()); err != nil {
			t.Fatal(err)
		}
		w.arrive(j)
		if got := w.await(j.ID, tasks.Cancelled); calls.Load() != 1 || got.Attempt != 1 {
			t.Fatalf("it ran %d times", calls.Load())
		}
	})
}

// arrive lets the task of a job's newest delivery arrive once more, and waits
// until it is answered.
func (w *world) arrive(j tasks.Job) {
	w.t.Helper()
	task := asynq.NewTaskWithHeaders(string(j.Kind), []byte(`{"user_id":7,"report_id":42}`), map[string]string{worker.HeaderLedger: w.ledger.ID()})
	if _, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(task, asynq.TaskID(j.TaskID())); err != nil {
		w.t.Fatal(err)
	}
	q := asynqtest.At(w.t, w.rdb, "default")
	eventually(w.t, "task is answered", func() bool { return q.State(j.TaskID()) == "" })
}
