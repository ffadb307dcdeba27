package relay

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// Reasons why the message of a task is not read.
const (
	reasonOversize = "its message is larger than a worker fetches; it was removed and not kept"
	reasonNoHash   = "its key in Redis holds something else than a task; it was removed and not kept"
)

// body is the message of a task as Asynq has it, empty when it is gone. Unread says
// why it was not read; empty when it was.
type body struct {
	text   []byte
	unread string
}

// bodyBytes bounds what one round trip reads of messages.
const bodyBytes = 2 << 20

// bodies reads the messages of tasks, after their sizes, a part at a time.
func (r *Relay) bodies(ctx context.Context, queue string, ids []string) ([]body, error) {
	sizes := make([]*redis.IntCmd, len(ids))
	_, err := r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, id := range ids {
			sizes[i] = pipe.HStrLen(ctx, taskKey(queue, id), "msg")
		}
		return nil
	})
	if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, fmt.Errorf("relay: ask for the sizes of tasks of %s: %w", queue, err)
	}
	out := make([]body, len(ids))
	for i, size := range sizes {
		if out[i].unread, err = whyUnread(size); err != nil {
			return nil, fmt.Errorf("relay: ask for the size of task %s: %w", ids[i], err)
		}
	}
	for from := 0; from < len(ids); {
		to, total := from, int64(0)
		for to < len(ids) && (to == from || total+sizes[to].Val() <= bodyBytes) {
			if out[to].unread == "" {
				total += sizes[to].Val()
			}
			to++
		}
		if err := r.readBodies(ctx, queue, ids[from:to], out[from:to]); err != nil {
			return nil, err
		}
		from = to
	}
	return out, nil
}

// whyUnread reads the size of a message.
func whyUnread(size *redis.IntCmd) (reason string, err error) {
	switch {
	case redis.HasErrorPrefix(size.Err(), "WRONGTYPE"):
		return reasonNoHash, nil
	case size.Err() != nil:
		return "", size.Err()
	case size.Val() > redisconn.MaxTask:
		return reasonOversize, nil
	}
	return "", nil
}

func (r *Relay) readBodies(ctx context.Context, queue string, ids []string, into []body) error {
	texts := make([]*redis.StringCmd, len(ids))
	_, err := r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, id := range ids {
			if into[i].unread == "" {
				texts[i] = pipe.HGet(ctx, taskKey(queue, id), "msg")
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("relay: read tasks of %s: %w", queue, err)
	}
	for i, c := range texts {
		if c == nil {
			continue
		}
		if into[i].text, err = c.Bytes(); err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("relay: read task %s: %w", ids[i], err)
		}
	}
	return nil
}

// sweepOversize moves to the quarantine, by id, what workers took out of the way
// because it is too large or no task.
func (r *Relay) sweepOversize(ctx context.Context) error {
	for _, p := range append(tasks.Priorities(), tasks.Messages) {
		queue := r.cfg.Namespace.Queue(p)
		found, err := r.rdb.ZRangeWithScores(ctx, redisconn.OversizeKey(queue), 0, page-1).Result()
		if err != nil {
			return fmt.Errorf("relay: read oversize tasks of %s: %w", queue, err)
		}
		for _, z := range found {
			reason := reasonOversize
			if z.Score < 0 {
				reason = reasonNoHash
			}
			if err := r.setAsideUnread(ctx, queue, fmt.Sprint(z.Member), reason); err != nil {
				return err
			}
		}
	}
	return nil
}

// setAsideUnread is setAside for a task whose message is not read.
func (r *Relay) setAsideUnread(ctx context.Context, queue, id, reason string) error {
	if err := r.keep(ctx, brokenTask{queue, id, reason, nil}); err != nil {
		return err
	}
	_, err := r.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		unlist(ctx, pipe, queue, []string{id})
		pipe.ZRem(ctx, redisconn.OversizeKey(queue), id)
		pipe.Unlink(ctx, taskKey(queue, id))
		return nil
	})
	if err != nil {
		return fmt.Errorf("relay: remove task %s: %w", id, err)
	}
	return nil
}
