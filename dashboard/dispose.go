package dashboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// gate stands before Asynqmon: it carries out what changes something, asking
// the ledger first.
type gate struct {
	ledger    Ledger
	namespace tasks.Namespace
	redis     redis.UniversalClient
	inspector *asynq.Inspector
	log       *slog.Logger
	audit     func(r *http.Request, action, target, detail string) error
	ending    context.Context // done when Close was called: no further task is begun
}

// over gives the reason not to begin with another task.
func (g *gate) over(ctx context.Context) error { return cmp.Or(ctx.Err(), g.ending.Err()) }

// found is a task that an operator points at.
type found struct {
	queue string
	id    string
	state asynq.TaskState
	ours  bool // job is the ledger's
	// current is set when the task is the job's newest delivery and the job is
	// unfinished: only then may what happens to the task happen to the job.
	current bool
	job     tasks.Job
}

// waiting are the states of a job whose task waits in Asynq. A held job is not
// among them: its worker has acknowledged the task, which Asynq then shows as
// completed.
var waiting = []tasks.State{tasks.Accepted, tasks.Queued, tasks.Retrying}

// lookUp finds a task and its job. A task whose id is not of our form, or whose
// job the ledger does not know, belongs to another program.
func (g *gate) lookUp(ctx context.Context, queue, id string) (found, error) {
	f := found{queue: queue, id: id}
	info, err := g.inspector.GetTaskInfo(queue, id)
	if err != nil {
		return f, err
	}
	f.state = info.State
	jobID, delivery, err := tasks.ParseTaskID(id)
	if err != nil {
		return f, nil
	}
	f.job, err = g.ledger.Get(ctx, jobID)
	if errors.Is(err, tasks.ErrNotFound) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.ours = true
	f.current = delivery == f.job.Delivery && !f.job.State.Finished()
	return f, nil
}

// do carries out c on one task and tells whether it has changed a job. The task
// must be in the state that c speaks of: an operator who clears completed tasks
// means no task that has become pending meanwhile.
func (g *gate) do(ctx context.Context, c call, id, who string) (changed bool, err error) {
	if c.verb == verbCancel {
		return g.cancel(ctx, c.queue, id, who)
	}
	f, err := g.lookUp(ctx, c.queue, id)
	if err != nil {
		return false, err
	}
	if f.state.String() != c.state {
		return false, elsewhere(f.state, c.state)
	}
	switch c.verb {
	case verbRun:
		return g.run(ctx, f, who)
	case verbArchive:
		return g.archive(ctx, f, who)
	case verbDelete:
		return g.remove(ctx, f, who)
	}
	return false, fmt.Errorf("no way to %s a task", c.verb)
}

func elsewhere(is asynq.TaskState, asked string) error {
	if is == asynq.TaskStateActive {
		return fmt.Errorf("%w: the task is active; cancel it instead", tasks.ErrConflict)
	}
	return fmt.Errorf("%w: the task is %s, not %s", tasks.ErrConflict, is, asked)
}

// run starts the job again under a new delivery; the old task goes. A task of an
// older delivery does not touch a job that is unfinished since.
func (g *gate) run(ctx context.Context, f found, who string) (bool, error) {
	if !f.ours {
		return false, g.inspector.RunTask(f.queue, f.id)
	}
	if !f.current && !f.job.State.Finished() {
		return false, fmt.Errorf("%w: its job has a newer task and is %s", tasks.ErrConflict, f.job.State)
	}
	states := append([]tasks.State{tasks.Dead, tasks.Cancelled}, waiting...)
	if _, err := g.ledger.RetryDelivery(ctx, f.job.ID, f.job.Delivery, states, who, "run in Asynqmon"); err != nil {
		return false, err
	}
	// The job is on its way whatever becomes of the old task: a worker that
	// gets an old delivery acknowledges it.
	if err := g.inspector.DeleteTask(f.queue, f.id); err != nil && !gone(err) {
		g.log.LogAttrs(ctx, slog.LevelWarn, "the old task of a job that runs again stays behind",
			slog.String("task_id", f.id), slog.String("queue", f.queue), slog.Any("err", err))
	}
	return true, nil
}

// archive gives the job up if it waits, then shows it among Asynqmon's archived
// tasks. A held job is refused: its task is a copy that Asynq has made.
func (g *gate) archive(ctx context.Context, f found, who string) (changed bool, err error) {
	if f.current {
		if _, err := g.ledger.ArchiveDelivery(ctx, f.job.ID, f.job.Delivery, waiting, who, "archived in Asynqmon"); err != nil {
			return false, err
		}
		changed = true
	}
	err = g.inspector.ArchiveTask(f.queue, f.id)
	if changed && gone(err) {
		err = nil // the relay was quicker to clear the dead job's task away
	}
	return changed, err
}

// cancel asks the ledger, which stops the handler at its next step. Asynq's own
// signal would only make the task run again. A task that is not active, or of an
// older delivery, does not stop the job.
func (g *gate) cancel(ctx context.Context, queue, id, who string) (changed bool, err error) {
	f, err := g.lookUp(ctx, queue, id)
	if gone(err) {
		unknown, lerr := g.unknown(ctx, id)
		if lerr != nil {
			return false, lerr
		}
		if unknown {
			return false, g.inspector.CancelProcessing(id) // as Asynqmon, which does not look
		}
	}
	switch {
	case err != nil:
		return false, err
	case !f.ours:
		return false, g.inspector.CancelProcessing(id)
	case f.state != asynq.TaskStateActive:
		return false, elsewhere(f.state, asynq.TaskStateActive.String())
	case !f.current:
		return false, fmt.Errorf("%w: the task is not the job's newest; its job is %s", tasks.ErrConflict, f.job.State)
	}
	states := append([]tasks.State{tasks.Running}, waiting...)
	_, err = g.ledger.CancelDelivery(ctx, f.job.ID, f.job.Delivery, states, who, "cancelled in Asynqmon")
	return err == nil, err
}

// unknown reports whether the ledger has no job for a task of that id.
func (g *gate) unknown(ctx context.Context, id string) (bool, error) {
	jobID, _, err := tasks.ParseTaskID(id)
	if err != nil {
		return true, nil
	}
	if _, err = g.ledger.Get(ctx, jobID); errors.Is(err, tasks.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// remove deletes the task. A job whose task waits is cancelled first, so that the
// relay does not bring it back. The task of any other state is a record: its job
// stays what it is, also one that is held or has been handed over again.
func (g *gate) remove(ctx context.Context, f found, who string) (changed bool, err error) {
	if f.state == asynq.TaskStateActive {
		return false, elsewhere(f.state, "")
	}
	record := f.state == asynq.TaskStateCompleted || f.state == asynq.TaskStateArchived
	if f.current && !record {
		// In conflict the job has moved on, and the task may be the one that a worker holds.
		if _, err := g.ledger.CancelDelivery(ctx, f.job.ID, f.job.Delivery, waiting, who, "deleted in Asynqmon"); err != nil {
			return false, err
		}
		changed = true
	}
	err = g.inspector.DeleteTask(f.queue, f.id)
	if changed && gone(err) {
		err = nil
	}
	return changed, err
}

// gone reports whether err says that there is no such task.
func gone(err error) bool {
	return errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound)
}
