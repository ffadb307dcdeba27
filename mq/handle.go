package mq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"evalq/tasks"
)

// Limits of a queue that the original signatures leave no room for; Config has
// them as fields.
const (
	defaultBuffer      = 100
	defaultConcurrency = 10
	defaultAttempts    = 5
	defaultPause       = time.Second
	defaultTimeout     = 10 * time.Minute
	defaultDrain       = 20 * time.Second
)

const (
	// publishTimeout bounds a Publish, whatever its caller's context says.
	publishTimeout = 10 * time.Second
	// returnGrace is how long a handler may take to notice the end of its context.
	returnGrace = 5 * time.Second
	// longestPause bounds the pause between two tries.
	longestPause = 5 * time.Minute
	// transientFor bounds how long errors of others are put up with, from the first.
	transientFor = 24 * time.Hour
	// stuckAfter is when a handler that ignores the end of its context is told of.
	stuckAfter = time.Minute
)

// rules are a queue's limits.
type rules struct {
	concurrency int
	attempts    int
	pause       time.Duration
	timeout     time.Duration
	drain       time.Duration
	log         *slog.Logger
}

func defaultRules() rules {
	return rules{
		concurrency: defaultConcurrency, attempts: defaultAttempts, pause: defaultPause,
		timeout: defaultTimeout, drain: defaultDrain, log: slog.Default(),
	}
}

// Causes of the end of a handler's context.
var (
	errHandBack  = errors.New("the subscription has ended")
	errCancelled = errors.New("an operator has cancelled it; run it to have it handled again")
)

// fate is what becomes of a message.
type fate int

const (
	done   fate = iota
	later       // another try after a pause
	back        // handed back: another try by somebody else, at no cost
	buried      // set aside
)

// verdict is how a try ended.
type verdict struct {
	fate    fate
	charged bool // it counts as a failure
	pause   time.Duration
	err     error
}

// judge decides what an error means for a message that has failed so many times
// before and met its first transient error at since, if it has. It calls methods of
// the error, which are not ours, so they are guarded.
func (r rules) judge(ctx context.Context, err error, failures int, since time.Time) (v verdict) {
	if err == nil {
		return verdict{fate: done}
	}
	defer func() {
		if p := recover(); p != nil {
			v = r.charge(errors.New("the handler's error panicked when it was looked at"), failures, 0)
		}
	}()
	switch context.Cause(ctx) {
	case errHandBack:
		return verdict{fate: back, err: errHandBack}
	case errCancelled:
		return verdict{fate: buried, err: errCancelled}
	}
	text := &failure{text: clip(err.Error()), err: err}
	class, wait := tasks.ClassOf(err), tasks.RetryAfter(err)
	switch {
	case class.Permanent():
		return verdict{fate: buried, charged: true, err: text}
	case class.Transient() && (since.IsZero() || time.Since(since) < transientFor):
		return verdict{fate: later, pause: max(wait, r.pauseAfter(failures), sinceFirst(since)), err: text}
	}
	return r.charge(text, failures, wait)
}

func (r rules) charge(err error, failures int, wait time.Duration) verdict {
	if failures+1 >= r.attempts {
		return verdict{fate: buried, charged: true, err: err}
	}
	return verdict{fate: later, charged: true, pause: max(wait, r.pauseAfter(failures)), err: err}
}

// pauseAfter grows by four with each failure, and varies by a fifth, so that what
// failed together does not come back together.
func (r rules) pauseAfter(failures int) time.Duration {
	pause := r.pause
	for range failures {
		if pause *= 4; pause >= longestPause {
			pause = longestPause
			break
		}
	}
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}

// sinceFirst grows with the time for which a message has met transient errors, which
// are not counted, so that an outage of hours is not met with a try a second.
func sinceFirst(since time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	pause := max(0, min(time.Since(since)/2, longestPause))
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}

// failure is a handler's error whose text was taken while that was guarded.
type failure struct {
	text string
	err  error
}

// clip makes a text fit to be stored in Asynq's message, which takes UTF-8 and
// nothing else, and goes over the network at each move.
func clip(text string) string {
	const most = 2000
	return strings.ToValidUTF8(text[:min(len(text), most)], "\uFFFD")
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// classOf is for logs, in which a handler's own words have no place: they may
// quote an answer.
func classOf(err error) (c tasks.Class) {
	defer func() {
		if recover() != nil {
			c = tasks.ClassInternal
		}
	}()
	return tasks.ClassOf(err)
}

// call runs the handler under its time limit and comes back when it has returned,
// however: a panic and the end of its goroutine are errors.
func (r rules) call(ctx context.Context, handler MessageHandler, m *Message) (err error) {
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	slow := time.AfterFunc(r.timeout+stuckAfter, func() {
		r.log.Error("a handler ignores its time limit and keeps its slot", "type", m.Type, "limit", r.timeout)
	})
	defer slow.Stop()
	var wg sync.WaitGroup
	err = tasks.NewError(tasks.ClassPanic, errors.New("the handler ended its goroutine"))
	kind := m.Type
	wg.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				r.log.Error("a handler panicked", "type", kind, "stack", string(debug.Stack()))
				err = tasks.NewError(tasks.ClassPanic, errors.New("the handler panicked"))
			}
		}()
		err = handler(limited, m)
	})
	wg.Wait()
	return err
}

// crew are the handlers of one subscription that run.
type crew struct {
	ctx    context.Context // of the handlers
	cancel context.CancelCauseFunc
	mu     sync.Mutex
	active int
	closed bool
	idle   chan struct{} // closed when the last one has left a closed crew
}

// newCrew gives handlers the values of ctx, not its end.
func newCrew(ctx context.Context) *crew {
	c := &crew{idle: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return c
}

// enter is false when the crew takes no more work.
func (c *crew) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.active++
	return true
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 && c.closed {
		close(c.idle)
	}
}

// close takes no more work; what runs goes on.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		if c.active == 0 {
			close(c.idle)
		}
	}
}

// end closes the crew and lets it work for a while; then it ends the handlers'
// context. The error counts those who do not heed that.
func (c *crew) end(drain time.Duration) error {
	c.close()
	defer c.cancel(errHandBack)
	if c.wait(drain) {
		return nil
	}
	c.cancel(errHandBack)
	if c.wait(returnGrace) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%d handlers ignore the end of their context and still run", c.active)
}

func (c *crew) wait(limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-c.idle:
		return true
	case <-t.C:
		return false
	}
}
