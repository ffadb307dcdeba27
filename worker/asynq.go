package worker

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// defaultDelay is for errors that are not a handler's: a lost lease, a ledger
// that cannot be reached.
const defaultDelay = 5 * time.Second

// asynqConfig sets Asynq up as a carrier. A panic in any of its hooks would end
// the process, so each is guarded.
func (s *Server) asynqConfig() asynq.Config {
	queues := map[string]int{}
	for _, p := range tasks.Priorities() {
		queues[s.cfg.Namespace.Queue(p)] = p.Weight()
	}
	return asynq.Config{
		Concurrency:              s.cfg.Slots,
		Queues:                   queues,
		StrictPriority:           s.cfg.StrictPriority,
		TaskCheckInterval:        s.cfg.PollInterval,
		DelayedTaskCheckInterval: time.Second,
		ShutdownTimeout:          time.Second, // ours has run by then
		LogLevel:                 asynq.InfoLevel,
		Logger:                   redisconn.AsynqLog(s.cfg.Logger),
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) (d time.Duration) {
			defer s.guard("RetryDelayFunc", func() { d = defaultDelay })
			var a *again
			if errors.As(err, &a) {
				return a.delay
			}
			return defaultDelay
		},
		// A lost lease has to raise Asynq's count: that is how the ledger tells
		// Asynq's own redelivery from an operator's run.
		IsFailure: func(err error) (failed bool) {
			defer s.guard("IsFailure", func() { failed = true })
			var a *again
			if errors.As(err, &a) {
				return a.charged
			}
			return true
		},
		ErrorHandler: asynq.ErrorHandlerFunc(func(_ context.Context, _ *asynq.Task, err error) {
			defer s.guard("ErrorHandler", func() {})
			if errors.Is(err, asynq.ErrLeaseExpired) {
				s.cfg.Logger.Warn("a lease was lost; the ledger keeps the job from running twice", "worker", s.id)
			}
		}),
	}
}

func (s *Server) guard(hook string, fallback func()) {
	if p := recover(); p != nil {
		s.cfg.Logger.Error("a hook panicked", "hook", hook, "stack", string(debug.Stack()))
		fallback()
	}
}
