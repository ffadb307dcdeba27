package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"evalq/tasks"
)

// MaxResult is the largest result of a job, and the largest outcome of a step, in
// bytes. It is below what each database takes as it comes.
const MaxResult = 8 << 20

// Handler does one attempt of a job and returns its result, a JSON value of at
// most MaxResult. It must stop when ctx ends: a handler that does not keeps its slot until it
// returns. It fails with an error; tasks.NewError gives that error a class,
// tasks.Skip ends the job without a result, tasks.WaitFor puts it on hold. It
// may be called again for a job that it has worked on before.
type Handler func(ctx context.Context, job tasks.Job) (json.RawMessage, error)

// Ledger is what a worker needs of the ledger. Every method that changes
// something returns after the commit.
type Ledger interface {
	// ID names the ledger; tasks of another one are not begun.
	ID() string
	Accept(ctx context.Context, r tasks.Request, who string) (job tasks.Job, created bool, err error)
	Begin(ctx context.Context, d tasks.Delivery) (tasks.Claim, error)
	Complete(ctx context.Context, f tasks.Fence, fin tasks.Finish) error
	Fail(ctx context.Context, f tasks.Fence, t tasks.Trouble) (tasks.Verdict, error)
	Progress(ctx context.Context, f tasks.Fence, p tasks.Progress) error
	Stuck(ctx context.Context, f tasks.Fence, stack string) error
	ClaimStep(ctx context.Context, f tasks.Fence, scope, name string) (tasks.Checkpoint, error)
	SaveStep(ctx context.Context, f tasks.Fence, scope, name string, value json.RawMessage) error
	DropStep(ctx context.Context, f tasks.Fence, scope, name string) error
	ForgetStep(ctx context.Context, f tasks.Fence, scope, name string) error
	ForgetSteps(ctx context.Context, f tasks.Fence, scope string) error
	// Quarantine keeps what cannot be read, with its bytes.
	Quarantine(ctx context.Context, q tasks.Quarantined, body []byte) error
	Join(ctx context.Context, w tasks.Worker) error
	Beat(ctx context.Context, worker string, draining bool) error
	Leave(ctx context.Context, worker string) error
	// AskedToStop names the attempts of a worker that were cancelled, and those of
	// the ones it knows that are not on record as running: the ledger has given
	// them to others.
	AskedToStop(ctx context.Context, worker string, known []tasks.Fence) (cancelled, stale []tasks.Fence, err error)
	HandBackStrays(ctx context.Context, worker string, known []tasks.Fence, age time.Duration) (int, error)
}

// Config tunes a Server. Handlers is required.
type Config struct {
	// Handlers serve the kinds, which the worker announces in the ledger. A job of
	// another kind is left to the workers that have a handler for it, at no cost;
	// while none has, the job is held. Required.
	Handlers map[tasks.Kind]Handler
	// Classify gives a class to a handler's error that carries none, or one that was
	// only guessed, see tasks.Error; an empty answer leaves it to tasks.ClassOf.
	// Defaults to tasks.ClassOf alone.
	Classify func(error) tasks.Class
	// Namespace is that of the relay. Defaults to none.
	Namespace tasks.Namespace
	// Slots is how many jobs run at once. Defaults to 10.
	Slots int
	// StrictPriority takes from a queue only when the more urgent ones are
	// empty. Defaults to false: 6 : 3 : 1.
	StrictPriority bool
	// PollInterval is about how often an idle worker looks for work. Shorter
	// finds it sooner and costs more. Defaults to 20 ms.
	PollInterval time.Duration
	// DrainTimeout is how long running jobs may go on after Run's context has
	// ended; then they are handed back uncharged. Defaults to 10 minutes.
	DrainTimeout time.Duration
	// BeatInterval is how often the worker shows the ledger that it lives. Where
	// processes share a ledger, 8 s without a beat are a death. Defaults to 1 s.
	BeatInterval time.Duration
	// StuckAfter is how long a handler may ignore the end of its context before
	// it counts as stuck. Defaults to 60 s.
	StuckAfter time.Duration
	// Build is the program's version. Defaults to "dev".
	Build string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c *Config) withDefaults() (Config, error) {
	if c == nil || len(c.Handlers) == 0 {
		return Config{}, fmt.Errorf("worker: Handlers: give at least one kind a handler")
	}
	out := *c
	out.Handlers = make(map[tasks.Kind]Handler, len(c.Handlers))
	for k, h := range c.Handlers {
		if err := k.Validate(); err != nil {
			return Config{}, fmt.Errorf("worker: Handlers: %w", err)
		}
		if h == nil {
			return Config{}, fmt.Errorf("worker: Handlers[%q]: is nil", k)
		}
		out.Handlers[k] = h
	}
	if out.Slots == 0 {
		out.Slots = 10
	}
	if out.Slots < 0 || out.Slots > 10_000 {
		return Config{}, fmt.Errorf("worker: Slots: %d is not between 1 and 10000", out.Slots)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"PollInterval", &out.PollInterval, 20 * time.Millisecond},
		{"DrainTimeout", &out.DrainTimeout, 10 * time.Minute},
		{"StuckAfter", &out.StuckAfter, 60 * time.Second},
		{"BeatInterval", &out.BeatInterval, time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < 0 {
			return Config{}, fmt.Errorf("worker: %s: %s is below zero", d.name, *d.value)
		}
	}
	if out.Build == "" {
		out.Build = "dev"
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return out, nil
}
