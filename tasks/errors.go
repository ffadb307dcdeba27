package tasks

import (
	"context"
	"errors"
	"time"
)

// What a caller may ask about with errors.Is.
var (
	// ErrNotFound: there is no such job, interview or report.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the job's state does not allow what was asked; the message
	// around it names the state.
	ErrConflict = errors.New("not possible in this state")
	// ErrOutcomeUnknown: the call was cut off while its commit was under way.
	// Asking again is safe and tells.
	ErrOutcomeUnknown = errors.New("outcome unknown; it is safe to ask again")
	// ErrUnavailable: the ledger cannot commit at the moment. Nothing was
	// accepted; try again later.
	ErrUnavailable = errors.New("ledger unavailable; nothing was accepted, try again later")
	// ErrRefused: the ledger's database has answered that it does not take this write.
	// With an *InvalidError it never will, because of the value. With ErrUnavailable
	// something of the database has to be put right first, such as a right that is
	// missing. Nothing was stored.
	ErrRefused = errors.New("the ledger's database refuses this")
	// ErrStale: a write carried an attempt that is no longer the newest. Its
	// handler must stop; nothing that it returns is stored.
	ErrStale = errors.New("another attempt has taken over")
	// ErrCancelled: somebody cancelled the job while it ran.
	ErrCancelled = errors.New("the job was cancelled")
)

// InvalidError marks an error that the caller's input caused. Its text is meant
// for the caller and quotes no secret.
type InvalidError struct{ Err error }

// Error is the cause's text.
func (e *InvalidError) Error() string {
	if e == nil || e.Err == nil {
		return "invalid input"
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *InvalidError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Error gives an error its class. Err may be nil.
type Error struct {
	Class Class
	// After is how long the other side asked us to wait; zero means it did not.
	After time.Duration
	// Guessed means that the class was read from Err, as package mq does for a
	// platform's functions, and that worker.Config.Classify may know better.
	Guessed bool
	Err     error
}

// Error is the class, then the cause.
func (e *Error) Error() string {
	class := e.class()
	if e == nil || e.Err == nil {
		return string(class)
	}
	return string(class) + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// class is ClassInternal for a nil pointer and for an Error that names no class.
func (e *Error) class() Class {
	if e == nil || e.Class == "" {
		return ClassInternal
	}
	return e.Class
}

// NewError gives err a class. A nil err is allowed.
func NewError(class Class, err error) error { return &Error{Class: class, Err: err} }

// ClassOf finds the class of err. An error without one is ClassTimeout when its
// deadline passed, else ClassInternal. ClassOf(nil) is empty.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.class()
	case errors.Is(err, context.DeadlineExceeded):
		return ClassTimeout
	}
	return ClassInternal
}

// IsPermanent reports whether another attempt would end the same way.
func IsPermanent(err error) bool { return ClassOf(err).Permanent() }

// RetryAfter is how long the other side asked us to wait before trying again,
// or zero.
func RetryAfter(err error) time.Duration {
	// A handler that gives the error a class of its own leaves the wait inside.
	for e := (*Error)(nil); errors.As(err, &e) && e != nil; err = e.Err {
		if e.After > 0 {
			return e.After
		}
	}
	return 0
}

type skipError struct{ reason string }

func (e *skipError) Error() string { return "skipped: " + e.reason }

// Skip is what a handler returns when there is nothing to do and that is no
// failure. The reason is a word or two and is shown to people; an empty one is
// "nothing to do".
func Skip(reason string) error {
	if reason == "" {
		reason = "nothing to do"
	}
	return &skipError{reason}
}

// SkipReason gives the reason when err is one of Skip's.
func SkipReason(err error) (string, bool) {
	var e *skipError
	if errors.As(err, &e) {
		return e.reason, true
	}
	return "", false
}

type holdError struct {
	hold Hold
	wait time.Duration
}

func (e *holdError) Error() string {
	if e.hold == HoldNone {
		return "tasks.WaitFor was given no reason to wait for"
	}
	return "held: " + string(e.hold)
}

// WaitFor is what a handler returns when the job cannot go on until something
// else has happened. The job leaves its slot, costs no attempt, and comes back
// when the hold is released or after wait. An empty hold is a failure instead.
func WaitFor(hold Hold, wait time.Duration) error { return &holdError{hold, wait} }

// HoldOf gives the hold when err is one of WaitFor's.
func HoldOf(err error) (Hold, time.Duration, bool) {
	var e *holdError
	if errors.As(err, &e) {
		return e.hold, e.wait, true
	}
	return "", 0, false
}
