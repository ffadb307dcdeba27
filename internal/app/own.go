package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"evalq/internal/evaluation"
	"evalq/internal/platform"
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
		result, err := h(ctx, job)
		if err != nil {
			return result, err
		}
		return result, m.shown(ctx, job, result)
	}
}

// shown is nil when the platform can show what a handler of its own has made: the row
// that it reads has something in it, or there is none and the handler returned what it
// made. A function that saves an empty row, or none, and returns without an error has
// evaluated nothing. The job's own steps go then, since the next attempt would be given
// the same useless answer.
func (m *mirror) shown(ctx context.Context, job tasks.Job, result json.RawMessage) error {
	row, err := m.row(ctx, job)
	if err != nil {
		return err
	}
	switch {
	case row == rowFilled, row == rowMissing && !hollow(result):
		return nil
	}
	if err := worker.ForgetSteps(ctx); err != nil {
		return err
	}
	return tasks.NewError(tasks.ClassInvalidOutput, fmt.Errorf("app: the function returned without an error, and the platform can show nothing: its row in %s is %s", m.table(job.Kind), row))
}

// A row as the platform shows it.
type rowState string

const (
	rowFilled  rowState = "filled"
	rowEmpty   rowState = "empty"
	rowMissing rowState = "missing"
)

// row looks at the row that the platform reads for a job.
func (m *mirror) row(ctx context.Context, job tasks.Job) (rowState, error) {
	items := json.RawMessage(nil)
	var err error
	if job.Kind == tasks.KindEvaluationReport {
		var r platform.Report
		r, err = m.platform.Report(ctx, job.UserID, job.ReportID)
		items = r.Dimensions
	} else {
		var a platform.Answers
		a, err = m.platform.Answers(ctx, job.UserID, job.ReportID)
		items = a.Records
	}
	switch {
	case errors.Is(err, tasks.ErrNotFound):
		return rowMissing, nil
	case err != nil:
		return "", err
	case hollow(items):
		return rowEmpty, nil
	}
	return rowFilled, nil
}

// table names the table of a kind's results.
func (m *mirror) table(k tasks.Kind) string {
	if k == tasks.KindEvaluationReport {
		return "interview_evaluation"
	}
	return "answer_report"
}

// hollow reports whether a JSON value says nothing: null, or empty of its kind.
func hollow(value json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(value), nil)) {
	case "", "null", "[]", "{}", `""`:
		return true
	}
	return false
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
