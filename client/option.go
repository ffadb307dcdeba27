package client

import (
	"time"

	"evalq/tasks"
)

// Option adds a wish to a submission.
type Option func(*tasks.Request)

// WithPriority chooses the queue. Without it, it is tasks.Default. Submitting an
// existing job again does not move it.
func WithPriority(p tasks.Priority) Option { return func(r *tasks.Request) { r.Priority = p } }

// At sets the earliest time to run.
func At(t time.Time) Option { return func(r *tasks.Request) { r.RunAt = t } }

// Anew takes a cancelled job up again. Without it, a cancelled job stays so.
func Anew() Option { return func(r *tasks.Request) { r.Anew = true } }
