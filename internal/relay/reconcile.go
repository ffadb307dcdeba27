package relay

import (
	"context"
	"fmt"
	"time"

	"evalq/tasks"
)

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
			// The ledger says that a retrying job is overdue. The task of a queued one
			// waits for a moment after a worker gave it back.
			late := age > 0 && states[i] == "retry" && (j.State == tasks.Retrying || listed.far[j.TaskID()])
			if willRun(states[i]) && listed.ids[j.TaskID()] && !late {
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
	why := "its task in Redis was lost"
	if state == "retry" {
		// Asynq goes by the clocks of the processes. One that was set back leaves
		// tasks an hour away that are due.
		why = "it is due by the ledger's clock"
	}
	return r.ledger.Redeliver(ctx, j.ID, j.Delivery, why)
}

// soon is within which a task that a worker gave back is due again.
const soon = time.Minute

// lists says which tasks are in the lists that Asynq takes them from, and which of
// those are to be retried later than soon.
type lists struct{ ids, far map[string]bool }

// listed reads the lists. A task whose list was evicted or deleted still has a state
// of its own.
func (r *Relay) listed(ctx context.Context) (lists, error) {
	out := lists{map[string]bool{}, map[string]bool{}}
	for _, p := range tasks.Priorities() {
		prefix := r.keys(p)
		pending, err := r.rdb.LRange(ctx, prefix+"pending", 0, -1).Result()
		if err != nil {
			return out, fmt.Errorf("relay: read pending tasks of %s: %w", p, err)
		}
		retry, err := r.rdb.ZRangeWithScores(ctx, prefix+"retry", 0, -1).Result()
		if err != nil {
			return out, fmt.Errorf("relay: read retry tasks of %s: %w", p, err)
		}
		scheduled, err := r.rdb.ZRange(ctx, prefix+"scheduled", 0, -1).Result()
		if err != nil {
			return out, fmt.Errorf("relay: read scheduled tasks of %s: %w", p, err)
		}
		for _, ids := range [][]string{pending, scheduled} {
			for _, id := range ids {
				out.ids[id] = true
			}
		}
		limit := float64(time.Now().Add(soon).Unix())
		for _, z := range retry {
			id, _ := z.Member.(string)
			out.ids[id], out.far[id] = true, z.Score > limit
		}
	}
	return out, nil
}

// sweepActive finds tasks that a worker took and never began: it died in
// between, or Redis' answer to it was lost. Asynq alone would bring them back
// after a minute or two. A task has to be seen so for a while: a worker may just
// be about to begin it.
func (r *Relay) sweepActive(ctx context.Context) error {
	now := time.Now()
	seen, queues := map[string]time.Time{}, map[string]tasks.Priority{}
	for _, p := range tasks.Priorities() {
		ids, err := r.rdb.LRange(ctx, r.keys(p)+"active", 0, -1).Result()
		if err != nil {
			return fmt.Errorf("relay: read active tasks of %s: %w", p, err)
		}
		for _, id := range ids {
			first, known := r.taken[id]
			if !known {
				first = now
			}
			seen[id], queues[id] = first, p
		}
	}
	r.taken = seen
	return r.deliverTaken(ctx, now.Add(-r.every.begin), queues)
}

// deliverTaken delivers jobs again whose tasks were taken by then and that are
// not begun yet. A task that no worker can work on is set aside with its reason
// before its job goes on, because the next hand-out removes what is left of it.
func (r *Relay) deliverTaken(ctx context.Context, by time.Time, queues map[string]tasks.Priority) error {
	var ids []string
	for id, first := range r.taken {
		if !first.After(by) {
			ids = append(ids, id)
		}
	}
	return r.deliverOf(ctx, ids, "a worker took its task and did not begin", func(id string) error {
		return r.setAsideBroken(ctx, queues[id], id)
	})
}

// deliver gives the jobs of those tasks another delivery that no worker has begun.
// Of a job there may be tasks of several deliveries.
func (r *Relay) deliver(ctx context.Context, ids []string, why string) error {
	return r.deliverOf(ctx, ids, why, func(string) error { return nil })
}

// deliverOf is deliver that calls first with the id of each such task.
func (r *Relay) deliverOf(ctx context.Context, ids []string, why string, first func(id string) error) error {
	deliveries := map[string][]int{}
	for _, id := range ids {
		if job, delivery, err := tasks.ParseTaskID(id); err == nil {
			deliveries[job] = append(deliveries[job], delivery)
		}
	}
	unbegun, err := r.ledger.Unbegun(ctx, deliveries)
	if err != nil {
		return err
	}
	for job, delivery := range unbegun {
		if err := first(tasks.TaskID(job, delivery)); err != nil {
			return err
		}
		if err := r.ledger.Redeliver(ctx, job, delivery, why); err != nil {
			return err
		}
	}
	return nil
}

// registerQueues makes the queues visible to Asynq's inspectors. A running Asynq
// client does so once only, also when the queue was deleted since.
func (r *Relay) registerQueues(ctx context.Context) error {
	for _, p := range tasks.Priorities() {
		if err := r.rdb.SAdd(ctx, "asynq:queues", r.cfg.Namespace.Queue(p)).Err(); err != nil {
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
		if err := r.rdb.SetNX(ctx, r.keys(p)+"paused", time.Now().Unix(), 0).Err(); err != nil {
			return fmt.Errorf("relay: pause queue %s: %w", p, err)
		}
	}
	return nil
}
