package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

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
		if err := r.ledger.ShowDead(ctx, shownDead); err != nil {
			return err
		}
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
	listed, err := r.listed(ctx)
	if err != nil {
		return err
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
			if willRun(states[i]) && listed[j.TaskID()] {
				continue
			}
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
	case state == "active" && age > 0:
		return nil // a worker is about to begin it, or sweepActive sees to it
	case state == "" && j.State == tasks.Queued:
		// Its name may still be in a list, which would then have it twice.
		if err := r.remove(ctx, j.Priority, j.TaskID()); err != nil {
			return err
		}
		return r.enqueue(ctx, j)
	}
	return r.ledger.Redeliver(ctx, j.ID, j.Delivery, "its task in Redis was lost")
}

// listed reads which tasks are in the lists that Asynq takes them from. A task
// whose list was evicted or deleted still has a state of its own.
func (r *Relay) listed(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	for _, p := range tasks.Priorities() {
		prefix := "asynq:{" + string(p) + "}:"
		pending, err := r.rdb.LRange(ctx, prefix+"pending", 0, -1).Result()
		if err != nil {
			return nil, fmt.Errorf("relay: read pending tasks of %s: %w", p, err)
		}
		retry, err := r.rdb.ZRange(ctx, prefix+"retry", 0, -1).Result()
		if err != nil {
			return nil, fmt.Errorf("relay: read retry tasks of %s: %w", p, err)
		}
		scheduled, err := r.rdb.ZRange(ctx, prefix+"scheduled", 0, -1).Result()
		if err != nil {
			return nil, fmt.Errorf("relay: read scheduled tasks of %s: %w", p, err)
		}
		for _, ids := range [][]string{pending, retry, scheduled} {
			for _, id := range ids {
				out[id] = true
			}
		}
	}
	return out, nil
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

// registerQueues makes the queues visible to Asynq's inspectors. A running Asynq
// client does so once only, also when the queue was deleted since.
func (r *Relay) registerQueues(ctx context.Context) error {
	for _, p := range tasks.Priorities() {
		if err := r.rdb.SAdd(ctx, "asynq:queues", string(p)).Err(); err != nil {
			return fmt.Errorf("relay: register queue %s: %w", p, err)
		}
	}
	return nil
}

// restoreQueues registers the queues and pauses those that an operator had paused.
func (r *Relay) restoreQueues(ctx context.Context) error {
	paused, err := r.ledger.Paused(ctx)
	if err != nil {
		return err
	}
	if err := r.registerQueues(ctx); err != nil {
		return err
	}
	for _, p := range tasks.Priorities() {
		if !paused[p] {
			continue
		}
		if err := r.rdb.SetNX(ctx, "asynq:{"+string(p)+"}:paused", time.Now().Unix(), 0).Err(); err != nil {
			return fmt.Errorf("relay: pause queue %s: %w", p, err)
		}
	}
	return nil
}
