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

// page is how many jobs one step of reconcile looks at.
const page = 500

// enqueue puts one delivery into Asynq. A task that is already there and will
// run counts as delivered; a finished one of the same id means that the job
// needs another delivery.
func (r *Relay) enqueue(ctx context.Context, j tasks.Job) error {
	if j.Delivery > 1 {
		// What the delivery before left behind has no owner any more.
		if err := r.remove(ctx, j.Priority, tasks.TaskID(j.ID, j.Delivery-1)); err != nil {
			return err
		}
	}
	body, err := json.Marshal(struct {
		UserID   int64 `json:"user_id"`
		ReportID int64 `json:"report_id"`
	}{j.UserID, j.ReportID})
	if err != nil {
		return fmt.Errorf("relay: enqueue %s: %w", j.ID, err)
	}
	task := asynq.NewTaskWithHeaders(string(j.Kind), body, map[string]string{HeaderLedger: r.ledger.ID()})
	_, err = r.client.EnqueueContext(ctx, task, asynq.TaskID(j.TaskID()), asynq.Queue(string(j.Priority)),
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
		d = min(d, time.Duration(float64(r.cfg.Finished)/per*float64(time.Second)))
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
			cmds[i] = pipe.HGet(ctx, "asynq:{"+string(j.Priority)+"}:t:"+j.TaskID(), "state")
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

// remove takes every trace of a task out of Asynq's keys. Asynq's own delete
// refuses active tasks, and a dead worker's task is active for a minute.
func (r *Relay) remove(ctx context.Context, p tasks.Priority, id string) error {
	prefix := "asynq:{" + string(p) + "}:"
	_, err := r.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.LRem(ctx, prefix+"pending", 0, id)
		pipe.LRem(ctx, prefix+"active", 0, id)
		for _, set := range []string{"lease", "retry", "scheduled", "archived", "completed"} {
			pipe.ZRem(ctx, prefix+set, id)
		}
		pipe.Del(ctx, prefix+"t:"+id)
		return nil
	})
	if err != nil {
		return fmt.Errorf("relay: remove task %s: %w", id, err)
	}
	return nil
}

// checkEpoch notices that Redis was wiped, by a key that only the relay writes,
// and then hands everything out again.
func (r *Relay) checkEpoch(ctx context.Context) error {
	key := "evalq:epoch:" + r.ledger.ID()
	have, err := r.rdb.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("relay: read epoch: %w", err)
	}
	if have != "" && have == r.epoch {
		return nil
	}
	if r.epoch != "" {
		r.cfg.Logger.Warn("Redis was wiped; its tasks are delivered again from the ledger")
	}
	if err := r.reconcile(ctx, 0); err != nil {
		return err
	}
	if have == "" {
		have = tasks.NewID(time.Now())
		if err := r.rdb.Set(ctx, key, have, 0).Err(); err != nil {
			return fmt.Errorf("relay: write epoch: %w", err)
		}
	}
	r.epoch = have
	return nil
}

// reconcile makes Redis hold what the ledger says it holds. Age spares tasks
// that moved a moment ago; 0 spares none and restores queues and pauses too.
func (r *Relay) reconcile(ctx context.Context, age time.Duration) error {
	if age == 0 {
		if err := r.restoreQueues(ctx); err != nil {
			return err
		}
	}
	for after := int64(0); ; {
		jobs, next, err := r.ledger.InRedis(ctx, after, age.Milliseconds(), page)
		if err != nil || len(jobs) == 0 {
			return err
		}
		states, err := r.taskStates(ctx, jobs)
		if err != nil {
			return err
		}
		for i, j := range jobs {
			if err := r.confirm(ctx, j, states[i], age); err != nil {
				return err
			}
		}
		after = next
	}
}

// confirm brings back the task of a job that should have one.
func (r *Relay) confirm(ctx context.Context, j tasks.Job, state string, age time.Duration) error {
	switch {
	case willRun(state):
		return nil
	case state == "active" && age > 0:
		return nil // a worker is about to begin it, or sweepActive sees to it
	case state == "" && j.State == tasks.Queued:
		return r.enqueue(ctx, j)
	}
	return r.ledger.Redeliver(ctx, j.ID, j.Delivery, "its task in Redis was lost")
}

// sweepActive finds tasks that a worker took and never began: it died in
// between, or Redis' answer to it was lost. Asynq alone would bring them back
// after a minute or two.
func (r *Relay) sweepActive(ctx context.Context) error {
	for _, p := range tasks.Priorities() {
		ids, err := r.rdb.LRange(ctx, "asynq:{"+string(p)+"}:active", 0, -1).Result()
		if err != nil {
			return fmt.Errorf("relay: read active tasks of %s: %w", p, err)
		}
		for _, id := range ids {
			job, delivery, err := tasks.ParseTaskID(id)
			if err != nil {
				continue // not ours
			}
			if err := r.ledger.RedeliverUnbegun(ctx, job, delivery, r.every.begin); err != nil && !errors.Is(err, tasks.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// restoreQueues registers the queues, which a running Asynq client does once
// only, and pauses those that an operator had paused.
func (r *Relay) restoreQueues(ctx context.Context) error {
	paused, err := r.ledger.Paused(ctx)
	if err != nil {
		return err
	}
	for _, p := range tasks.Priorities() {
		if err := r.rdb.SAdd(ctx, "asynq:queues", string(p)).Err(); err != nil {
			return fmt.Errorf("relay: register queue %s: %w", p, err)
		}
		if !paused[p] {
			continue
		}
		if err := r.rdb.SetNX(ctx, "asynq:{"+string(p)+"}:paused", time.Now().Unix(), 0).Err(); err != nil {
			return fmt.Errorf("relay: pause queue %s: %w", p, err)
		}
	}
	return nil
}

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

// removeCancelled also removes the task of the delivery before: that of a dead
// job, revived and cancelled before it was handed out again, is archived.
func (r *Relay) removeCancelled(ctx context.Context, j tasks.Job) error {
	for n := j.Delivery; n > 0 && n >= j.Delivery-1; n-- {
		if err := r.remove(ctx, j.Priority, tasks.TaskID(j.ID, n)); err != nil {
			return err
		}
	}
	return nil
}

// enqueueDead differs from enqueue in two things: a task that is archived
// already is what we want, and one that was acknowledged, when the job was
// held, is in the way.
func (r *Relay) enqueueDead(ctx context.Context, j tasks.Job) error {
	states, err := r.taskStates(ctx, []tasks.Job{j})
	switch {
	case err != nil:
		return err
	case states[0] == "completed":
		if err := r.remove(ctx, j.Priority, j.TaskID()); err != nil {
			return err
		}
	case states[0] != "":
		return nil
	}
	return r.enqueue(ctx, j)
}
