package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"evalq/tasks"
)

// attempt is one try at a job, from Begin to its end in the ledger.
type attempt struct {
	s       *Server
	fence   tasks.Fence
	job     tasks.Job
	policy  tasks.Policy
	retried int
	queue   tasks.Priority // that the task is in
	cancel  context.CancelCauseFunc
	idle    *time.Timer

	returned atomic.Bool // the handler has; a goroutine that it left behind changes nothing any more
	steps    steps

	mu    sync.Mutex
	judge string
}

// attempt runs the handler and brings its end into the ledger; what it returns
// tells Asynq the same.
func (s *Server) attempt(claim tasks.Claim, queue tasks.Priority, retried int) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	a := &attempt{
		s: s, job: claim.Job, policy: claim.Policy, retried: retried, queue: queue, cancel: cancel,
		fence: tasks.Fence{Job: claim.Job.ID, Attempt: claim.Job.Attempt, Worker: s.id},
	}
	s.mu.Lock()
	s.active[a.fence] = a
	if s.handBack {
		a.cancel(errHandBack)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.active, a.fence)
		s.mu.Unlock()
	}()
	result, err := a.run(context.WithValue(ctx, attemptKey{}, a))
	return a.settle(ctx, result, err)
}

// run calls the handler under the limits of the policy.
func (a *attempt) run(ctx context.Context) (json.RawMessage, error) {
	total := time.AfterFunc(a.policy.TotalTimeout, func() {
		a.cancel(tasks.NewError(tasks.ClassTimeout, fmt.Errorf("the attempt took longer than %s", a.policy.TotalTimeout)))
	})
	defer total.Stop()
	a.idle = time.AfterFunc(a.policy.IdleTimeout, func() {
		a.cancel(tasks.NewError(tasks.ClassNoProgress, fmt.Errorf("no step was finished for %s", a.policy.IdleTimeout)))
	})
	defer a.idle.Stop()
	defer a.returned.Store(true)
	return a.call(ctx)
}

// call runs the handler in a goroutine of its own and waits for it, so that one
// that panics, or ends its goroutine, is an error like others.
func (a *attempt) call(ctx context.Context) (json.RawMessage, error) {
	h := a.s.cfg.Handlers[a.job.Kind] // which is there: the ledger grants no job of another kind
	var result json.RawMessage
	var err error = &panicError{value: "the handler ended its goroutine"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.watch(ctx)()
		defer func() {
			if p := recover(); p != nil {
				err = &panicError{value: clip(fmt.Sprint(p)), stack: string(debug.Stack())}
			}
		}()
		result, err = h(ctx, a.job)
		probe(err)
	}()
	<-done
	if err == nil {
		err = storable(result)
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// storable refuses what no ledger would take. It would be tried for ever, because
// a database says no more than that it cannot.
func storable(value json.RawMessage) error {
	switch {
	case len(value) > MaxResult:
		return fmt.Errorf("worker: the handler returned %d bytes, at most %d are kept: store large outcomes elsewhere and return their key", len(value), MaxResult)
	case !json.Valid(value):
		return errors.New("worker: the handler returned a value that is not JSON")
	}
	return nil
}

// probe asks an error what it will be asked later, so that one whose methods
// panic, such as a nil pointer, panics where the handler's own panics are caught.
func probe(err error) {
	if err != nil {
		_, _ = err.Error(), tasks.ClassOf(err)
	}
}

type panicError struct{ value, stack string }

func (e *panicError) Error() string { return "panic: " + e.value }

// settle writes the end of the attempt and gives Asynq its answer.
func (a *attempt) settle(ctx context.Context, result json.RawMessage, err error) error {
	if reason, skipped := tasks.SkipReason(err); skipped {
		return a.complete(tasks.Finish{Skipped: reason})
	}
	if err == nil {
		a.mu.Lock()
		judge := a.judge
		a.mu.Unlock()
		return a.complete(tasks.Finish{Result: result, Judge: judge})
	}
	return a.fail(a.trouble(ctx, err))
}

func (a *attempt) complete(fin tasks.Finish) error {
	err := a.persist(func(ctx context.Context) error { return a.s.ledger.Complete(ctx, a.fence, fin) })
	switch {
	case err == nil, errors.Is(err, tasks.ErrCancelled):
		return nil
	case errors.Is(err, tasks.ErrStale):
		a.refused(err)
		return nil
	}
	class := tasks.ClassStorage
	if never(err) {
		class = tasks.ClassInternal // to evaluate again for as long as a storage is away would be paid for each time
	}
	return a.fail(tasks.Trouble{Failure: tasks.Failure{Class: class, Message: clip("the result could not be stored: " + err.Error())}, Retried: a.retried, Queue: a.queue})
}

// refused notes a zombie's write. The newer attempt owns the job.
func (a *attempt) refused(err error) {
	a.s.cfg.Logger.Warn("a late write was refused", "job", a.job.Ref(), "err", err)
}

// trouble translates a handler's error. When our own limit or the end of the
// worker stopped the handler, that is the reason, whatever it returned.
func (a *attempt) trouble(ctx context.Context, err error) tasks.Trouble {
	t := tasks.Trouble{Retried: a.retried, Queue: a.queue}
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, tasks.ErrCancelled), errors.Is(err, tasks.ErrCancelled):
		t.Cancelled = true
		return t
	case errors.Is(cause, tasks.ErrStale):
		t.Failure = tasks.Failure{Class: tasks.ClassWorkerLost, Message: "another attempt has taken over"}
		return t // which the ledger refuses
	case errors.Is(cause, errHandBack):
		t.HandBack = true
		return t
	case cause != nil && waited(err):
		// The time limit ended a call of the provider, which did not answer.
		t.Class = a.classify(err)
		t.Message = clip(plain(cause, tasks.ClassOf(cause)) + ": " + plain(err, tasks.ClassOf(err)))
		return t
	case cause != nil:
		err = cause
	}
	var p *panicError
	if errors.As(err, &p) {
		t.Failure = tasks.Failure{Class: tasks.ClassPanic, Message: p.Error(), Stack: p.stack}
		return t
	}
	if hold, wait, ok := tasks.HoldOf(err); ok && hold != tasks.HoldNone {
		t.Hold, t.HoldFor = hold, wait
		return t
	}
	t.Class = a.classify(err)
	// The class is told beside the message; its text need not repeat it.
	t.Message = clip(plain(err, t.Class))
	t.After = tasks.RetryAfter(err)
	if t.Class == tasks.ClassInterviewMissing {
		// Not a failure yet: it may still arrive. The ledger sets the end.
		t.Hold = tasks.HoldInterviewMissing
	}
	return t
}

func plain(err error, class tasks.Class) string {
	return strings.Replace(err.Error(), string(class)+": ", "", 1)
}

// waited is whether the class of an error was read from a call that may be made
// again.
func waited(err error) bool {
	var classed *tasks.Error
	return errors.As(err, &classed) && classed.Guessed && classed.Class.Transient()
}

func (a *attempt) classify(err error) (class tasks.Class) {
	defer func() {
		if p := recover(); p != nil {
			a.s.cfg.Logger.Error("the Classify hook panicked", "job", a.job.Ref(), "stack", string(debug.Stack()))
			class = tasks.ClassInternal
		}
	}()
	var classed *tasks.Error
	if (!errors.As(err, &classed) || classed.Guessed) && a.s.cfg.Classify != nil {
		class = a.s.cfg.Classify(err)
	}
	if class == "" {
		class = tasks.ClassOf(err)
	}
	if !class.Valid() {
		class = tasks.ClassInternal
	}
	return class
}

func (a *attempt) fail(t tasks.Trouble) error {
	v, err := a.end(t)
	if never(err) {
		// What a handler says of its failure must not keep its attempt from ending.
		t.Message, t.Stack = unstorable, ""
		v, err = a.end(t)
	}
	if errors.Is(err, tasks.ErrStale) {
		a.refused(err)
		return nil
	}
	if err != nil {
		a.s.cfg.Logger.Error("the end of an attempt could not be stored", "job", a.job.Ref(), "err", err)
		return &again{delay: time.Minute, text: "the ledger could not be reached"}
	}
	text := string(t.Class) + ": " + t.Message
	switch v.State {
	case tasks.Retrying:
		a.s.cfg.Logger.Info("an attempt failed", "job", a.job.Ref(), "class", t.Class, "charged", v.Charged, "retry_in", v.Delay)
		return &again{delay: v.Delay, charged: v.Charged, text: text}
	case tasks.Accepted:
		if v.Delay > 0 {
			a.s.cfg.Logger.Info("an attempt failed", "job", a.job.Ref(), "class", t.Class, "charged", v.Charged, "retry_in", v.Delay)
			return nil
		}
		a.s.cfg.Logger.Info("a job was handed back; its finished steps are kept", "job", a.job.Ref())
	case tasks.Dead:
		a.s.cfg.Logger.Warn("a job is dead", "job", a.job.Ref(), "class", t.Class)
		return &archive{text}
	}
	return nil
}

// unstorable stands for a reason that the database does not take.
const unstorable = "the database refuses the text of the failure; the log of the worker has its class"

// end writes the end of an attempt that failed.
func (a *attempt) end(t tasks.Trouble) (v tasks.Verdict, err error) {
	err = a.persist(func(ctx context.Context) (err error) {
		v, err = a.s.ledger.Fail(ctx, a.fence, t)
		return err
	})
	return v, err
}

const (
	// refusedFor is how long a write is repeated that the database answers and does
	// not take, such as one for which a right is missing.
	refusedFor = time.Minute
	// repeatedFor is how long a write is repeated before the log says so.
	repeatedFor = 3 * time.Second
)

// persist repeats a ledger write until the ledger answers: what it would store
// has been paid for, and an attempt that is not ended on record would block its
// job. The slot stays taken meanwhile, which is right: without a ledger there is
// nothing else to do. It gives up on what the database never takes, at once, on what
// it refuses until an operator has put something right, after refusedFor, and at the end
// of the worker; when no end of the attempt was written the ledger hands the job back.
func (a *attempt) persist(write func(context.Context) error) error {
	began, told := time.Now(), false
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := write(context.WithoutCancel(a.s.writing))
		open := errors.Is(err, tasks.ErrUnavailable) || errors.Is(err, tasks.ErrOutcomeUnknown)
		if err == nil || errors.Is(err, tasks.ErrStale) || errors.Is(err, tasks.ErrCancelled) || !open {
			return err
		}
		if a.s.refuses(err, began) {
			return err
		}
		if !told && time.Since(began) >= repeatedFor {
			told = true
			a.s.cfg.Logger.Warn("the ledger does not take a write; it is repeated", "job", a.job.Ref(), "err", err)
		}
		if !lull(context.Background(), a.s.writing, wait) {
			return err
		}
	}
}

// refuses reports whether a write, repeated since began, is to be given up because the
// database answers that it does not take it. A worker that stops waits for no operator.
func (s *Server) refuses(err error, began time.Time) bool {
	return errors.Is(err, tasks.ErrRefused) && (s.draining.Load() || time.Since(began) >= refusedFor)
}

// never reports whether the database will not take a write because of its value.
func never(err error) bool {
	var invalid *tasks.InvalidError
	return errors.Is(err, tasks.ErrRefused) && errors.As(err, &invalid)
}
