package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/ledger"
	"evalq/tasks"
)

// ErrRedis marks what could not be done because Redis did not answer.
var ErrRedis = errors.New("redis did not answer")

// Sweeper removes jobs from the ledger together with their tasks in Redis, as
// people ask for it. It needs no running Relay.
type Sweeper struct {
	ledger    *ledger.Ledger
	rdb       redis.UniversalClient
	inspector *asynq.Inspector
	queues    map[tasks.Priority]string
	messages  string // the queue of package mq
}

// NewSweeper takes the ledger and the client that workers use. It closes neither.
func NewSweeper(l *ledger.Ledger, rdb redis.UniversalClient, n tasks.Namespace) *Sweeper {
	s := &Sweeper{ledger: l, rdb: rdb, inspector: asynq.NewInspectorFromRedisClient(rdb), queues: map[tasks.Priority]string{}, messages: n.Queue(tasks.Messages)}
	for _, p := range tasks.Priorities() {
		s.queues[p] = n.Queue(p)
	}
	return s
}

const (
	// turnFor bounds one call: callers come back until it is done.
	turnFor = 10 * time.Second
	// stopLook is how often it is looked whether running jobs have stopped.
	stopLook = 100 * time.Millisecond
)

// Purge is ledger.Purge with the tasks that Redis still has of the jobs.
func (s *Sweeper) Purge(ctx context.Context, before time.Time, dry bool) (tasks.Removed, error) {
	return s.ledger.Purge(ctx, before, ledger.Removal{Dry: dry, Turn: turnFor, Drop: s.drop(dry)})
}

// Erase removes everything of a user from the ledger and from Redis: unfinished
// jobs are cancelled first, and running ones asked to stop and waited for. What
// is submitted meanwhile is removed too, so it is done only when nothing of the
// user is left. It may be repeated at any time.
func (s *Sweeper) Erase(ctx context.Context, user int64, dry bool, who string) (tasks.Removed, error) {
	if dry {
		out, err := s.ledger.Erase(ctx, user, ledger.Removal{Dry: true})
		if err != nil {
			return out, err
		}
		if out.Running, err = s.ledger.Running(ctx, user); err != nil {
			return out, err
		}
		out.Tasks, err = s.ofUser(ctx, user, true)
		return out, err
	}
	if running, err := s.stop(ctx, user, who); err != nil || running > 0 {
		return tasks.Removed{Running: running}, err
	}
	found, err := s.ofUser(ctx, user, false)
	if err != nil {
		return tasks.Removed{Tasks: found}, err
	}
	out, err := s.ledger.Erase(ctx, user, ledger.Removal{Turn: turnFor, Drop: s.drop(false)})
	out.Tasks += found
	if err != nil || !out.Done {
		return out, err
	}
	// A relay may have been handing out what was just cancelled.
	late, err := s.ofUser(ctx, user, false)
	out.Tasks += late
	out.Done = err == nil && late == 0
	return out, err
}

// stop cancels what is unfinished and waits for a while until nothing runs.
func (s *Sweeper) stop(ctx context.Context, user int64, who string) (running int, err error) {
	running, err = s.ledger.Stop(ctx, user, who, "the user is erased")
	if err != nil || running == 0 {
		return running, err
	}
	look, end := time.NewTicker(stopLook), time.NewTimer(turnFor)
	defer look.Stop()
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return running, context.Cause(ctx)
		case <-end.C:
			return running, nil
		case <-look.C:
		}
		if running, err = s.ledger.Running(ctx, user); err != nil || running == 0 {
			return running, err
		}
	}
}

// drop takes the tasks of finished jobs out of Redis: that of the present
// delivery and those of the ones before, which a revived job may have left, or one
// that was brought forward to another queue.
func (s *Sweeper) drop(dry bool) func(context.Context, []tasks.Job) (int, error) {
	return func(ctx context.Context, jobs []tasks.Job) (int, error) {
		ids, err := s.traces(ctx, jobs)
		if err != nil {
			return 0, err
		}
		found := 0
		for p, some := range ids {
			n, err := s.remove(ctx, s.queues[p], some, dry)
			found += n
			if err != nil {
				return found, err
			}
		}
		return found, nil
	}
}

// ofUser removes, or counts, every task that is about a user, whichever list it
// is in: deliveries of jobs that are known, and what plain producers put in.
func (s *Sweeper) ofUser(ctx context.Context, user int64, dry bool) (int, error) {
	queues := slices.Collect(maps.Values(s.queues))
	some, err := s.hasMessages(ctx)
	if err != nil {
		return 0, err
	}
	if some {
		queues = append(queues, s.messages)
	}
	found, err := s.overflowOfUser(ctx, user, dry)
	if err != nil {
		return found, err
	}
	for _, queue := range queues {
		var ids []string
		err := s.visit(ctx, queue, allLists, func(t *asynq.TaskInfo) {
			if ledger.Owns(t.ID, t.Payload, user) {
				ids = append(ids, t.ID)
			}
		})
		if err != nil {
			return found, err
		}
		n, err := s.remove(ctx, queue, ids, dry)
		found += n
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// hasMessages spares who has none the sight of one more queue: to look into a queue
// names it to Asynq's inspectors.
func (s *Sweeper) hasMessages(ctx context.Context) (bool, error) {
	var keys []string
	for _, l := range allLists {
		keys = append(keys, "asynq:{"+s.messages+"}:"+l.key)
	}
	n, err := s.rdb.Exists(ctx, keys...).Result()
	if err != nil {
		return false, fmt.Errorf("relay: look for messages: %w: %w", ErrRedis, err)
	}
	return n > 0, nil
}

// removeChunk bounds how many tasks one command block takes out: each is looked
// for along two lists.
const removeChunk = 50

// remove takes every trace of some tasks out of a queue and answers how many
// there were; a dry run only counts.
func (s *Sweeper) remove(ctx context.Context, queue string, ids []string, dry bool) (int, error) {
	found := 0
	for len(ids) > 0 {
		some := ids[:min(len(ids), removeChunk)]
		ids = ids[len(some):]
		keys := make([]string, len(some))
		for i, id := range some {
			keys[i] = taskKey(queue, id)
		}
		var n *redis.IntCmd
		_, err := s.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			if dry {
				n = pipe.Exists(ctx, keys...)
				return nil
			}
			unlist(ctx, pipe, queue, some)
			n = pipe.Del(ctx, keys...)
			return nil
		})
		if err != nil {
			return found, fmt.Errorf("relay: remove tasks: %w: %w", ErrRedis, err)
		}
		found += int(n.Val())
	}
	return found, nil
}

// unlist takes tasks out of the lists and sets of a queue.
func unlist(ctx context.Context, pipe redis.Pipeliner, queue string, ids []string) {
	prefix := "asynq:{" + queue + "}:"
	members := make([]any, len(ids))
	for i, id := range ids {
		pipe.LRem(ctx, prefix+"pending", 0, id)
		pipe.LRem(ctx, prefix+"active", 0, id)
		members[i] = id
	}
	for _, set := range []string{"lease", "retry", "scheduled", "archived", "completed"} {
		pipe.ZRem(ctx, prefix+set, members...)
	}
}

func taskKey(queue, id string) string { return "asynq:{" + queue + "}:t:" + id }

// list is one of Asynq's lists of tasks. Sets are zsets in Redis.
type list struct {
	key  string
	set  bool
	read func(i *asynq.Inspector, queue string, opts ...asynq.ListOption) ([]*asynq.TaskInfo, error)
}

var (
	// takenLists have the tasks that a worker has taken.
	takenLists = []list{
		{"active", false, (*asynq.Inspector).ListActiveTasks},
		{"archived", true, (*asynq.Inspector).ListArchivedTasks},
		{"completed", true, (*asynq.Inspector).ListCompletedTasks},
	}
	allLists = append([]list{
		{"pending", false, (*asynq.Inspector).ListPendingTasks},
		{"scheduled", true, (*asynq.Inspector).ListScheduledTasks},
		{"retry", true, (*asynq.Inspector).ListRetryTasks},
	}, takenLists...)
)

// visit reads the tasks in some lists of a queue, a page at a time. A page may
// have gaps, where Asynq cannot read a task, so the length says where the end is.
func (s *Sweeper) visit(ctx context.Context, queue string, lists []list, f func(*asynq.TaskInfo)) error {
	// A queue that was deleted is not listed, whatever is in it.
	if err := s.rdb.SAdd(ctx, "asynq:queues", queue).Err(); err != nil {
		return fmt.Errorf("relay: register queue %s: %w: %w", queue, ErrRedis, err)
	}
	for _, l := range lists {
		size, err := s.length(ctx, queue, l)
		if err != nil {
			return err
		}
		for n := 1; (n-1)*page < size; n++ {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			found, err := l.read(s.inspector, queue, asynq.PageSize(page), asynq.Page(n))
			if err != nil {
				return fmt.Errorf("relay: list %s tasks of %s: %w: %w", l.key, queue, ErrRedis, err)
			}
			for _, t := range found {
				f(t)
			}
		}
	}
	return nil
}

func (s *Sweeper) length(ctx context.Context, queue string, l list) (int, error) {
	count := s.rdb.LLen
	if l.set {
		count = s.rdb.ZCard
	}
	n, err := count(ctx, "asynq:{"+queue+"}:"+l.key).Result()
	if err != nil {
		return 0, fmt.Errorf("relay: count %s tasks of %s: %w: %w", l.key, queue, ErrRedis, err)
	}
	return int(n), nil
}
