package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"

	"evalq/tasks"
	"evalq/worker"
)

// reader is a handler that pays for a text and can use only some texts.
type reader struct {
	calls  atomic.Int32
	good   atomic.Bool // what a call gives from now on
	forget bool
}

var errUnreadable = tasks.NewError(tasks.ClassInvalidOutput, errors.New("the answer cannot be read"))

func (r *reader) read(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
	text, err := worker.Checkpoint(ctx, "call", func(context.Context) (json.RawMessage, error) {
		r.calls.Add(1)
		return answer(r.good.Load()), nil
	})
	if err != nil {
		return nil, err
	}
	if string(text) == "true" {
		return text, nil
	}
	if r.forget {
		return nil, errors.Join(errUnreadable, worker.ForgetStep(ctx, "call"))
	}
	return nil, errUnreadable
}

func TestAHandlerForgetsAStepThatItCannotUseAndTheBudgetBoundsTheCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r := &reader{forget: true}
	w.serve(r.read)
	j := w.await(w.submit(42).ID, tasks.Dead)
	if n := r.calls.Load(); int(n) != j.Budget || j.Attempt != j.Budget || j.Error.Class != tasks.ClassInvalidOutput {
		t.Fatalf("%d calls in %d attempts of a budget of %d, dead as %+v", n, j.Attempt, j.Budget, j.Error)
	}
	r.good.Store(true)
	if _, err := w.ledger.Retry(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	if j = w.await(j.ID, tasks.Succeeded); r.calls.Load() != int32(j.Budget)+1 {
		t.Fatalf("%d calls", r.calls.Load())
	}
}

func TestADeadJobWhoseKeptStepIsRefusedRunsAgainWithoutIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r := &reader{}
	w.serve(r.read)
	j := w.await(w.submit(42).ID, tasks.Dead)
	r.good.Store(true)
	retry := func(how tasks.RetryOptions) {
		t.Helper()
		if _, err := w.ledger.RetryWith(t.Context(), j.ID, how, "op", ""); err != nil {
			t.Fatal(err)
		}
	}
	retry(tasks.RetryOptions{})
	eventually(t, "second run ends", func() bool {
		now, err := w.ledger.Get(t.Context(), j.ID)
		return err == nil && now.State == tasks.Dead && now.Run == 2
	})
	if n := r.calls.Load(); n != 1 {
		t.Fatalf("%d calls: a plain run keeps the steps", n)
	}
	retry(tasks.RetryOptions{DropSteps: true})
	w.await(j.ID, tasks.Succeeded)
	if n := r.calls.Load(); n != 2 {
		t.Fatalf("%d calls", n)
	}
}
