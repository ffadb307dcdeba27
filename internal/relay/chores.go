package relay

import (
	"context"

	"evalq/tasks"
)

// chores sets Redis right for finished jobs. A dead job without a task is
// delivered once more: the worker is told that it is buried and lets Asynq
// archive it, so that it shows where operators look.
func (r *Relay) chores(ctx context.Context) error {
	jobs, err := r.ledger.Chores(ctx, page)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		switch j.State {
		case tasks.Dead:
			err = r.enqueueDead(ctx, j)
		case tasks.Cancelled:
			err = r.removeCancelled(ctx, j)
		}
		if err != nil {
			return err
		}
		if err := r.ledger.ChoreDone(ctx, j.ID, j.Delivery); err != nil {
			return err
		}
	}
	return nil
}

// removeCancelled also removes the tasks of the deliveries before: that of a dead
// job, revived and cancelled before it was handed out again, is archived, and that
// of a job that was brought forward waits in another queue.
func (r *Relay) removeCancelled(ctx context.Context, j tasks.Job) error {
	if err := r.remove(ctx, j.Priority, j.TaskID()); err != nil {
		return err
	}
	return r.removeOld(ctx, j)
}

// enqueueDead differs from enqueue in two things: a task that is archived
// already is what we want, and one that was acknowledged, when the job was
// held, is in the way. So is what has no state: a result without a task.
func (r *Relay) enqueueDead(ctx context.Context, j tasks.Job) error {
	states, err := r.taskStates(ctx, []tasks.Job{j})
	switch {
	case err != nil:
		return err
	case states[0] == "completed", states[0] == "":
		if err := r.remove(ctx, j.Priority, j.TaskID()); err != nil {
			return err
		}
	case states[0] != "":
		return nil
	}
	return r.enqueue(ctx, j)
}
