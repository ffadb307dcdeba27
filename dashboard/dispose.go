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
	// present is set when the task is the job's newest delivery and the job is
	// unfinished: only then does what happens to the task happen to the job.
	present bool
	job     tasks.Job
}

// lookUp finds the job of a task. A task whose id is not of our form, or whose
// job the ledger does not know, is somebody else's.
func (g *gate) lookUp(ctx context.Context, queue, id string) (found, error) {
	f := found{queue: queue, id: id}
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
	f.present = delivery == f.job.Delivery && !f.job.State.Finished()
	info, err := g.inspector.GetTaskInfo(queue, id)
	if err != nil {
		return f, err
	}
	f.state = info.State
	return f, nil
}

// do carries out v on one task.
func (g *gate) do(ctx context.Context, v verb, queue, id, who string) error {
	if v == verbCancel {
		return g.cancel(ctx, id, who)
	}
	f, err := g.lookUp(ctx, queue, id)
	if err != nil {
		return err
	}
	switch v {
	case verbRun:
		return g.run(ctx, f, who)
	case verbArchive:
		return g.archive(ctx, f, who)
	case verbDelete:
		return g.remove(ctx, f, who)
	}
	return fmt.Errorf("no way to %s a task", v)
}

// run starts the job again under a new delivery; the old task goes.
func (g *gate) run(ctx context.Context, f found, who string) error {
	if !f.ours {
		return g.inspector.RunTask(f.queue, f.id)
	}
	if _, err := g.ledger.Retry(ctx, f.job.ID, who, "run in Asynqmon"); err != nil {
		return err
	}
	// The job is on its way whatever becomes of the old task: a worker that
	// gets an old delivery acknowledges it.
	if err := g.inspector.DeleteTask(f.queue, f.id); err != nil && !gone(err) {
		g.log.LogAttrs(ctx, slog.LevelWarn, "the old task of a job that runs again stays behind",
			slog.String("task_id", f.id), slog.String("queue", f.queue), slog.Any("err", err))
	}
	return nil
}

// archive gives the job up, then shows it among Asynqmon's archived tasks.
func (g *gate) archive(ctx context.Context, f found, who string) error {
	if f.present {
		if _, err := g.ledger.Archive(ctx, f.job.ID, who, "archived in Asynqmon"); err != nil {
			return err
		}
	}
	err := g.inspector.ArchiveTask(f.queue, f.id)
	if f.present && gone(err) {
		return nil // the relay was quicker to clear the dead job's task away
	}
	return err
}

// cancel asks the ledger, which stops the handler at its next step. Asynq's own
// signal would only make the task run again.
func (g *gate) cancel(ctx context.Context, id, who string) error {
	jobID, _, err := tasks.ParseTaskID(id)
	if err != nil {
		return g.inspector.CancelProcessing(id)
	}
	_, err = g.ledger.Cancel(ctx, jobID, who, "cancelled in Asynqmon")
	if errors.Is(err, tasks.ErrNotFound) {
		return g.inspector.CancelProcessing(id)
	}
	return err
}

// remove cancels an unfinished job, so that the relay does not bring it back,
// and deletes the task. Finished jobs stay what they are.
func (g *gate) remove(ctx context.Context, f found, who string) error {
	if f.state == asynq.TaskStateActive {
		return fmt.Errorf("%w: the task is active; cancel it instead", tasks.ErrConflict)
	}
	if f.present {
		if _, err := g.ledger.Cancel(ctx, f.job.ID, who, "deleted in Asynqmon"); err != nil && !errors.Is(err, tasks.ErrConflict) {
			return err // in conflict it has finished meanwhile, and stays so
		}
	}
	err := g.inspector.DeleteTask(f.queue, f.id)
	if f.present && gone(err) {
		return nil
	}
	return err
}

// gone reports whether err says that there is no such task.
func gone(err error) bool {
	return errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound)
}
