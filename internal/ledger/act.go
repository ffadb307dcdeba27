package ledger

import (
	"context"
	"fmt"
	"slices"

	"evalq/tasks"
)

// act runs one change of one job and answers the job as it is afterwards.
func (l *Ledger) act(ctx context.Context, doing, id string, change func(*txn, *job) error) (tasks.Job, error) {
	var out tasks.Job
	err := l.w.do(ctx, func(t *txn) error {
		j, err := t.byID(id)
		if err != nil {
			return err
		}
		if err := change(t, j); err != nil {
			return err
		}
		out = j.Job
		return nil
	})
	if err != nil {
		return tasks.Job{}, fmt.Errorf("ledger: %s %.40s: %w", doing, id, err)
	}
	return out, nil
}

// Retry gives a job a fresh budget and delivers it now under a new delivery. It
// serves dead, cancelled, retrying, held and queued jobs; for an accepted one
// it takes away the waiting time. A running, succeeded or skipped job is
// refused with tasks.ErrConflict.
func (l *Ledger) Retry(ctx context.Context, id, who, why string) (tasks.Job, error) {
	return l.act(ctx, "retry", id, func(t *txn, j *job) error { return l.retry(t, j, false, who, why) })
}

// retry runs a job again that neither runs nor has succeeded.
func (l *Ledger) retry(t *txn, j *job, dropSteps bool, who, why string) error {
	switch j.State {
	case tasks.Running, tasks.Succeeded, tasks.Skipped:
		return refuse(conflict("retry", j.State))
	}
	waiting := j.State == tasks.Accepted
	l.freshRun(j)
	what := "run by hand"
	if dropSteps {
		what = "run by hand without its kept steps"
		l.dropSteps(j)
	}
	var err error
	switch {
	case !waiting:
		err = l.deliverAgain(t, j, who, reason(what, why))
	case dropSteps:
		err = l.event(t, j.ID, j.State, j.State, who, reason(what, why))
	}
	if err != nil {
		return err
	}
	t.after = append(t.after, l.notices.wake)
	return l.save(t, j)
}

// Cancel stops a job for good. One that waits is cancelled at once; a running
// one is asked to stop and ends as cancelled, whatever its handler returns. A
// cancelled job is answered as it is; other finished ones are refused with
// tasks.ErrConflict.
func (l *Ledger) Cancel(ctx context.Context, id, who, why string) (tasks.Job, error) {
	return l.act(ctx, "cancel", id, func(t *txn, j *job) error { return l.cancel(t, j, who, why) })
}

func (l *Ledger) cancel(t *txn, j *job, who, why string) error {
	switch j.State {
	case tasks.Cancelled:
		return nil
	case tasks.Succeeded, tasks.Skipped, tasks.Dead:
		return refuse(conflict("cancel", j.State))
	case tasks.Running:
		if j.CancelAsk {
			return nil
		}
		j.CancelAsk = true
		if err := l.event(t, j.ID, tasks.Running, tasks.Running, who, reason("asked to stop", why)); err != nil {
			return err
		}
		t.after = append(t.after, l.notices.wake)
		return l.save(t, j)
	}
	// A revived job's task of the delivery before may be archived still.
	j.chore = j.State == tasks.Queued || j.State == tasks.Retrying || j.Delivery > 1
	if err := l.move(t, j, tasks.Cancelled, who, why); err != nil {
		return err
	}
	return l.save(t, j)
}

// Archive gives a waiting job up: it is dead with the class
// stopped_by_operator and can be revived like any dead job. A dead job is
// answered as it is; running and otherwise finished ones are refused with
// tasks.ErrConflict.
func (l *Ledger) Archive(ctx context.Context, id, who, why string) (tasks.Job, error) {
	return l.act(ctx, "archive", id, func(t *txn, j *job) error { return l.archive(t, j, who, why) })
}

func (l *Ledger) archive(t *txn, j *job, who, why string) error {
	switch j.State {
	case tasks.Dead:
		return nil
	case tasks.Running, tasks.Succeeded, tasks.Skipped, tasks.Cancelled:
		return refuse(conflict("archive", j.State))
	}
	inRedis := j.State == tasks.Queued || j.State == tasks.Retrying
	j.Error = &tasks.Failure{Class: tasks.ClassOperator, Message: reason("archived by "+who, why)}
	if err := l.die(t, j, who, reason("archived", why), -1); err != nil {
		return err
	}
	if inRedis {
		// The caller archives the task that exists. If it should run first,
		// its arrival buries it.
		j.chore = false
		return l.save(t, j)
	}
	return nil
}

// RetryDelivery, CancelDelivery and ArchiveDelivery do what Retry, Cancel and
// Archive do, if delivery is the job's newest and the job is in one of the
// states. Otherwise they answer tasks.ErrConflict and change nothing: the caller
// has looked at a task of another time.
func (l *Ledger) RetryDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error) {
	return l.act(ctx, "retry", id, func(t *txn, j *job) error {
		return j.during("retry", delivery, states, func() error { return l.retry(t, j, false, who, why) })
	})
}

// CancelDelivery is described at RetryDelivery.
func (l *Ledger) CancelDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error) {
	return l.act(ctx, "cancel", id, func(t *txn, j *job) error {
		return j.during("cancel", delivery, states, func() error { return l.cancel(t, j, who, why) })
	})
}

// ArchiveDelivery is described at RetryDelivery.
func (l *Ledger) ArchiveDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error) {
	return l.act(ctx, "archive", id, func(t *txn, j *job) error {
		return j.during("archive", delivery, states, func() error { return l.archive(t, j, who, why) })
	})
}

func (j *job) during(doing string, delivery int, states []tasks.State, do func() error) error {
	if j.Delivery != delivery {
		return refuse(fmt.Errorf("%s: %w: it has been handed over again since", doing, tasks.ErrConflict))
	}
	if !slices.Contains(states, j.State) {
		return refuse(conflict(doing, j.State))
	}
	return do()
}

func reason(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}
