package ledger

import (
	"context"
	"fmt"
	"time"

	"evalq/tasks"
)

// RetryWith is Retry with options. With NewRevision it acts on the newest revision
// of the job, whichever is named, and answers it:
//
//   - succeeded or skipped: the next revision is accepted, with the same data and
//     priority and without any kept step;
//   - dead or cancelled: it runs again without its kept steps;
//   - unfinished, and begun in this way: it is answered as it is, so that asking
//     twice starts one revision;
//   - else unfinished: tasks.ErrConflict.
func (l *Ledger) RetryWith(ctx context.Context, id string, how tasks.RetryOptions, who, why string) (tasks.Job, error) {
	if !how.NewRevision {
		return l.act(ctx, "retry", id, func(t *txn, j *job) error { return l.retry(t, j, how.DropSteps, who, why) })
	}
	var out tasks.Job
	err := l.w.do(ctx, func(t *txn) error {
		named, err := t.byID(id) // locked, so that two who name the same job come one after the other
		if err != nil {
			return err
		}
		j, err := l.evaluateAnew(t, named, who, why)
		if err != nil {
			return err
		}
		out = j.Job
		return nil
	})
	if err != nil {
		return tasks.Job{}, fmt.Errorf("ledger: evaluate %.40s anew: %w", id, err)
	}
	return out, nil
}

func (l *Ledger) evaluateAnew(t *txn, named *job, who, why string) (*job, error) {
	j, err := t.find(`kind = ? AND user_id = ? AND report_id = ? ORDER BY revision DESC LIMIT 1`, named.Kind, named.UserID, named.ReportID)
	if err != nil {
		return nil, err
	}
	if j == nil { // the snapshot of the transaction is older than the lock
		j = named
	}
	switch {
	case j.State == tasks.Succeeded || j.State == tasks.Skipped:
		next := l.newJob(tasks.Request{Payload: j.Payload(), Priority: j.Priority}, j.Revision+1)
		next.StepsSince = next.AcceptedAt
		return next, l.insertJob(t, next, who, reason("evaluated anew", why))
	case j.State.Finished():
		return j, l.retry(t, j, true, who, why)
	case j.StepsSince.IsZero():
		return nil, refuse(fmt.Errorf("%w: revision %d is %s, and only a finished job is evaluated anew: wait for its end or cancel it", tasks.ErrConflict, j.Revision, j.State))
	}
	return j, nil
}

// dropSteps has j use no step any more that is kept by now.
func (l *Ledger) dropSteps(j *job) { j.StepsSince, j.stepsAfter = l.now(), j.Attempt }

// clocksApart is how far the clocks of two processes of a ledger may differ: each
// has the database's time, to within a round trip.
const clocksApart = 2 * time.Second

// mayUse reports whether j may use a step that was begun then, by that attempt of
// owner.
func (l *Ledger) mayUse(j *job, owner string, attempt int, begun time.Time) bool {
	switch {
	case j.StepsSince.IsZero():
		return true
	case owner == j.ID:
		return attempt > j.stepsAfter
	case l.dialect.OneOwner:
		return begun.After(j.StepsSince)
	}
	return begun.After(j.StepsSince.Add(clocksApart))
}
