package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

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

// tally counts what an action has done.
type tally struct{ tasks, failed, jobs int }

func (t tally) plus(o tally) tally {
	return tally{t.tasks + o.tasks, t.failed + o.failed, t.jobs + o.jobs}
}

// String is the audit log's form.
func (t tally) String() string {
	return fmt.Sprintf("%d tasks done, %d refused, %d jobs changed", t.tasks, t.failed, t.jobs)
}

// doEach carries out c on each task and tells which it was done to, in order.
func (g *gate) doEach(ctx context.Context, c call, ids []string, who string) (done, failed []string, count tally) {
	errs := make([]error, len(ids))
	var jobs atomic.Int64
	var work errgroup.Group
	work.SetLimit(bulkAtOnce)
	for i, id := range ids {
		work.Go(func() error {
			if errs[i] = g.over(ctx); errs[i] == nil {
				var changed bool
				if changed, errs[i] = g.do(ctx, c, id, who); changed {
					jobs.Add(1)
				}
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
	return done, failed, tally{len(done), len(failed), int(jobs.Load())}
}

// doAll carries out c on the tasks that are there when it begins. It goes page
// by page until it has met as many as there were: while it works, workers take
// some and the relay brings others.
func (g *gate) doAll(ctx context.Context, c call, who string) (count tally, err error) {
	list, limit, err := g.lister(c)
	if err != nil {
		return count, err
	}
	seen := map[string]bool{}
	page := 1
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
		_, failed, n := g.doEach(ctx, c, fresh, who)
		count = count.plus(n)
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
	if err != nil && isMissing(err.Error()) {
		return nil, 0, fmt.Errorf("%w: queue=%q", asynq.ErrQueueNotFound, c.queue)
	}
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

// deleteQueue deletes an empty queue, as Asynqmon does. A queue of evalq is empty
// when the ledger has no unfinished job for it either: a job that is held, or
// waits in the ledger alone, is in no list of Asynq and would bring the queue
// back. A queue of evalq is then shown empty; another is gone.
func (g *gate) deleteQueue(ctx context.Context, queue string) error {
	p, ours := g.namespace.Priority(queue)
	if ours {
		unfinished, err := g.unfinished(ctx, p)
		if err != nil {
			return err
		}
		if queues, err := g.inspector.Queues(); err != nil {
			return err
		} else if !slices.Contains(queues, queue) {
			return fmt.Errorf("%w: queue=%q", asynq.ErrQueueNotFound, queue)
		}
		if unfinished {
			return fmt.Errorf("%w: queue=%q", asynq.ErrQueueNotEmpty, queue)
		}
	}
	if err := g.inspector.DeleteQueue(queue, false); err != nil || !ours {
		return err
	}
	// An Asynq client registers a queue once and remembers that it did: what it
	// puts in later would run, and Asynqmon would not list it.
	if err := g.redis.SAdd(ctx, asynqQueues, queue).Err(); err != nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "a deleted queue is not shown until the relay registers it again",
			slog.String("queue", queue), slog.Any("err", err))
	}
	return nil
}

// unfinished reports whether the ledger has a job for the queue that has not
// ended.
func (g *gate) unfinished(ctx context.Context, queue tasks.Priority) (bool, error) {
	for _, state := range tasks.States() {
		if state.Finished() {
			continue
		}
		page, err := g.ledger.List(ctx, tasks.Filter{Priority: queue, State: state, Limit: 1})
		if err != nil || len(page.Jobs) > 0 {
			return true, err
		}
	}
	return false, nil
}
