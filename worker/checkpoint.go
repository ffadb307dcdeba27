package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"evalq/tasks"
)

type attemptKey struct{}

// Step is a paid step: it gets a context that ends at the policy's CallTimeout
// and returns a JSON value of at most MaxResult.
type Step func(ctx context.Context) (json.RawMessage, error)

// Checkpoint makes a paid step of a job happen once: its outcome is stored when
// it has finished, and every later attempt of the job gets the stored one
// without a call. Key names the step within the job (kind, user, report and
// revision). A step that fails is not stored. It is also a sign of progress.
//
// So check in fn whatever makes an outcome useless, such as an answer of a model
// that cannot be read, and return an error. A handler that finds out later calls
// [ForgetStep]; otherwise each attempt gets the same outcome and ends the same. A
// person can drop a job's steps with evalq retry --drop-steps.
//
// An attempt that has stored a step costs nothing of the budget if it fails
// later. Between the end of fn and the commit lies the only moment at which a
// crash makes the step happen again.
//
// Goroutines of one attempt may call it at the same time. Calls with the same key
// run one after the other, and after the first success the rest get its outcome; a
// step that asks for itself is refused. A nil ctx, a nil fn and a key that is empty
// or above 500 bytes are a *tasks.InvalidError. Once the handler has returned, the
// error is tasks.ErrStale.
//
// Outside a worker, in a test of a handler, it calls fn.
func Checkpoint(ctx context.Context, key string, fn Step) (json.RawMessage, error) {
	if err := checkStep(ctx, key, fn); err != nil {
		return nil, err
	}
	a := attemptOf(ctx)
	if a == nil {
		return fn(ctx)
	}
	v, _, err := a.once(ctx, a.job.Scope(), key, fn)
	return v, err
}

// SharedCheckpoint is Checkpoint across all jobs of one user's report,
// whatever their kind and revision. Put everything that the outcome depends on
// into the key, such as a hash of the input and the name of the model. Kept
// says that the outcome was stored before.
//
// While another job is at work on the same step it returns tasks.WaitFor, which
// the handler passes on: the job then waits off its slot.
func SharedCheckpoint(ctx context.Context, key string, fn Step) (value json.RawMessage, kept bool, err error) {
	if err := checkStep(ctx, key, fn); err != nil {
		return nil, false, err
	}
	a := attemptOf(ctx)
	if a == nil {
		v, err := fn(ctx)
		return v, false, err
	}
	return a.once(ctx, a.job.ReportScope(), key, fn)
}

// ForgetStep removes the kept outcome of the job's step of that key, because the
// handler cannot use it: the next [Checkpoint] of the key, in this attempt or a
// later one, calls its step again. A step that this attempt has stored itself does
// not make the attempt free of charge any more, so the budget bounds how often it
// is paid for. Return an error that says what is wrong with the outcome. Outside a
// worker it does nothing.
//
// A nil ctx and a key that is empty or above 500 bytes are a *tasks.InvalidError.
func ForgetStep(ctx context.Context, key string) error {
	return forget(ctx, key, tasks.Job.Scope)
}

// ForgetSharedStep is ForgetStep for a step of [SharedCheckpoint]. A step that
// another job is at work on is left to it.
func ForgetSharedStep(ctx context.Context, key string) error {
	return forget(ctx, key, tasks.Job.ReportScope)
}

// ForgetSteps is ForgetStep for all of the job's own steps, for a caller who sees that
// what came of them is of no use and does not know which one is to blame. Steps of
// [SharedCheckpoint] stay.
func ForgetSteps(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("worker: forget steps: %w", errNilContext)
	}
	return forgetIn(ctx, "forget steps", func(ctx context.Context, a *attempt) error {
		return a.s.ledger.ForgetSteps(ctx, a.fence, a.job.Scope())
	})
}

// forget has a deadline of its own, as forgetIn gives it: an outcome that cannot be
// used has to go also when the attempt has been told to stop.
func forget(ctx context.Context, key string, scope func(tasks.Job) string) error {
	if err := checkKey(ctx, key); err != nil {
		return fmt.Errorf("worker: forget step: %w", err)
	}
	return forgetIn(ctx, "forget step", func(ctx context.Context, a *attempt) error {
		return a.s.ledger.ForgetStep(ctx, a.fence, scope(a.job), key)
	})
}

func forgetIn(ctx context.Context, doing string, do func(context.Context, *attempt) error) error {
	a := attemptOf(ctx)
	switch {
	case a == nil:
		return nil
	case a.returned.Load():
		return fmt.Errorf("worker: %s: %w", doing, errReturned)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return a.alive(do(ctx, a))
}

// Progress tells people how far a job is: of total steps, done are finished,
// kept of them were stored by earlier attempts. It is a sign of progress. An
// error means that the handler should stop and return it. Counts for which
// 0 <= kept <= done <= total does not hold, and a nil ctx, are a
// *tasks.InvalidError, and nothing changes. Outside a worker it does nothing else.
func Progress(ctx context.Context, done, kept, total int) error {
	p := tasks.Progress{Done: done, Kept: kept, Total: total}
	if ctx == nil {
		return fmt.Errorf("worker: progress: %w", errNilContext)
	}
	if err := checkProgress(p); err != nil {
		return err
	}
	a := attemptOf(ctx)
	switch {
	case a == nil:
		return nil
	case a.returned.Load():
		return fmt.Errorf("worker: progress: %w", errReturned)
	}
	return a.alive(a.s.ledger.Progress(ctx, a.fence, p))
}

// MadeBy names what made the result, such as a model and its version; it is
// stored beside it. Outside a worker it does nothing.
func MadeBy(ctx context.Context, judge string) {
	if a := attemptOf(ctx); a != nil {
		a.mu.Lock()
		a.judge = judge
		a.mu.Unlock()
	}
}

// Ref names the attempt at work in ctx: for logs, and for those who keep account
// of the calls that it pays for. Outside a worker it is the zero Ref.
func Ref(ctx context.Context) tasks.Ref {
	a := attemptOf(ctx)
	if a == nil {
		return tasks.Ref{}
	}
	return a.job.Ref()
}

func (a *attempt) once(ctx context.Context, scope, key string, fn Step) (json.RawMessage, bool, error) {
	ctx, leave, err := a.steps.enter(ctx, stepName{scope, key})
	if err != nil {
		return nil, false, err
	}
	defer leave()
	if a.returned.Load() {
		return nil, false, fmt.Errorf("worker: checkpoint: %w", errReturned)
	}
	c, err := a.claim(ctx, scope, key)
	if err := a.alive(err); err != nil {
		return nil, false, err
	}
	switch {
	case c.Done:
		return c.Value, true, nil
	case c.Taken:
		// The ledger releases the job when the other has finished the step; the
		// time is only a net below that.
		return nil, false, tasks.WaitFor(tasks.HoldAnswerInProgress, 30*time.Second)
	}
	value, err := a.pay(ctx, fn)
	if err != nil {
		drop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		// Should this fail, the claim ends with the attempt.
		_ = a.s.ledger.DropStep(drop, a.fence, scope, key)
		return nil, false, err
	}
	// The step is paid for: store it even when the job is to stop.
	err = a.persist(func(ctx context.Context) error { return a.s.ledger.SaveStep(ctx, a.fence, scope, key, value) })
	return value, false, a.alive(err)
}

// claim asks for a step. A claim whose answer was long on its way, because the
// network stalled or this process was stopped, may be another attempt's by now,
// and the step paid for: then it asks again before it pays.
func (a *attempt) claim(ctx context.Context, scope, key string) (tasks.Checkpoint, error) {
	for range claimTries {
		asked := time.Now()
		c, err := a.s.ledger.ClaimStep(ctx, a.fence, scope, key)
		if err != nil || c.Done || c.Taken || time.Since(asked) < a.s.fresh {
			return c, err
		}
	}
	return tasks.Checkpoint{}, fmt.Errorf("worker: the ledger takes over %s for each answer: %w", a.s.fresh, tasks.ErrUnavailable)
}

func (a *attempt) pay(ctx context.Context, fn Step) (json.RawMessage, error) {
	call, cancel := context.WithTimeout(ctx, a.policy.CallTimeout)
	defer cancel()
	value, err := fn(call)
	switch {
	case err != nil && call.Err() != nil && ctx.Err() == nil:
		return nil, &tasks.Error{Class: tasks.ClassTimeout, Guessed: true, Err: fmt.Errorf("a step took longer than %s: %w", a.policy.CallTimeout, err)}
	case err == nil:
		err = storable(value)
	}
	return value, err
}

// alive notes progress, or that the ledger has ended this attempt: then its
// context ends too, so that nothing more is paid for.
func (a *attempt) alive(err error) error {
	switch {
	case err == nil:
		a.idle.Reset(a.policy.IdleTimeout)
	case errors.Is(err, tasks.ErrCancelled):
		a.cancel(tasks.ErrCancelled)
	case errors.Is(err, tasks.ErrStale):
		a.cancel(tasks.ErrStale)
	case errors.Is(err, tasks.ErrUnavailable):
		return tasks.NewError(tasks.ClassStorage, err)
	}
	return err
}
