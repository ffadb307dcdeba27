package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/asynqtest"
	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
	"evalq/internal/redistest"
	"evalq/internal/relay"
	"evalq/tasks"
	"evalq/worker"
)

// TestAsynqLeavesTheTaskOfAKilledWorkerAloneForAMinute: its lease ends after
// 30 s, and what has ended is looked for each minute.
func TestAsynqLeavesTheTaskOfAKilledWorkerAloneForAMinute(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		rdb := server.Client(t)
		q := asynqtest.At(t, rdb, "default")
		left := q.Enqueue("paid", "")
		c := spawn(t, "asynq", server.Socket)
		c.awaitStart()
		c.kill()
		// One whose lease has ended shows that the next server has looked.
		old := q.Enqueue("paid", "", asynq.ProcessIn(time.Hour))
		if err := asynq.NewInspectorFromRedisClient(rdb).RunTask("default", old); err != nil {
			t.Fatal(err)
		}
		q.Take(old)
		q.Expire(old)
		ran := make(chan string, 2)
		asynqtest.Start(t, rdb, asynq.Config{}, func(ctx context.Context, _ *asynq.Task) error {
			id, _ := asynq.GetTaskID(ctx)
			ran <- id
			return nil
		})
		if got := <-ran; got != old {
			t.Fatalf("task %s ran first", got)
		}
		if got := q.State(left); got != "active" || time.Until(q.Lease(left)) < 10*time.Second {
			t.Fatalf("the killed worker's task is %q and its lease ends at %s", got, q.Lease(left))
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		j, took := killedWithAJob(t, fast)
		if took > 15*time.Second || j.Deaths != 1 || j.Charged != 0 {
			t.Fatalf("it took %s, %d deaths, %d charged", took, j.Deaths, j.Charged)
		}
	})
}

func TestAsynqArchivesATaskWithoutRetriesWhoseWorkerWasKilled(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		rdb := server.Client(t)
		q := asynqtest.At(t, rdb, "default")
		id := q.Enqueue("paid", "", asynq.MaxRetry(0))
		c := spawn(t, "asynq", server.Socket)
		c.awaitStart()
		c.kill()
		q.Expire(id)
		var again atomic.Bool
		asynqtest.Start(t, rdb, asynq.Config{}, func(context.Context, *asynq.Task) error { again.Store(true); return nil })
		q.AwaitState(id, "archived")
		if again.Load() {
			t.Fatal("it ran again")
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		j, _ := killedWithAJob(t, func(k tasks.Kind) tasks.Policy {
			p := fast(k)
			p.Attempts = 1
			return p
		})
		if j.Attempt != 2 {
			t.Fatalf("it succeeded at attempt %d", j.Attempt)
		}
	})
}

// killedWithAJob has a program killed while it runs a job, starts another on the
// same folder and Redis, and gives the job when it has succeeded, and how long
// after the kill that was.
func killedWithAJob(t *testing.T, policies func(tasks.Kind) tasks.Policy) (tasks.Job, time.Duration) {
	t.Helper()
	server, dir := redistest.Start(t), filepath.Join(t.TempDir(), "data")
	open := func() *sqlite.DB {
		db, err := sqlite.Open(t.Context(), dir, &ledger.Config{Policies: policies})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	j, _, err := db.Accept(t.Context(), tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 7, ReportID: 42}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c := spawn(t, "evalq", server.Socket, dir)
	c.awaitStart()
	c.kill()
	killed := time.Now()
	db = open()
	t.Cleanup(func() { db.Close() })
	w := &world{t: t, redis: server, rdb: server.Client(t), ledger: db, cfg: worker.Config{Handlers: map[tasks.Kind]worker.Handler{}}}
	r, err := relay.New(db.Ledger, w.rdb, &relay.Config{Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	w.background(r.Run)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil })
	j = w.await(j.ID, tasks.Succeeded)
	return j, time.Since(killed)
}

// touchy is an error whose own methods panic.
type touchy struct{}

func (touchy) Error() string { panic("in Error") }
func (touchy) As(any) bool   { panic("in As") }
func (touchy) Is(error) bool { panic("in Is") }

// lost is an error that many return as a nil pointer at least once.
type lost struct{ what string }

func (e *lost) Error() string { return e.what }

func TestAsynqDiesOfAPanicInAHook(t *testing.T) {
	t.Parallel()
	for _, hook := range []string{"ErrorHandler", "RetryDelayFunc", "IsFailure"} {
		t.Run("the defect in "+hook, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			asynqtest.At(t, server.Client(t), "default").Enqueue("paid", "")
			spawn(t, "asynq with a hook that panics", server.Socket, hook).awaitDeath("panic: in " + hook)
		})
	}
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.cfg.Handlers[kind] = func(context.Context, tasks.Job) (json.RawMessage, error) { return nil, nil }
		s, err := worker.New(w.rdb, w.ledger.Ledger, &w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		cfg, task := s.AsynqConfig(), asynq.NewTask("paid", nil)
		if d := cfg.RetryDelayFunc(0, touchy{}, task); d <= 0 {
			t.Errorf("the delay is %s", d)
		}
		if !cfg.IsFailure(touchy{}) {
			t.Error("an error that cannot be asked is no failure")
		}
		cfg.ErrorHandler.HandleError(t.Context(), task, touchy{})
	})
	t.Run("the cure for errors of the handler's", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		var calls atomic.Int32
		w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
			switch calls.Add(1) {
			case 1:
				return nil, touchy{}
			case 2:
				return nil, (*lost)(nil)
			}
			return answer(1), nil
		})
		j := w.await(w.submit(42).ID, tasks.Succeeded)
		for _, a := range w.attempts(j.ID)[:2] {
			if a.Error == nil || a.Error.Class != tasks.ClassPanic {
				t.Fatalf("attempt %d: %+v", a.Number, a.Error)
			}
		}
	})
}

// TestAsynqDiesWhenItsClientIsClosedFirst: what listens for cancellations takes
// the end of its connection for a message.
func TestAsynqDiesWhenItsClientIsClosedFirst(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		asynqtest.At(t, server.Client(t), "default").Enqueue("paid", "")
		spawn(t, "asynq whose client is closed", server.Socket).awaitDeath("subscriber.go")
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		started := make(chan struct{}, 20)
		w.cfg.Handlers[kind] = func(context.Context, tasks.Job) (json.RawMessage, error) {
			started <- struct{}{}
			return answer(1), nil
		}
		var ids []string
		for i := range int64(10) {
			rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: w.redis.Socket})
			s, err := worker.New(rdb, w.ledger.Ledger, &w.cfg)
			if err != nil {
				t.Fatal(err)
			}
			stop := w.background(s.Run)
			j := w.submit(i + 1)
			<-started
			if i%2 == 0 { // the others are stopped in the middle of their work
				w.await(j.ID, tasks.Succeeded)
			}
			ids = append(ids, j.ID)
			// Nothing of Asynq is left to notice: this process is still here.
			if err := errors.Join(stop(), rdb.Close()); err != nil {
				t.Fatal(err)
			}
		}
		w.serve(w.cfg.Handlers[kind])
		for _, id := range slices.Backward(ids) {
			w.await(id, tasks.Succeeded)
		}
	})
}
