package client

import (
	"fmt"
	"time"

	"evalq/tasks"
)

// Option adds a wish to a submission.
type Option func(*tasks.Request)

// requestOf is the request that the options make of a payload.
func requestOf(payload tasks.Payload, opts []Option) (tasks.Request, error) {
	r := tasks.Request{Payload: payload}
	for i, o := range opts {
		if o == nil {
			return r, &tasks.InvalidError{Err: fmt.Errorf("option %d of %d is nil", i+1, len(opts))}
		}
		o(&r)
	}
	if err := r.Validate(); err != nil {
		return r, &tasks.InvalidError{Err: err}
	}
	return r, nil
}

// WithPriority chooses the queue. Without it, it is tasks.Default. A job that is
// under way moves to a more urgent queue, never to a less urgent one.
func WithPriority(p tasks.Priority) Option { return func(r *tasks.Request) { r.Priority = p } }

// At sets the earliest time to run. A job that waits for a later time is brought
// forward, also by a submission without At, which means now; none is put off.
func At(t time.Time) Option { return func(r *tasks.Request) { r.RunAt = t } }

// NewKind says that the kind is new. Without it, a kind for which no worker has had
// a handler in the last 30 days is refused as a mistake; with it, the job waits for
// the first worker that has one. A program that is rolled out before its workers
// gives it.
func NewKind() Option { return func(r *tasks.Request) { r.NewKind = true } }

// Anew takes a cancelled job up again. Without it, a cancelled job stays so.
func Anew() Option { return func(r *tasks.Request) { r.Anew = true } }

// RetryOption adds a wish to a retry.
type RetryOption func(*tasks.RetryOptions)

// EvaluateAnew evaluates a job again that has succeeded or was skipped, because the
// judge, a prompt or a handler has changed: its next revision is accepted and uses
// no step that is kept, neither the job's own nor an answer that is kept for all
// jobs of the report. The result stays until the next one is there. A dead or
// cancelled job runs again itself without its kept steps. It is safe to repeat:
// while that revision is unfinished, it is the answer. Another unfinished job is
// tasks.ErrConflict.
func EvaluateAnew() RetryOption { return func(o *tasks.RetryOptions) { o.NewRevision = true } }

// DropSteps runs the job again without the steps that it has kept: each is paid
// for again.
func DropSteps() RetryOption { return func(o *tasks.RetryOptions) { o.DropSteps = true } }
