package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// The ledger owns the budget of attempts and the time limits, so Asynq's own
// are set where they are never reached.
const (
	maxRetry    = 1_000_000
	taskTimeout = 24 * time.Hour
)

// queue puts tasks into Redis for a worker to take over.
type queue struct {
	redis     redis.UniversalClient
	tasks     *asynq.Client
	inspector *asynq.Inspector
	namespace tasks.Namespace
	timeout   time.Duration
}

func openQueue(ctx context.Context, rawURL string, cfg Config) (*queue, error) {
	r, err := redisconn.Open(ctx, rawURL, nil)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return &queue{
		redis: r, tasks: asynq.NewClientFromRedisClient(r), inspector: asynq.NewInspectorFromRedisClient(r), namespace: cfg.Namespace, timeout: cfg.Timeout,
	}, nil
}

func (q *queue) close() error {
	if err := q.redis.Close(); err != nil {
		return fmt.Errorf("client: close: %w", err)
	}
	return nil
}

// taskID is the same for each submission of a natural key with the same data,
// so that Redis holds one task of it at a time. Other data is another wish: a
// task that waits must not stand for it. Payload is p, encoded.
func taskID(p tasks.Payload, payload []byte) string {
	user, report := p.Subject()
	id := "adopt." + string(p.Kind()) + "." + strconv.FormatInt(user, 10) + "." + strconv.FormatInt(report, 10)
	if c, ok := p.(tasks.Custom); ok && len(c.Data) > 0 {
		sum := sha256.Sum256(payload) // the encoded form has no white space that differs
		id += "." + hex.EncodeToString(sum[:12])
	}
	return id
}

func (q *queue) submit(ctx context.Context, r tasks.Request) (tasks.Job, error) {
	if r.Anew || r.Passive {
		return tasks.Job{}, fmt.Errorf("client: submit anew or passively: %w", ErrNeedsLedger)
	}
	payload, err := tasks.Encode(r.Payload)
	if err != nil {
		return tasks.Job{}, fmt.Errorf("client: submit: %w", &tasks.InvalidError{Err: err})
	}
	if r.Priority == "" {
		r.Priority = tasks.Default
	}
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	changed, err := q.enqueue(ctx, r, payload)
	if err != nil {
		return tasks.Job{}, fmt.Errorf("client: submit: %w", err)
	}
	job := promised(r)
	job.Changed = changed
	return job, nil
}

// promised is what is known of a job that no ledger has seen yet.
func promised(r tasks.Request) tasks.Job {
	j := tasks.Job{Kind: r.Payload.Kind(), Priority: r.Priority, State: tasks.Queued, DueAt: r.RunAt}
	j.UserID, j.ReportID = r.Payload.Subject()
	if c, ok := r.Payload.(tasks.Custom); ok {
		j.Data = c.Data
	}
	return j
}

// enqueue answers what it has brought forward of a task that was there.
func (q *queue) enqueue(ctx context.Context, r tasks.Request, payload []byte) (changed []string, err error) {
	id := taskID(r.Payload, payload)
	options := []asynq.Option{
		asynq.TaskID(id), asynq.Queue(q.namespace.Queue(r.Priority)),
		asynq.MaxRetry(maxRetry), asynq.Timeout(taskTimeout),
	}
	if !r.RunAt.IsZero() {
		options = append(options, asynq.ProcessAt(r.RunAt))
	}
	task := asynq.NewTask(string(r.Payload.Kind()), payload)
	// The second round follows the removal of a leftover; a third would mean
	// that somebody archives it as fast as it is enqueued.
	for range 3 {
		_, err := q.tasks.EnqueueContext(ctx, task, options...)
		if err == nil {
			return nil, nil
		}
		if !errors.Is(err, asynq.ErrTaskIDConflict) {
			return nil, unreachable(err)
		}
		waits, err := q.clear(ctx, q.namespace.Queue(r.Priority), id)
		if err != nil {
			return nil, err
		}
		if waits {
			return q.bringForward(ctx, q.namespace.Queue(r.Priority), id, r.RunAt)
		}
	}
	return nil, fmt.Errorf("the task %q is in the way in queue %q: %w", id, r.Priority, tasks.ErrConflict)
}

// dropRemnant removes what holds an id without being a task: a result that was
// written late, or the name of a task that Redis has lost.
var dropRemnant = redis.NewScript(`
if redis.call("EXISTS", KEYS[1]) == 0 or redis.call("HEXISTS", KEYS[1], "msg") == 1 then
	return 0
end
redis.call("DEL", KEYS[1])
redis.call("LREM", KEYS[2], 0, ARGV[1])
redis.call("LREM", KEYS[3], 0, ARGV[1])
redis.call("ZREM", KEYS[4], ARGV[1])
return 1`)

// earlier gives a task that is scheduled an earlier time.
var earlier = redis.NewScript(`
local at = redis.call("ZSCORE", KEYS[1], ARGV[1])
if not at or tonumber(at) <= tonumber(ARGV[2]) then
	return 0
end
redis.call("ZADD", KEYS[1], ARGV[2], ARGV[1])
return 1`)

// bringForward has a task that waits for its time run at an earlier one. Asynq keeps
// whole seconds; a zero time is now.
func (q *queue) bringForward(ctx context.Context, name, id string, at time.Time) (changed []string, err error) {
	if now := time.Now(); at.Before(now) {
		at = now
	}
	moved, err := earlier.Run(ctx, q.redis, []string{"asynq:{" + name + "}:scheduled"}, id, at.Unix()).Bool()
	if err != nil {
		return nil, unreachable(err)
	}
	if moved {
		changed = []string{tasks.ChangedRunAt}
	}
	return changed, nil
}

// clear looks at the task that holds the id. One that will still be worked on
// stands for the new one too; a leftover is removed.
func (q *queue) clear(ctx context.Context, name, id string) (waits bool, err error) {
	prefix := "asynq:{" + name + "}:"
	keys := []string{prefix + "t:" + id, prefix + "pending", prefix + "active", prefix + "lease"}
	dropped, err := dropRemnant.Run(ctx, q.redis, keys, id).Bool()
	if err != nil {
		return false, unreachable(err)
	}
	if dropped {
		return false, nil
	}
	info, err := q.inspector.GetTaskInfo(name, id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound):
		return false, nil // it went meanwhile
	case errors.Is(err, asynq.ErrQueueNotFound):
		// A Redis that was emptied under a running client has lost its list of
		// queues, which Asynq writes only once a process.
		if err := q.redis.SAdd(ctx, "asynq:queues", name).Err(); err != nil {
			return false, unreachable(err)
		}
		return false, nil
	case err != nil:
		return false, unreachable(err)
	}
	switch info.State {
	case asynq.TaskStateArchived, asynq.TaskStateCompleted:
		err := q.inspector.DeleteTask(name, id)
		if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound) {
			return false, unreachable(err)
		}
		return false, ctx.Err()
	}
	return true, nil
}

// unreachable gives Redis's errors the kind that callers ask about. A write
// without an answer may have been done.
func unreachable(err error) error {
	return &failure{kind: tasks.ErrOutcomeUnknown, text: fmt.Sprintf("redis: %v; it is safe to submit again", err)}
}

func (q *queue) submitMany(ctx context.Context, requests []tasks.Request) ([]tasks.Accepting, error) {
	out := make([]tasks.Accepting, len(requests))
	var failed error
	for i, r := range requests {
		switch err := r.Validate(); {
		case err != nil:
			out[i].Err = &tasks.InvalidError{Err: err}
		case failed != nil:
			out[i].Err = failed
		default:
			out[i].Job, out[i].Err = q.submit(ctx, r)
			out[i].Created = out[i].Err == nil
			if errors.Is(out[i].Err, tasks.ErrOutcomeUnknown) {
				failed = out[i].Err // the rest would fail the same, each after its timeout
			}
		}
	}
	return out, failed
}
