package asynqtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Queue is where Asynq keeps one queue in Redis.
type Queue struct {
	tb   testing.TB
	rdb  redis.UniversalClient
	name string
}

// At looks at a queue.
func At(tb testing.TB, rdb redis.UniversalClient, name string) Queue { return Queue{tb, rdb, name} }

// Key names a key of the queue: "pending", "lease", or "t:" with a task's id.
func (q Queue) Key(name string) string { return "asynq:{" + q.name + "}:" + name }

// Enqueue puts a task in and gives its id.
func (q Queue) Enqueue(kind string, payload string, options ...asynq.Option) string {
	q.tb.Helper()
	info, err := asynq.NewClientFromRedisClient(q.rdb).Enqueue(asynq.NewTask(kind, []byte(payload)), append(options, asynq.Queue(q.name))...)
	if err != nil {
		q.tb.Fatalf("asynqtest: enqueue: %v", err)
	}
	return info.ID
}

// State is what Asynq has noted of a task, empty when it has no such task.
func (q Queue) State(id string) string {
	q.tb.Helper()
	s, err := q.rdb.HGet(q.tb.Context(), q.Key("t:"+id), "state").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		q.tb.Fatalf("asynqtest: read state: %v", err)
	}
	return s
}

// AwaitState waits until Asynq has noted that state.
func (q Queue) AwaitState(id, want string) {
	q.tb.Helper()
	Eventually(q.tb, "task "+id+" is "+want, func() bool { return q.State(id) == want })
}

// Lease is when the lease of an active task ends; zero without one.
func (q Queue) Lease(id string) time.Time {
	q.tb.Helper()
	score, err := q.rdb.ZScore(q.tb.Context(), q.Key("lease"), id).Result()
	if errors.Is(err, redis.Nil) {
		return time.Time{}
	}
	if err != nil {
		q.tb.Fatalf("asynqtest: read lease: %v", err)
	}
	return time.Unix(int64(score), 0)
}

// Expire moves the end of a task's lease an hour back, as if that time had
// passed. Asynq looks for such tasks when a server starts, then each minute.
func (q Queue) Expire(id string) {
	q.tb.Helper()
	ago := float64(time.Now().Add(-time.Hour).Unix())
	if err := q.rdb.ZAdd(q.tb.Context(), q.Key("lease"), redis.Z{Score: ago, Member: id}).Err(); err != nil {
		q.tb.Fatalf("asynqtest: expire lease: %v", err)
	}
}

// Take moves a waiting task to the active ones, as Asynq does for a server that
// takes it, which then dies: nobody has it, and its lease is the usual one.
func (q Queue) Take(id string) {
	q.tb.Helper()
	_, err := q.rdb.TxPipelined(q.tb.Context(), func(p redis.Pipeliner) error {
		ctx := q.tb.Context()
		p.LRem(ctx, q.Key("pending"), 1, id)
		p.LPush(ctx, q.Key("active"), id)
		p.HSet(ctx, q.Key("t:"+id), "state", "active")
		p.HDel(ctx, q.Key("t:"+id), "pending_since")
		p.ZAdd(ctx, q.Key("lease"), redis.Z{Score: float64(time.Now().Add(30 * time.Second).Unix()), Member: id})
		return nil
	})
	if err != nil {
		q.tb.Fatalf("asynqtest: take: %v", err)
	}
}

// Traces lists the keys of the queue that know the task.
func (q Queue) Traces(id string) (found []string) {
	q.tb.Helper()
	ctx := q.tb.Context()
	for _, list := range []string{"pending", "active"} {
		ids, err := q.rdb.LRange(ctx, q.Key(list), 0, -1).Result()
		if err != nil {
			q.tb.Fatalf("asynqtest: read %s: %v", list, err)
		}
		if slices.Contains(ids, id) {
			found = append(found, list)
		}
	}
	for _, set := range []string{"lease", "retry", "scheduled", "archived", "completed"} {
		if err := q.rdb.ZScore(ctx, q.Key(set), id).Err(); err == nil {
			found = append(found, set)
		}
	}
	if q.rdb.Exists(ctx, q.Key("t:"+id)).Val() > 0 {
		found = append(found, "hash")
	}
	return found
}
