// Package fault reads from an error of a program's own what went wrong: the
// network, the answer of a model's provider, or a database. It knows shapes, not
// packages: a status is found in whatever field or method an error of an SDK has
// it in. Where two readings are possible it takes the one that keeps the job.
package fault

import (
	"context"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"time"

	"evalq/tasks"
)

// finding is what one error of a tree says.
type finding struct {
	class tasks.Class
	after time.Duration
}

// Guess gives err a class where it has none and its kind is known: the result is a
// *tasks.Error that says that it was guessed. ctx is the one that the function was
// called with. What nothing is known of comes back as it is, and so does an error
// that the function has classified itself.
func Guess(ctx context.Context, err error) (out error) {
	if err == nil {
		return nil
	}
	defer func() {
		if recover() != nil {
			out = err // methods of the error panic; the caller deals with those
		}
	}()
	var said *tasks.Error
	if errors.As(err, &said) && !said.Guessed && !ended(ctx) {
		return err
	}
	if _, skipped := tasks.SkipReason(err); skipped {
		return err
	}
	if _, _, held := tasks.HoldOf(err); held {
		return err
	}
	best := look(err)
	if best.class == "" && ended(ctx) && stopped(ctx, err) {
		best.class = tasks.ClassUnavailable
	}
	if best.class == "" {
		best.class = fromText(err.Error())
	}
	if best.class == "" {
		return err
	}
	return &tasks.Error{Class: best.class, After: max(best.after, tasks.RetryAfter(err)), Guessed: true, Err: err}
}

// ended is whether a time limit has ended ctx: the worker's, which has its class as
// the cause, or a plain deadline.
func ended(ctx context.Context) bool {
	if ctx == nil || ctx.Err() == nil {
		return false
	}
	cause := context.Cause(ctx)
	class := tasks.ClassOf(cause)
	return class == tasks.ClassTimeout || class == tasks.ClassNoProgress
}

// stopped is whether a function that was stopped by its time limit was waiting for
// something that heeds contexts, as calls of a model do. net/http's client returns
// the cause of the end.
func stopped(ctx context.Context, err error) bool {
	cause := context.Cause(ctx)
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cause) ||
		endsWith(err.Error(), append([]string{strings.TrimRight(cause.Error(), trimmed)}, stoppedTexts...))
}

// most bounds how many errors of a tree are looked at.
const most = 100

// look reads the errors of a tree. Of those that can be tried again it takes the
// first, and only without one a permanent one.
func look(err error) finding {
	var permanent finding
	left := most
	var walk func(err error, inCall bool) (finding, bool)
	walk = func(err error, inCall bool) (finding, bool) {
		if left--; err == nil || left < 0 {
			return finding{}, false
		}
		f := one(err, inCall)
		if _, call := err.(*url.Error); call {
			inCall = true
		}
		switch {
		case f.class.Transient():
			return f, true
		case f.class != "" && permanent.class == "":
			permanent = f
		}
		for _, inner := range unwrap(err) {
			if f, ok := walk(inner, inCall); ok {
				return f, true
			}
		}
		return finding{}, false
	}
	if f, ok := walk(err, false); ok {
		return f
	}
	return permanent
}

func unwrap(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	case interface{ Cause() error }: // of github.com/pkg/errors
		return []error{e.Cause()}
	}
	return nil
}

// one reads a single error. An error of another package may be a nil pointer, or
// have methods that panic. InCall is whether it is inside what net/http's client
// returned.
func one(err error, inCall bool) (f finding) {
	defer func() {
		if recover() != nil {
			f = finding{}
		}
	}()
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
		return finding{}
	}
	if class := fromDatabase(err); class != "" {
		return finding{class: class}
	}
	if f := fromStatus(err); f.class != "" {
		return f
	}
	return finding{class: fromNetwork(err, inCall)}
}
