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
	save, err := f.rows(ctx, job)
	if err != nil {
		return err
	}
	return save(ctx)
}

// rows makes the platform's row of a stored result, and gives what writes it. An error
// says why it cannot be written. It writes nothing itself.
func (f *filler) rows(ctx context.Context, job tasks.Job) (save func(context.Context) error, err error) {
	if job.Kind == tasks.KindEvaluationReport {
		var r evaluation.Report
		if err := json.Unmarshal(job.Result, &r); err != nil || r.Schema != evaluation.ReportSchema {
			return nil, errForeign
		}
		shape := evaluation.OriginalReport(&r)
		if len(shape.Dimensions) == 0 {
			return nil, errHollow
		}
		return func(ctx context.Context) error {
			return f.mirror.platform.SaveReport(ctx, job.UserID, job.ReportID, shape)
		}, nil
	}
	var e evaluation.TopicEvaluation
	if err := json.Unmarshal(job.Result, &e); err != nil || e.Schema != evaluation.TopicSchema {
		return nil, errForeign
	}
	in, err := f.mirror.read(ctx, job.UserID, job.ReportID)
	if err != nil {
		return nil, err
	}
	shape := evaluation.OriginalAnswerReport(&e, in)
	if len(shape.Records) == 0 {
		return nil, errHollow
	}
	return func(ctx context.Context) error {
		return f.mirror.platform.SaveAnswers(ctx, job.UserID, job.ReportID, shape)
	}, nil
}

// howToFill decides on a job that has succeeded and of which the platform can show
// nothing. It reads the job's result into n.
func (f *filler) howToFill(ctx context.Context, n *need) (fate, error) {
	job, err := f.ledger.Find(ctx, n.kind, n.lack.UserID, n.lack.ReportID)
	if err != nil {
		return met, err
	}
	if job.State != tasks.Succeeded { // since we looked
		return met, nil
	}
	n.job = job
	if _, err = f.rows(ctx, job); away(err) {
		return met, err
	} else if !errors.Is(err, errForeign) {
		return toRewrite, nil // or cannot be written, which is counted then
	}
	row, err := f.mirror.row(ctx, job)
	if err != nil {
		return met, err
	}
	if row == rowMissing && !hollow(job.Result) {
		return toRewrite, nil // what the function returned is all there is of it
	}
	n.renew = true
	return toRenew, nil
}

// renew evaluates jobs anew, each in its queue.
func (f *filler) renew(ctx context.Context, needs []need, who string, t *tally) error {
	for _, n := range needs {
		job, err := f.ledger.RetryWith(ctx, n.job.ID, tasks.RetryOptions{NewRevision: true}, who, "the platform can show nothing of it")
		switch {
		case errors.Is(err, tasks.ErrConflict): // it is under way by now
			t.kinds[n.kind].Underway++
		case err != nil:
			return err
		default:
			t.kinds[job.Kind].Submitted++
		}
	}
	return nil
}

var errHollow = errors.New("app: the stored result has nothing in it that the platform could show")

var errForeign = errors.New("app: the result is that of a handler of the platform's own, which evalq cannot turn into a row")
