package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"evalq/tasks"
)

var errNilContext = &tasks.InvalidError{Err: errors.New("the context is nil")}

// errReturned answers a call that is made with the context of an attempt whose
// handler has returned.
var errReturned = fmt.Errorf("the handler has returned: %w", tasks.ErrStale)

// attemptOf gives the attempt at work in ctx, or nil outside a worker.
func attemptOf(ctx context.Context) *attempt {
	if ctx == nil {
		return nil
	}
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// checkStep refuses what no step can be made of.
func checkStep(ctx context.Context, key string, fn Step) error {
	err := checkKey(ctx, key)
	if err == nil && fn == nil {
		err = &tasks.InvalidError{Err: errors.New("the function is nil")}
	}
	if err != nil {
		return fmt.Errorf("worker: checkpoint: %w", err)
	}
	return nil
}

// checkKey refuses what names no step.
func checkKey(ctx context.Context, key string) error {
	switch {
	case ctx == nil:
		return errNilContext
	case key == "" || len(key) > 500:
		return &tasks.InvalidError{Err: fmt.Errorf("the key has %d bytes: use 1 to 500", len(key))}
	}
	return nil
}

// checkProgress refuses counts that contradict each other, and those that are
// larger than a column of the ledger.
func checkProgress(p tasks.Progress) error {
	var err error
	switch {
	case p.Done < 0 || p.Kept < 0 || p.Total < 0:
		err = fmt.Errorf("done %d, kept %d, total %d: none may be below 0", p.Done, p.Kept, p.Total)
	case p.Total > math.MaxInt32:
		err = fmt.Errorf("total %d is above %d", p.Total, math.MaxInt32)
	case p.Done > p.Total:
		err = fmt.Errorf("done %d is above total %d", p.Done, p.Total)
	case p.Kept > p.Done:
		err = fmt.Errorf("kept %d is above done %d", p.Kept, p.Done)
	default:
		return nil
	}
	return fmt.Errorf("worker: progress: %w", &tasks.InvalidError{Err: err})
}

// stepName names a step across all jobs.
type stepName struct{ scope, key string }

// inside is the context key of the steps that a function runs in.
type inside struct{}

// steps are those of one attempt that are being paid for. The ledger grants one
// attempt the same step as often as it asks, since an answer may be lost, so the
// attempt itself lets one goroutine at a time work on a step.
type steps struct {
	mu   sync.Mutex
	busy map[stepName]chan struct{}
}

// enter waits until no other goroutine of the attempt works on the step. The
// function that is returned lets the next one in.
func (s *steps) enter(ctx context.Context, name stepName) (in context.Context, leave func(), err error) {
	around, _ := ctx.Value(inside{}).([]stepName)
	if slices.Contains(around, name) {
		return nil, nil, fmt.Errorf("worker: checkpoint: %w", &tasks.InvalidError{Err: errors.New("the function calls the step that it runs in: use another key")})
	}
	for {
		s.mu.Lock()
		other := s.busy[name]
		if other == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("worker: checkpoint: wait for the same step: %w", context.Cause(ctx))
		}
	}
	mine := make(chan struct{})
	if s.busy == nil {
		s.busy = map[stepName]chan struct{}{}
	}
	s.busy[name] = mine
	s.mu.Unlock()
	leave = func() {
		s.mu.Lock()
		delete(s.busy, name)
		s.mu.Unlock()
		close(mine)
	}
	return context.WithValue(ctx, inside{}, append(slices.Clone(around), name)), leave, nil
}
