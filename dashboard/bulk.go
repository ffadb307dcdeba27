package dashboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"

	"evalq/tasks"
)

const (
	// bulkAtOnce actions are under way at a time: the ledger commits those
	// that arrive together in one turn of the disk.
	bulkAtOnce = 16
	bulkPage   = 500
	// maxBulk bounds one "all": what is left can be asked for again.
	maxBulk = 200_000
	// asynqQueues is Asynq's set of the queues that there are.
	asynqQueues = "asynq:queues"
)

// doEach carries out v on each task and tells which it was done to, in order.
func (g *gate) doEach(ctx context.Context, v verb, queue string, ids []string, who string) (done, failed []string) {
	errs := make([]error, len(ids))
	var work errgroup.Group
	work.SetLimit(bulkAtOnce)
	for i, id := range ids {
		work.Go(func() error {
			if errs[i] = g.over(ctx); errs[i] == nil {
				errs[i] = g.do(ctx, v, queue, id, who)
			}
			return nil
		})
	}
	_ = work.Wait() // the errors are in errs
	done, failed = []string{}, []string{}
	for i, id := range ids {
		if errs[i] == nil {
			done = append(done, id)
		} else {
			failed = append(failed, id)
		}
	}
	return done, failed
}

// doAll carries out c on the tasks that are there when it begins. It goes page
// by page until it has met as many as there were: while it works, workers take
// some and the relay brings others.
func (g *gate) doAll(ctx context.Context, c call, who string) (int, error) {
	list, limit, err := g.lister(c)
	if err != nil {
		return 0, err
	}
	seen := map[string]bool{}
	count, page := 0, 1
	for len(seen) < limit {
		listed, err := list(asynq.PageSize(bulkPage), asynq.Page(page))
		if err != nil {
			return count, err
		}
		if len(listed) == 0 {
			break
		}
		fresh := unseen(listed, seen, limit)
		if len(fresh) == 0 {
			page++ // this page holds only what could not be done, or stays where it is
			continue
		}
		done, failed := g.doEach(ctx, c.verb, c.queue, fresh, who)
		count += len(done)
		if err := g.over(ctx); err != nil && len(failed) > 0 {
			return count, err
		}
	}
	return count, nil
}

func unseen(listed []*asynq.TaskInfo, seen map[string]bool, limit int) (ids []string) {
	for _, task := range listed {
		if !seen[task.ID] && len(seen) < limit {
			seen[task.ID] = true
			ids = append(ids, task.ID)
		}
	}
	return ids
}

type listTasks func(...asynq.ListOption) ([]*asynq.TaskInfo, error)

// lister gives the listing of the state that c speaks of and how many tasks
// are in it now.
func (g *gate) lister(c call) (listTasks, int, error) {
	info, err := g.inspector.GetQueueInfo(c.queue)
	if err != nil {
		return nil, 0, err
	}
	of := func(list func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error)) listTasks {
		return func(opts ...asynq.ListOption) ([]*asynq.TaskInfo, error) { return list(c.queue, opts...) }
	}
	var list listTasks
	var size int
	switch c.state {
	case "active":
		list, size = of(g.inspector.ListActiveTasks), info.Active
	case "pending":
		list, size = of(g.inspector.ListPendingTasks), info.Pending
	case "scheduled":
		list, size = of(g.inspector.ListScheduledTasks), info.Scheduled
	case "retry":
		list, size = of(g.inspector.ListRetryTasks), info.Retry
	case "archived":
		list, size = of(g.inspector.ListArchivedTasks), info.Archived
	case "completed":
		list, size = of(g.inspector.ListCompletedTasks), info.Completed
	case "aggregating":
		list, size = func(opts ...asynq.ListOption) ([]*asynq.TaskInfo, error) {
			return g.inspector.ListAggregatingTasks(c.queue, c.group, opts...)
		}, info.Aggregating
	default:
		return nil, 0, fmt.Errorf("no tasks are %q", c.state)
	}
	return list, min(size, maxBulk), nil
}

// deleteQueue disposes of every job of the queue as if each task were deleted,
// also of those that wait in the ledger alone: they would bring the queue back.
// A cancelled job can be run again from the jobs page. A queue with an active
// task stays as it is. A queue of ours is then shown empty; another is gone.
func (g *gate) deleteQueue(ctx context.Context, queue, who string) error {
	queues, err := g.inspector.Queues()
	if err != nil {
		return err
	}
	if !slices.Contains(queues, queue) {
		return fmt.Errorf("%w: queue=%q", asynq.ErrQueueNotFound, queue)
	}
	info, err := g.inspector.GetQueueInfo(queue)
	if err != nil {
		return err
	}
	if info.Active > 0 {
		return fmt.Errorf("%w: it has active tasks; cancel them first: queue=%q", asynq.ErrQueueNotEmpty, queue)
	}
	p, ours := g.namespace.Priority(queue)
	if ours {
		if err := g.cancelQueue(ctx, p, who); err != nil {
			return err
		}
	}
	if err := g.emptyQueue(ctx, queue, who); err != nil {
		return err
	}
	if err := g.inspector.DeleteQueue(queue, false); err != nil || !ours {
		return err
	}
	// An Asynq client registers a queue once and remembers that it did: what it
	// puts in later would run, and nobody would see it.
	if err := g.redis.SAdd(ctx, asynqQueues, queue).Err(); err != nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "a deleted queue is not shown until the relay registers it again",
			slog.String("queue", queue), slog.Any("err", err))
	}
	return nil
}

// emptyQueue deletes the tasks of every state.
func (g *gate) emptyQueue(ctx context.Context, queue, who string) error {
	calls := []call{}
	for _, state := range []string{"pending", "scheduled", "retry", "archived", "completed"} {
		calls = append(calls, call{verb: verbDelete, queue: queue, state: state})
	}
	groups, err := g.inspector.Groups(queue)
	if err != nil {
		return err
	}
	for _, group := range groups {
		calls = append(calls, call{verb: verbDelete, queue: queue, state: "aggregating", group: group.Group})
	}
	for _, c := range calls {
		if _, err := g.doAll(ctx, c, who); err != nil {
			return err
		}
	}
	return nil
}

// cancelQueue cancels the queue's unfinished jobs.
func (g *gate) cancelQueue(ctx context.Context, queue tasks.Priority, who string) error {
	for _, state := range tasks.States() {
		if state.Finished() {
			continue
		}
		filter := tasks.Filter{Priority: queue, State: state, Limit: bulkPage}
		for n := 0; n < maxBulk; {
			page, err := g.ledger.List(ctx, filter)
			if err != nil {
				return err
			}
			if err := g.cancelJobs(ctx, page.Jobs, who); err != nil {
				return err
			}
			n += len(page.Jobs)
			if page.Next == "" {
				break
			}
			filter.Cursor = page.Next
		}
	}
	return nil
}

func (g *gate) cancelJobs(ctx context.Context, jobs []tasks.Job, who string) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(bulkAtOnce)
	for _, job := range jobs {
		work.Go(func() error {
			if err := g.over(ctx); err != nil {
				return err
			}
			_, err := g.ledger.Cancel(ctx, job.ID, who, "queue deleted in Asynqmon")
			if errors.Is(err, tasks.ErrConflict) || errors.Is(err, tasks.ErrNotFound) {
				return nil // it has finished meanwhile
			}
			return err
		})
	}
	return work.Wait()
}
