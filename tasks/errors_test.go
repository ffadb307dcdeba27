package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"evalq/tasks"
)

// wrapped hides err behind what callers put around errors.
func wrapped(err error) error {
	return fmt.Errorf("engine: call model: %w", errors.Join(io.EOF, fmt.Errorf("try 2: %w", err)))
}

func TestTheClassOfAnErrorIsFoundThroughWrapping(t *testing.T) {
	t.Parallel()
	for _, c := range tasks.Classes() {
		err := wrapped(tasks.NewError(c, io.ErrUnexpectedEOF))
		if got := tasks.ClassOf(err); got != c {
			t.Errorf("%s: got %s", c, got)
		}
		if tasks.IsPermanent(err) != c.Permanent() {
			t.Errorf("%s: permanent %v", c, tasks.IsPermanent(err))
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: the cause is lost", c)
		}
	}
}

func TestAnErrorWithoutAClassIsATimeoutOrInternal(t *testing.T) {
	t.Parallel()
	for want, err := range map[tasks.Class]error{
		"":                     nil,
		tasks.ClassTimeout:     wrapped(context.DeadlineExceeded),
		tasks.ClassInternal:    wrapped(io.EOF),
		tasks.ClassAuth:        tasks.NewError(tasks.ClassAuth, context.DeadlineExceeded), // its own class wins
		tasks.ClassStorage:     tasks.NewError(tasks.ClassStorage, nil),
		tasks.ClassRateLimited: tasks.NewError(tasks.ClassRateLimited, tasks.NewError(tasks.ClassOverloaded, nil)), // the outer one knows more
	} {
		if got := tasks.ClassOf(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
	if tasks.IsPermanent(nil) || tasks.IsPermanent(io.EOF) {
		t.Error("no error, or an unknown one, is permanent")
	}
}

func TestRetryAfterIsFoundThroughWrapping(t *testing.T) {
	t.Parallel()
	asked := &tasks.Error{Class: tasks.ClassRateLimited, After: 7 * time.Second, Err: io.EOF}
	for name, c := range map[string]struct {
		err  error
		want time.Duration
	}{
		"plain":           {asked, 7 * time.Second},
		"wrapped":         {wrapped(asked), 7 * time.Second},
		"classed again":   {tasks.NewError(tasks.ClassOverloaded, wrapped(asked)), 7 * time.Second},
		"outer one wins":  {&tasks.Error{Class: tasks.ClassOverloaded, After: time.Second, Err: asked}, time.Second},
		"not asked":       {wrapped(tasks.NewError(tasks.ClassOverloaded, io.EOF)), 0},
		"without a class": {io.EOF, 0},
		"none":            {nil, 0},
	} {
		if got := tasks.RetryAfter(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestASkipTellsItsReasonThroughWrapping(t *testing.T) {
	t.Parallel()
	if reason, ok := tasks.SkipReason(wrapped(tasks.Skip("empty"))); !ok || reason != "empty" {
		t.Errorf("got %q, %v", reason, ok)
	}
	for _, err := range []error{nil, io.EOF, tasks.NewError(tasks.ClassInternal, nil), tasks.WaitFor(tasks.HoldAnswerInProgress, time.Second)} {
		if reason, ok := tasks.SkipReason(err); ok {
			t.Errorf("%v is taken for a skip: %q", err, reason)
		}
	}
}

func TestAHoldTellsWhatItWaitsForThroughWrapping(t *testing.T) {
	t.Parallel()
	if hold, wait, ok := tasks.HoldOf(wrapped(tasks.WaitFor(tasks.HoldInterviewMissing, time.Minute))); !ok || hold != tasks.HoldInterviewMissing || wait != time.Minute {
		t.Errorf("got %q, %s, %v", hold, wait, ok)
	}
	for _, err := range []error{nil, io.EOF, tasks.Skip("empty")} {
		if hold, _, ok := tasks.HoldOf(err); ok {
			t.Errorf("%v is taken for a hold: %q", err, hold)
		}
	}
}

func TestErrorTextsNameTheClassAndTheCause(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"provider_auth":            tasks.NewError(tasks.ClassAuth, nil),
		"provider_auth: EOF":       tasks.NewError(tasks.ClassAuth, io.EOF),
		"skipped: empty":           tasks.Skip("empty"),
		"held: answer in progress": tasks.WaitFor(tasks.HoldAnswerInProgress, 0),
		"EOF":                      &tasks.InvalidError{Err: io.EOF},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
	if !errors.Is(&tasks.InvalidError{Err: io.EOF}, io.EOF) {
		t.Error("an InvalidError hides its cause")
	}
}
