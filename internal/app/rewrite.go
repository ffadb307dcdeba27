package app

import (
	"context"
	"encoding/json"
	"errors"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// away reports whether all others would fail in the same way.
func away(err error) bool {
	return err != nil && (tasks.ClassOf(err) == tasks.ClassStorage || errors.Is(err, tasks.ErrUnavailable) || errors.Is(err, tasks.ErrOutcomeUnknown) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

// rewrite writes stored results into the platform's tables again. What cannot be
// written does not keep the others back.
func (f *filler) rewrite(ctx context.Context, needs []need, t *tally) error {
	for _, n := range needs {
		err := f.writeAgain(ctx, n)
		if away(err) {
			return err
		}
		if err != nil {
			f.log.WarnContext(ctx, "a stored result cannot be written into the platform's tables", "job", n.job.Ref(), "err", err)
			t.kinds[n.kind].Failed++
			continue
		}
		t.kinds[n.kind].Rewritten++
	}
	return nil
}

// newResults is how often a newer result may come while one is written.
const newResults = 3

// writeAgain calls no judge: the result is there. A newer one that was stored
// meanwhile is written over it.
func (f *filler) writeAgain(ctx context.Context, n need) error {
	written := ""
	for range newResults {
		job, err := f.ledger.Find(ctx, n.kind, n.lack.UserID, n.lack.ReportID)
		if err != nil {
			return err
		}
		if job.ID == written || job.State != tasks.Succeeded { // who evaluates it now writes it too
			return nil
		}
		if err := f.write(ctx, job); err != nil {
			return err
		}
		written = job.ID
	}
	return nil
}

func (f *filler) write(ctx context.Context, job tasks.Job) error {
	if job.Kind == tasks.KindEvaluationReport {
		var r evaluation.Report
		if err := json.Unmarshal(job.Result, &r); err != nil || r.Schema != evaluation.ReportSchema {
			return errForeign
		}
		return f.mirror.platform.SaveReport(ctx, job.UserID, job.ReportID, evaluation.OriginalReport(&r))
	}
	var e evaluation.TopicEvaluation
	if err := json.Unmarshal(job.Result, &e); err != nil || e.Schema != evaluation.TopicSchema {
		return errForeign
	}
	in, err := f.mirror.Interview(ctx, job.UserID, job.ReportID)
	if err != nil {
		return err
	}
	return f.mirror.platform.SaveAnswers(ctx, job.UserID, job.ReportID, evaluation.OriginalAnswerReport(&e, in))
}

var errForeign = errors.New("app: the result is that of a handler of the platform's own, which evalq cannot turn into a row")
