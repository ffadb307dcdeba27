// Package service runs the parts of a program: started in order, stopped in
// the reverse order, one by one.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Group is an ordered set of long-running members. Later members may depend on
// earlier ones: these are started before and stopped after them. The zero
// value is ready to use.
type Group struct {
	// Logger is told as members start and end, at the level debug. Defaults to
	// slog.Default().
	Logger *slog.Logger

	members []member
}

type member struct {
	name string
	run  func(ctx context.Context) error
}

// PanicError is what a member's panic becomes.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the goroutine that panicked
}

// Error has the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap returns the panic's value if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// errExited is for a member that ended its goroutine by runtime.Goexit.
var errExited = errors.New("ended without returning")

// Add appends a member. Its run blocks until its context ends and everything
// that it started has ended, or until it fails; a member that returns nil
// early has finished, and the others go on. Add is not called during
// [Group.Run].
func (g *Group) Add(name string, run func(ctx context.Context) error) {
	g.members = append(g.members, member{name, run})
}

// running is a member that was started.
type running struct {
	member
	cancel context.CancelFunc
	ended  chan struct{} // closed when run has returned
	err    error         // readable once ended is closed
}

// Run starts the members in the order in which they were added. When ctx ends,
// or a member fails, it stops them in the reverse order: each member's context
// is cancelled only after all later members have returned, and Run waits for
// it as long as it takes. It returns the first error, with the member's name,
// or nil; a member that answers the end of its context with that context's
// error has not failed. Run also returns once all members have finished.
//
// A panic in a member is an error, a [*PanicError]. A panic in a goroutine
// that a member started is not caught.
func (g *Group) Run(ctx context.Context) error {
	log := g.Logger
	if log == nil {
		log = slog.Default()
	}
	failures := make(chan error, len(g.members)) // each member sends at most once
	var started []*running
	for _, m := range g.members {
		if ctx.Err() != nil {
			break
		}
		log.Debug("starting", "name", m.name)
		started = append(started, start(ctx, m, failures))
	}
	first := awaitEnd(ctx, started, failures)
	for i := len(started) - 1; i >= 0; i-- {
		r := started[i]
		r.cancel()
		<-r.ended
		log.Debug("stopped", "name", r.name)
	}
	if first != nil {
		return first
	}
	select { // a member may have failed as it was stopped
	case first = <-failures:
	default:
	}
	return first
}

// start runs m in a goroutine, under a context that ends only by the member's
// own turn to stop.
func start(ctx context.Context, m member, failures chan<- error) *running {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{member: m, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		defer cancel()
		// In a deferred call, because runtime.Goexit runs nothing else.
		defer func() {
			if r.err != nil && !(own.Err() != nil && errors.Is(r.err, context.Canceled)) {
				failures <- fmt.Errorf("service: %s: %w", m.name, r.err)
			}
		}()
		r.err = errExited
		r.err = call(own, m.run)
	}()
	return r
}

func call(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return run(ctx)
}

// awaitEnd blocks until it is time to stop, and returns the failure that is
// the reason, if one is.
func awaitEnd(ctx context.Context, started []*running, failures <-chan error) error {
	for _, r := range started {
		select {
		case <-r.ended:
			continue // it may have failed: seen below
		case err := <-failures:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
