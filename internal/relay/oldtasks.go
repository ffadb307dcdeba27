package relay

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// oldDeliveries is how many deliveries of a job may have left a task behind: the one
// that was enqueued last, and one for each queue that the job was moved to since.
const oldDeliveries = 3

// oldTasks are the ids that tasks of a job's older deliveries may have, the newest
// first.
func oldTasks(j tasks.Job) (ids []string) {
	for n := j.Delivery - 1; n > 0 && n >= j.Delivery-oldDeliveries; n-- {
		ids = append(ids, tasks.TaskID(j.ID, n))
	}
	return ids
}

// removeOld takes the tasks of a job's older deliveries out of Redis. A job that was
// brought forward has left one in another queue.
func (r *Relay) removeOld(ctx context.Context, j tasks.Job) error {
	ids := oldTasks(j)
	if len(ids) == 0 {
		return nil
	}
	if err := r.remove(ctx, j.Priority, ids[0]); err != nil {
		return err
	}
	found, err := r.present(ctx, tasks.Priorities(), ids)
	if err != nil {
		return err
	}
	for _, t := range found {
		if err := r.remove(ctx, t.queue, t.id); err != nil {
			return err
		}
	}
	return nil
}

// placed is a task in one of the queues.
type placed struct {
	queue tasks.Priority
	id    string
}

// present gives those of some tasks that there are in any of the queues, in one
// round trip.
func (r *Relay) present(ctx context.Context, queues []tasks.Priority, ids []string) ([]placed, error) {
	var all []placed
	var there []*redis.IntCmd
	_, err := r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, p := range queues {
			for _, id := range ids {
				all, there = append(all, placed{p, id}), append(there, pipe.Exists(ctx, r.keys(p)+"t:"+id))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("relay: look up old tasks: %w", err)
	}
	var out []placed
	for i, c := range there {
		if c.Val() > 0 {
			out = append(out, all[i])
		}
	}
	return out, nil
}

// traces gives the ids of tasks that jobs may have left, by queue: of the present
// delivery and the one before in the job's queue, where something of a task may be
// left that is none, and those that there are in the others.
func (s *Sweeper) traces(ctx context.Context, jobs []tasks.Job) (map[tasks.Priority][]string, error) {
	ids := map[tasks.Priority][]string{}
	type look struct {
		placed
		there *redis.IntCmd
	}
	var looks []look
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, j := range jobs {
			for n, id := range append([]string{j.TaskID()}, oldTasks(j)...) {
				for p, queue := range s.queues {
					if p == j.Priority && n < 2 {
						ids[p] = append(ids[p], id)
						continue
					}
					looks = append(looks, look{placed{p, id}, pipe.Exists(ctx, taskKey(queue, id))})
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("relay: look for tasks: %w: %w", ErrRedis, err)
	}
	for _, l := range looks {
		if l.there.Val() > 0 {
			ids[l.queue] = append(ids[l.queue], l.id)
		}
	}
	return ids, nil
}
