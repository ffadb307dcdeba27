package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"evalq/tasks"
)

const (
	firstPause  = 100 * time.Millisecond
	longestWait = 3 * time.Second // between two repetitions
)

// patience repeats what did not get through.
type patience struct {
	timeout time.Duration
	hasty   bool // Config.FailFast
	log     *slog.Logger
}

func newPatience(cfg Config) patience {
	return patience{timeout: cfg.Timeout, hasty: cfg.FailFast, log: cfg.Logger}
}

// failure is an answer, or the lack of one, that may be different next time.
type failure struct {
	kind    error // tasks.ErrUnavailable or tasks.ErrOutcomeUnknown
	text    string
	after   time.Duration
	refused bool // nothing listens there
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// again says whether to repeat: always when nothing was done, and when that is
// not known, only what may be done twice.
func (f *failure) again(repeatable bool) bool {
	return repeatable || errors.Is(f.kind, tasks.ErrUnavailable)
}

// errand is one thing to do, and what may be done about its failing.
type errand struct {
	doing      string
	reads      bool          // it changes nothing
	repeatable bool          // it may be done twice
	longer     time.Duration // how much longer than the timeout one answer may take
}

// run tries until there is an answer that repeating would not change, ctx ends
// or the timeout is over.
func (p patience) run(ctx context.Context, e errand, once func(context.Context) error) error {
	outer, begin := ctx, time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.timeout+e.longer)
	defer cancel()
	pause := firstPause
	unknown := false
	for {
		err := once(ctx)
		if err == nil {
			return nil
		}
		var f *failure
		if !errors.As(err, &f) {
			return told(outer, e.doing, err)
		}
		again := f.again(e.repeatable) && ctx.Err() == nil && time.Since(begin) < p.timeout
		if p.hasty && e.reads && f.refused {
			again = false
		}
		// What an earlier try may have done is not undone by a later one that
		// did not get through; and a read does nothing in any case.
		if unknown = (unknown || f.kind == tasks.ErrOutcomeUnknown) && !e.reads; unknown {
			f.kind = tasks.ErrOutcomeUnknown
		} else {
			f.kind = tasks.ErrUnavailable
		}
		if !again {
			return told(outer, e.doing, err)
		}
		delay := min(max(f.after, pause/2+rand.N(pause)), longestWait)
		p.log.InfoContext(ctx, "request repeated", "doing", e.doing, "delay_ms", delay.Milliseconds(), "err", err)
		if !sleep(ctx, delay) {
			return told(outer, e.doing, err)
		}
		pause = min(2*pause, longestWait)
	}
}

// told gives the last error, and the caller's own when it was the caller who
// ended it.
func told(outer context.Context, doing string, err error) error {
	if outer.Err() != nil {
		return fmt.Errorf("client: %s: %w (%w)", doing, context.Cause(outer), err)
	}
	return fmt.Errorf("client: %s: %w", doing, err)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// wait polls until the job has finished, with pauses that grow to longest after
// polls that were answered at once.
func (p patience) wait(ctx context.Context, longest time.Duration, poll func(context.Context) (tasks.Job, error)) (tasks.Job, error) {
	var last tasks.Job
	pause := firstPause
	for {
		begin := time.Now()
		job, err := poll(ctx)
		switch {
		case err == nil:
			last = job
			if job.State.Finished() {
				return job, nil
			}
			// A server that is stopping, or a proxy, may answer at once.
			if time.Since(begin) > time.Second {
				pause = firstPause
				continue
			}
		case ctx.Err() != nil:
			return last, fmt.Errorf("client: wait: %w", context.Cause(ctx))
		case !passing(err):
			return last, fmt.Errorf("client: wait: %w", err)
		default:
			p.log.InfoContext(ctx, "request repeated", "doing", "wait", "delay_ms", pause.Milliseconds(), "err", err)
		}
		if !sleep(ctx, pause) {
			return last, fmt.Errorf("client: wait: %w", context.Cause(ctx))
		}
		pause = min(2*pause, longest)
	}
}

// passing reports whether the error may be gone by the next poll.
func passing(err error) bool {
	var f *failure
	return errors.As(err, &f)
}
