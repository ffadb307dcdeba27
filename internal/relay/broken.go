package relay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// asynqLease is how long Asynq's lease on a task is. While a worker has the task
// it is made new every five seconds.
const asynqLease = 30 * time.Second

// drop removes what is left of an active task, unless it has another message by
// now.
var drop = redis.NewScript(`
if (redis.call("HGET", KEYS[1], "msg") or "") ~= ARGV[2] then
	return 0
end
redis.call("LREM", KEYS[2], 0, ARGV[1])
redis.call("ZREM", KEYS[3], ARGV[1])
redis.call("DEL", KEYS[1])
return 1`)

// sweepBroken takes tasks out of Asynq that it cannot do anything with: a worker
// took one, and its message was gone or could not be read. Asynq leaves the
// first kind active for ever, and one of the second keeps it from recovering any
// task of any queue.
func (r *Relay) sweepBroken(ctx context.Context) error {
	for _, p := range tasks.Priorities() {
		prefix, queue := r.keys(p), r.cfg.Namespace.Queue(p)
		before := time.Now().Add(asynqLease - r.every.begin).Unix()
		ids, err := r.rdb.ZRangeByScore(ctx, prefix+"lease", &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(before, 10), Count: page}).Result()
		if err != nil {
			return fmt.Errorf("relay: read leases of %s: %w", p, err)
		}
		bodies, err := r.bodies(ctx, queue, ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			if err := r.setAsideUnworkable(ctx, queue, id, bodies[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// setAsideBroken sets a task aside that was taken, if no worker can work on it.
func (r *Relay) setAsideBroken(ctx context.Context, p tasks.Priority, id string) error {
	queue := r.cfg.Namespace.Queue(p)
	bodies, err := r.bodies(ctx, queue, []string{id})
	if err != nil {
		return err
	}
	return r.setAsideUnworkable(ctx, queue, id, bodies[0])
}

// setAsideUnworkable sets a task aside if no worker can work on it.
func (r *Relay) setAsideUnworkable(ctx context.Context, queue, id string, b body) error {
	if b.unread != "" {
		return r.setAsideUnread(ctx, queue, id, b.unread)
	}
	if reason := broken(queue, id, string(b.text)); reason != "" {
		return r.setAside(ctx, brokenTask{queue, id, reason, b.text})
	}
	return nil
}

// broken says why Asynq can do nothing with a task; empty when it can.
func broken(queue, id, body string) (reason string) {
	if body == "" {
		return reasonGone
	}
	m, ok := readMessage([]byte(body))
	switch {
	case !ok:
		return reasonUnreadable
	case m.id != id || m.queue != queue:
		return reasonAnother
	}
	return ""
}

// setAside keeps what is not in the ledger, delivers a job of ours again, and
// removes the rest, in this order: once the job is delivered, the next hand-out
// may remove the task too.
func (r *Relay) setAside(ctx context.Context, q brokenTask) error {
	if err := r.keep(ctx, q); err != nil {
		return err
	}
	prefix := "asynq:{" + q.queue + "}:"
	keys := []string{prefix + "t:" + q.id, prefix + "active", prefix + "lease"}
	if err := drop.Run(ctx, r.rdb, keys, q.id, q.body).Err(); err != nil {
		return fmt.Errorf("relay: remove task %s: %w", q.id, err)
	}
	return nil
}

// keep is setAside without the removal.
func (r *Relay) keep(ctx context.Context, q brokenTask) error {
	ours, err := r.ours(ctx, q.id)
	if err != nil {
		return err
	}
	if !ours || q.reason != reasonGone {
		if err := r.quarantine(ctx, q); err != nil {
			return err
		}
	}
	if !ours {
		return nil
	}
	return r.deliver(ctx, []string{q.id}, "its task in Redis cannot be worked on")
}

// ours reports whether a task is a delivery of a job that the ledger has.
func (r *Relay) ours(ctx context.Context, id string) (bool, error) {
	job, _, err := tasks.ParseTaskID(id)
	if err != nil {
		return false, nil
	}
	_, err = r.ledger.Get(ctx, job)
	if errors.Is(err, tasks.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
