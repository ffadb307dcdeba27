package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"evalq/tasks"
	"evalq/worker"
)

func TestAJobRunsAndItsResultIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		worker.MadeBy(ctx, "scribe/2")
		return answer(map[string]int64{"report": job.ReportID}), nil
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	if string(j.Result) != `{"report":42}` || j.Judge != "scribe/2" || j.Attempt != 1 {
		t.Fatalf("stored %+v with %s", j, j.Result)
	}
	w.awaitTask(j, asynq.TaskStateCompleted)
}

func TestAJobWhoseAttemptsAreUsedUpIsDeadAndArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(k tasks.Kind) tasks.Policy {
		p := fast(k)
		p.Attempts = 2
		return p
	})
	var states []tasks.State
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		now, err := w.ledger.Get(ctx, job.ID)
		states = append(states, now.State)
		return nil, errors.Join(errors.New("broken"), err)
	})
	j := w.await(w.submit(42).ID, tasks.Dead)
	if j.Charged != 2 || j.Error.Class != tasks.ClassInternal || !strings.Contains(j.Error.Message, "broken") {
		t.Fatalf("dead as %+v, %+v", j, j.Error)
	}
	info := w.awaitTask(j, asynq.TaskStateArchived)
	if !strings.Contains(info.LastErr, "internal: broken") {
		t.Fatalf("Asynq shows %q", info.LastErr)
	}
	for _, s := range states {
		if s != tasks.Running {
			t.Fatalf("during an attempt the job was %v", states)
		}
	}
}

func TestAPanicIsAnErrorWithItsStackAndTheWorkerGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var calls atomic.Int32
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		if calls.Add(1) == 1 {
			panic("out of paper")
		}
		return answer(1), nil
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	first := w.attempts(j.ID)[0]
	if first.Error.Class != tasks.ClassPanic || !strings.Contains(first.Error.Message, "out of paper") || !strings.Contains(first.Error.Stack, "worker_test.go") {
		t.Fatalf("the first attempt: %+v", first.Error)
	}
}

func TestAHandlerThatEndsItsGoroutineIsAnErrorAndItsJobGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var calls atomic.Int32
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		if calls.Add(1) == 1 {
			runtime.Goexit()
		}
		return answer(1), nil
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	if c := w.attempts(j.ID)[0].Error.Class; c != tasks.ClassPanic {
		t.Fatalf("class %s", c)
	}
}

func TestAPanicInTheClassifyHookIsAnInternalError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.cfg.Classify = func(error) tasks.Class { panic("no idea") }
	var calls atomic.Int32
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		if calls.Add(1) == 1 {
			return nil, errors.New("x")
		}
		return answer(1), nil
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	if c := w.attempts(j.ID)[0].Error.Class; c != tasks.ClassInternal {
		t.Fatalf("class %s", c)
	}
}

func TestClassifyDecidesForErrorsWithoutAClass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	gone := errors.New("the file is gone")
	w.cfg.Classify = func(err error) tasks.Class {
		if errors.Is(err, gone) {
			return tasks.ClassNotAssessable
		}
		return ""
	}
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return nil, fmt.Errorf("read: %w", gone) })
	j := w.await(w.submit(42).ID, tasks.Dead)
	if j.Error.Class != tasks.ClassNotAssessable || len(w.attempts(j.ID)) != 1 {
		t.Fatalf("dead as %+v", j.Error)
	}
}

func TestAResultThatIsNoJSONIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var calls atomic.Int32
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		if calls.Add(1) == 1 {
			return json.RawMessage("{oops"), nil
		}
		return answer(1), nil
	})
	if j := w.await(w.submit(42).ID, tasks.Succeeded); len(w.attempts(j.ID)) != 2 {
		t.Fatal("the broken result was taken")
	}
}

func TestAFinishedStepIsNeverPaidAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var paid, tries atomic.Int32
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		for i, step := range []string{"a", "b", "c"} {
			_, err := worker.Checkpoint(ctx, step, func(context.Context) (json.RawMessage, error) {
				paid.Add(1)
				return answer(step), nil
			})
			if err != nil {
				return nil, err
			}
			if tries.Load() == int32(i) {
				tries.Add(1)
				return nil, fmt.Errorf("fell over after step %s", step)
			}
		}
		return answer("done"), nil
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	if paid.Load() != 3 {
		t.Fatalf("%d steps were paid for, want 3", paid.Load())
	}
	if j.Charged != 0 {
		t.Fatalf("%d attempts were charged though each saved a step", j.Charged)
	}
}

func TestTwoJobsShareAStepOfTheSameReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const other tasks.Kind = "resume_score"
	var paid atomic.Int32
	entered, leave := make(chan struct{}), make(chan struct{})
	h := func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
		v, _, err := worker.SharedCheckpoint(ctx, "answer/1", func(context.Context) (json.RawMessage, error) {
			paid.Add(1)
			close(entered)
			<-leave
			return answer("text"), nil
		})
		return v, err
	}
	w.cfg.Handlers[other] = h
	w.serve(h)
	first := w.submit(42)
	<-entered
	second, _, err := w.ledger.Accept(t.Context(), tasks.Request{Payload: tasks.Custom{Name: other, UserID: 7, ReportID: 42}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if j := w.await(second.ID, tasks.Held); j.Hold != tasks.HoldAnswerInProgress {
		t.Fatalf("the second job waits for %q", j.Hold)
	}
	close(leave)
	w.await(first.ID, tasks.Succeeded)
	if j := w.await(second.ID, tasks.Succeeded); string(j.Result) != `"text"` || paid.Load() != 1 {
		t.Fatalf("result %s; paid %d times", j.Result, paid.Load())
	}
}

func TestAHandlerWithoutProgressIsStoppedAndTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(k tasks.Kind) tasks.Policy {
		p := fast(k)
		p.IdleTimeout = 50 * time.Millisecond
		return p
	})
	var calls atomic.Int32
	w.serve(func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
		if calls.Add(1) == 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return answer(1), nil
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	if c := w.attempts(j.ID)[0].Error.Class; c != tasks.ClassNoProgress {
		t.Fatalf("class %s", c)
	}
}

func TestAStepOverItsTimeIsATimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(k tasks.Kind) tasks.Policy {
		p := fast(k)
		p.CallTimeout = 30 * time.Millisecond
		return p
	})
	var calls atomic.Int32
	w.serve(func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
		return worker.Checkpoint(ctx, "call", func(ctx context.Context) (json.RawMessage, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done()
				return nil, fmt.Errorf("call: %w", ctx.Err())
			}
			return answer(1), nil
		})
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	if c := w.attempts(j.ID)[0].Error.Class; c != tasks.ClassTimeout {
		t.Fatalf("class %s", c)
	}
}

func TestAHandlerThatIgnoresItsLimitKeepsItsSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(k tasks.Kind) tasks.Policy {
		p := fast(k)
		p.TotalTimeout, p.IdleTimeout = 20*time.Millisecond, 20*time.Millisecond
		return p
	})
	w.cfg.Slots = 2
	var running, most atomic.Int32
	leave := make(chan struct{})
	var once sync.Once
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-ctx.Done()
		if job.ReportID == 1 {
			<-leave // ignores the end of its context
		}
		once.Do(func() { close(leave) })
		return nil, tasks.NewError(tasks.ClassNotAssessable, ctx.Err())
	})
	for i := int64(1); i <= 6; i++ {
		w.submit(i)
	}
	eventually(t, "jobs are dead or waiting for another attempt", func() bool {
		o, err := w.ledger.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return o.Count(tasks.Retrying)+o.Count(tasks.Dead)+o.Count(tasks.Running) == 6 && most.Load() > 0
	})
	if most.Load() > 2 {
		t.Fatalf("%d handlers ran at once on 2 slots", most.Load())
	}
}

func TestWithHalfOfTheSlotsStuckTheWorkerEndsWithItsOwnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(k tasks.Kind) tasks.Policy {
		p := fast(k)
		p.IdleTimeout = 10 * time.Millisecond
		return p
	})
	w.cfg.Slots, w.cfg.StuckAfter, w.cfg.DrainTimeout = 2, 20*time.Millisecond, time.Millisecond
	leave := make(chan struct{})
	w.cfg.Handlers[kind] = func(context.Context, tasks.Job) (json.RawMessage, error) {
		<-leave
		return answer(1), nil
	}
	s, err := worker.New(w.rdb, w.ledger.Ledger, &w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	j := w.submit(42)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	select {
	case err := <-ended:
		if !errors.Is(err, worker.ErrStuck) {
			t.Fatalf("Run returned %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Run did not return")
	}
	a := w.attempts(j.ID)[0]
	if !a.Stuck || a.Error == nil || !strings.Contains(a.Error.Stack, "worker_test.go") {
		t.Fatalf("the attempt shows %+v", a)
	}
	close(leave)
}

func TestCancelStopsARunningJobForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	started := make(chan struct{}, 1)
	w.serve(func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
		started <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	j := w.submit(42)
	<-started
	if _, err := w.ledger.Cancel(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	w.await(j.ID, tasks.Cancelled)
	eventually(t, "task is acknowledged", func() bool {
		info, err := asynq.NewInspectorFromRedisClient(w.rdb).GetTaskInfo(string(j.Priority), j.TaskID())
		return errors.Is(err, asynq.ErrTaskNotFound) || (err == nil && info.State == asynq.TaskStateCompleted)
	})
}

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	h := func(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil }
	good := map[tasks.Kind]worker.Handler{kind: h}
	for field, cfg := range map[string]*worker.Config{
		"Handlers":      nil,
		"Handlers[":     {Handlers: map[tasks.Kind]worker.Handler{kind: nil}},
		"kind":          {Handlers: map[tasks.Kind]worker.Handler{"No Good": h}},
		"Slots":         {Handlers: good, Slots: -1},
		"PollInterval":  {Handlers: good, PollInterval: -1},
		"DrainTimeout:": {Handlers: good, DrainTimeout: -1},
	} {
		if _, err := worker.New(w.rdb, w.ledger.Ledger, cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
