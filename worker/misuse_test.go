package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"evalq/internal/ledger"
	"evalq/tasks"
	"evalq/worker"
)

// noContext is a nil context that the linter does not see.
var noContext context.Context

func wantInvalid(t *testing.T, what string, err error) {
	t.Helper()
	var invalid *tasks.InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("%s: %v", what, err)
	}
}

// misuse calls everything that a handler may call with what it must not give.
func misuse(t *testing.T, ctx context.Context) {
	step := func(context.Context) (json.RawMessage, error) { return answer(1), nil }
	for _, p := range [][3]int{
		{1, 2, 3}, {2, 0, 1}, {1, 0, 0}, {-1, 0, 1}, {0, -1, 1}, {0, 0, -1}, {-2, -3, -1},
		{math.MinInt, math.MinInt, math.MinInt}, {0, 0, math.MaxInt}, {math.MaxInt, math.MaxInt, math.MaxInt},
	} {
		wantInvalid(t, "progress", worker.Progress(ctx, p[0], p[1], p[2]))
	}
	wantInvalid(t, "progress without a context", worker.Progress(noContext, 1, 0, 1))
	for what, do := range map[string]func() error{
		"without a function": func() error { _, err := worker.Checkpoint(ctx, "key", nil); return err },
		"without a context":  func() error { _, err := worker.Checkpoint(noContext, "key", step); return err },
		"without a key":      func() error { _, err := worker.Checkpoint(ctx, "", step); return err },
		"shared, without a function": func() error {
			_, _, err := worker.SharedCheckpoint(ctx, "key", nil)
			return err
		},
		"shared, without a context": func() error {
			_, _, err := worker.SharedCheckpoint(noContext, "key", step)
			return err
		},
		"shared, without a key": func() error { _, _, err := worker.SharedCheckpoint(ctx, "", step); return err },
	} {
		wantInvalid(t, "checkpoint "+what, do())
	}
	worker.MadeBy(noContext, "somebody")
	if r := worker.Ref(noContext); r != (tasks.Ref{}) {
		t.Errorf("a nil context names the attempt %+v", r)
	}
}

func TestWhatAHandlerMustNotGiveIsAnErrorInsideAWorkerAndOutside(t *testing.T) {
	t.Parallel()
	misuse(t, t.Context())
	w := newWorld(t, nil)
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		misuse(t, ctx)
		for _, p := range [][3]int{{0, 0, 0}, {0, 0, 3}, {3, 3, 3}, {2, 1, 3}} {
			if err := worker.Progress(ctx, p[0], p[1], p[2]); err != nil {
				t.Errorf("progress %v: %v", p, err)
			}
		}
		return answer(1), nil
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	if j.Progress != (tasks.Progress{Done: 2, Kept: 1, Total: 3}) || j.Attempt != 1 {
		t.Fatalf("the job stands at %+v after %d attempts", j.Progress, j.Attempt)
	}
}

func TestGoroutinesOfOneAttemptThatAskForTheSameStepPayForItOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var paid, failed atomic.Int32
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		var all sync.WaitGroup
		for n := range 16 {
			all.Go(func() {
				v, err := worker.Checkpoint(ctx, "one", func(ctx context.Context) (json.RawMessage, error) {
					paid.Add(1)
					return answer("paid"), nil
				})
				if err != nil || string(v) != `"paid"` {
					t.Errorf("got %s, %v", v, err)
				}
				if err := worker.Progress(ctx, n, 0, 16); err != nil {
					t.Error(err)
				}
				worker.MadeBy(ctx, "judge")
				// One that fails leaves the step to the next.
				_, err = worker.Checkpoint(ctx, "two", func(context.Context) (json.RawMessage, error) {
					if failed.Add(1) == 1 {
						return nil, errors.New("the first fails")
					}
					return answer(2), nil
				})
				if err != nil && err.Error() != "the first fails" {
					t.Error(err)
				}
			})
		}
		all.Wait()
		_, err := worker.Checkpoint(ctx, "own", func(ctx context.Context) (json.RawMessage, error) {
			return worker.Checkpoint(ctx, "own", func(context.Context) (json.RawMessage, error) { return answer(1), nil })
		})
		wantInvalid(t, "a step inside itself", err)
		return answer(1), nil
	})
	w.await(w.submit(42).ID, tasks.Succeeded)
	if paid.Load() != 1 || failed.Load() != 2 {
		t.Fatalf("the step was paid for %d times, the one that failed first %d times", paid.Load(), failed.Load())
	}
}

func TestAGoroutineThatOutlivesItsHandlerChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	left := make(chan context.Context, 1)
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		left <- ctx
		return answer(1), nil
	})
	j := w.await(w.submit(42).ID, tasks.Succeeded)
	ctx := <-left
	if err := worker.Progress(ctx, 1, 0, 1); !errors.Is(err, tasks.ErrStale) {
		t.Errorf("progress: %v", err)
	}
	_, err := worker.Checkpoint(ctx, "late", func(context.Context) (json.RawMessage, error) {
		t.Error("a step was paid for after the end of its attempt")
		return answer(1), nil
	})
	if !errors.Is(err, tasks.ErrStale) {
		t.Errorf("checkpoint: %v", err)
	}
	worker.MadeBy(ctx, "late")
	if now := w.await(j.ID, tasks.Succeeded); now.Progress != j.Progress || now.Judge != j.Judge {
		t.Errorf("the job is now %+v", now)
	}
}

func TestAnEmptySkipAndAnEmptyHoldEndAnAttemptInALegalWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var calls atomic.Int32
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		switch calls.Add(1) {
		case 1:
			return nil, tasks.WaitFor(tasks.HoldNone, -1)
		case 2:
			return nil, (*tasks.Error)(nil)
		case 3:
			return nil, &tasks.InvalidError{}
		}
		return nil, tasks.Skip("")
	})
	j := w.await(w.submit(42).ID, tasks.Skipped)
	if j.Skipped == "" || j.Charged != 3 {
		t.Fatalf("skipped for %q, %d charged", j.Skipped, j.Charged)
	}
	for _, a := range w.attempts(j.ID)[:3] {
		if a.Error == nil || a.Error.Class != tasks.ClassInternal || a.Error.Message == "" {
			t.Errorf("attempt %d: %+v", a.Number, a.Error)
		}
	}
}

func TestAServerThatNothingWasGivenToIsAnErrorAndNoPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.cfg.Handlers[kind] = func(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil }
	for what, err := range map[string]error{
		"no settings":          second(worker.New(w.rdb, w.ledger.Ledger, nil)),
		"no client":            second(worker.New(nil, w.ledger.Ledger, &w.cfg)),
		"a nil client":         second(worker.New((*redis.Client)(nil), w.ledger.Ledger, &w.cfg)),
		"a nil cluster":        second(worker.New((*redis.ClusterClient)(nil), w.ledger.Ledger, &w.cfg)),
		"no ledger":            second(worker.New(w.rdb, nil, &w.cfg)),
		"a nil ledger":         second(worker.New(w.rdb, (*ledger.Ledger)(nil), &w.cfg)),
		"a nil handler":        second(worker.New(w.rdb, w.ledger.Ledger, &worker.Config{Handlers: map[tasks.Kind]worker.Handler{kind: nil}})),
		"a nil server":         (*worker.Server)(nil).Run(t.Context()),
		"the zero Server":      (&worker.Server{}).Run(t.Context()),
		"the zero Server, nil": (&worker.Server{}).Run(noContext),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	s, err := worker.New(w.rdb, w.ledger.Ledger, &w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, "a nil context", s.Run(noContext))
	if id := (*worker.Server)(nil).ID(); id != "" {
		t.Errorf("a nil server is called %q", id)
	}
	// A refused Run has not used the Server up.
	stop := w.background(s.Run)
	w.await(w.submit(42).ID, tasks.Succeeded)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("a Server ran twice")
	}
}

func second(_ *worker.Server, err error) error { return err }
