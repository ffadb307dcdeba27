package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// maxRetry is never reached: the ledger owns the budget.
const maxRetry = 1_000_000

// lease is Asynq's own time limit, far above every limit of ours.
const lease = 24 * time.Hour

// shownDead is how many dead jobs are put back among Asynq's archived tasks when
// Redis was wiped. The ledger's own page has all of them.
const shownDead = 1000

// page is how many jobs one step of reconcile looks at.
const page = 500

// enqueue puts one delivery into Asynq. A task that is already there and will
// run counts as delivered; a finished one of the same id means that the job
// needs another delivery.
func (r *Relay) enqueue(ctx context.Context, j tasks.Job) error {
	// What the deliveries before left behind has no owner any more.
	if err := r.removeOld(ctx, j); err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		UserID   int64 `json:"user_id"`
		ReportID int64 `json:"report_id"`
	}{j.UserID, j.ReportID})
	if err != nil {
		return fmt.Errorf("relay: enqueue %s: %w", j.ID, err)
	}
	task := asynq.NewTaskWithHeaders(string(j.Kind), body, map[string]string{HeaderLedger: r.ledger.ID()})
	_, err = r.client.EnqueueContext(ctx, task, asynq.TaskID(j.TaskID()), asynq.Queue(r.cfg.Namespace.Queue(j.Priority)),
		asynq.MaxRetry(maxRetry), asynq.Timeout(lease), asynq.Retention(r.retention(j)))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return r.resolve(ctx, j)
	}
	if err != nil {
		return fmt.Errorf("relay: enqueue %s: %w", j.ID, err)
	}
	return nil
}

// retention shortens the policy's time when jobs finish so fast that Redis
// would fill up with finished tasks.
func (r *Relay) retention(j tasks.Job) time.Duration {
	d := r.cfg.Policies(j.Kind).Retention
	if per := r.queues[j.Priority].drain.perSecond(time.Now()); per > 1 {
		d = time.Duration(min(float64(d), float64(r.cfg.Finished)/per*float64(time.Second)))
	}
	return max(d, 10*time.Second)
}

func (r *Relay) resolve(ctx context.Context, j tasks.Job) error {
	states, err := r.taskStates(ctx, []tasks.Job{j})
	if err != nil || willRun(states[0]) || states[0] == "active" {
		return err
	}
	return r.ledger.Redeliver(ctx, j.ID, j.Delivery, "its task in Redis had ended")
}

// taskStates reads what Asynq says of the jobs' tasks, in one round trip. A
// task that is not there has an empty state.
func (r *Relay) taskStates(ctx context.Context, jobs []tasks.Job) ([]string, error) {
	cmds := make([]*redis.StringCmd, len(jobs))
	_, err := r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, j := range jobs {
			cmds[i] = pipe.HGet(ctx, r.keys(j.Priority)+"t:"+j.TaskID(), "state")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("relay: look up tasks: %w", err)
	}
	out := make([]string, len(jobs))
	for i, c := range cmds {
		if out[i], err = c.Result(); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("relay: look up task of %s: %w", jobs[i].ID, err)
		}
	}
	return out, nil
}

// willRun reports whether Asynq will hand a task in that state to a worker.
func willRun(state string) bool {
	return state == "pending" || state == "scheduled" || state == "retry"
}

// keys begins the names of Asynq's keys of a queue.
func (r *Relay) keys(p tasks.Priority) string {
	return "asynq:{" + r.cfg.Namespace.Queue(p) + "}:"
}

// remove takes every trace of a task out of Asynq's keys. Asynq's own delete
// refuses active tasks, and a dead worker's task is active for a minute.
func (r *Relay) remove(ctx context.Context, p tasks.Priority, id string) error {
	_, err := r.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		unlist(ctx, pipe, r.cfg.Namespace.Queue(p), []string{id})
		pipe.Del(ctx, taskKey(r.cfg.Namespace.Queue(p), id))
		return nil
	})
	if err != nil {
		return fmt.Errorf("relay: remove task %s: %w", id, err)
	}
	return nil
}
