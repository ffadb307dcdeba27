package app

import (
	"context"
	"encoding/json"
	"maps"

	"evalq/internal/evaluation"
	"evalq/tasks"
	"evalq/worker"
)

// own prepares the handlers that a program brings. With a platform's database those
// of the built-in kinds are called only for an interview in which something was
// answered.
func own(m *mirror, handlers map[tasks.Kind]worker.Handler) map[tasks.Kind]worker.Handler {
	out := maps.Clone(handlers)
	for kind, h := range handlers {
		if m != nil && h != nil && kind.Builtin() {
			out[kind] = m.own(h)
		}
	}
	return out
}

func (m *mirror) own(h worker.Handler) worker.Handler {
	return func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		ctx = withWork(ctx, job)
		if err := m.answered(ctx, job); err != nil {
			return nil, err
		}
		return h(ctx, job)
	}
}

// answered is nil when the interview of the job has an answer. It puts on record
// which content the attempt evaluates.
func (m *mirror) answered(ctx context.Context, job tasks.Job) error {
	in, err := m.Interview(ctx, job.UserID, job.ReportID)
	answered := in.Answered()
	if tasks.ClassOf(err) == tasks.ClassContextTooLong {
		// The bounds are those of evalq's own judge. The handler has its own.
		answered, err = m.platform.Answered(ctx, job.UserID, job.ReportID)
	}
	if err == nil && !answered {
		return tasks.Skip(evaluation.SkippedEmpty)
	}
	return err
}
