package redisconn

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Messages is what the queue of package mq holds, in numbers.
type Messages struct {
	Queue                               string
	Pending, Active, Scheduled, Retried int
	// Dead is how many messages are set aside.
	Dead      int
	Consumers []Consumer
	// Mark changes whenever a message is set aside or leaves.
	Mark string
}

// Consumer is a process that has subscribed.
type Consumer struct {
	ID, Host   string
	PID, Slots int
	Stopping   bool
	StartedAt  time.Time
}

// Used reports whether a program has ever used the queue.
func (m Messages) Used() bool {
	return len(m.Consumers) > 0 || m.Pending+m.Active+m.Scheduled+m.Retried+m.Dead > 0
}

// ReadMessages looks at a queue of package mq. It writes nothing, so a queue that
// was never used stays unknown to Asynqmon.
func ReadMessages(ctx context.Context, rdb redis.UniversalClient, queue string) (Messages, error) {
	m := Messages{Queue: queue}
	prefix := "asynq:{" + queue + "}:"
	var pending, active, scheduled, retried, dead *redis.IntCmd
	var newest *redis.ZSliceCmd
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		pending, active = p.LLen(ctx, prefix+"pending"), p.LLen(ctx, prefix+"active")
		scheduled, retried, dead = p.ZCard(ctx, prefix+"scheduled"), p.ZCard(ctx, prefix+"retry"), p.ZCard(ctx, prefix+"archived")
		newest = p.ZRevRangeWithScores(ctx, prefix+"archived", 0, 0)
		return nil
	})
	if err != nil {
		return m, fmt.Errorf("redisconn: look at the queue %s: %w", queue, err)
	}
	m.Pending, m.Active, m.Scheduled = int(pending.Val()), int(active.Val()), int(scheduled.Val())
	m.Retried, m.Dead = int(retried.Val()), int(dead.Val())
	m.Mark = strconv.Itoa(m.Dead)
	for _, z := range newest.Val() {
		m.Mark += fmt.Sprintf(" %v %v", z.Score, z.Member)
	}
	servers, err := asynq.NewInspectorFromRedisClient(boundedClient{rdb, ctx}).Servers()
	if err != nil {
		return m, fmt.Errorf("redisconn: look for consumers of the queue %s: %w", queue, err)
	}
	for _, s := range servers {
		if _, serves := s.Queues[queue]; serves {
			m.Consumers = append(m.Consumers, Consumer{
				ID: s.ID, Host: s.Host, PID: s.PID, Slots: s.Concurrency, Stopping: s.Status != "active", StartedAt: s.Started,
			})
		}
	}
	slices.SortFunc(m.Consumers, func(a, b Consumer) int { return strings.Compare(a.ID, b.ID) })
	return m, nil
}

// boundedClient ends with ctx what Asynq's inspector asks in its list of servers.
// The inspector passes no context.
type boundedClient struct {
	redis.UniversalClient
	ctx context.Context
}

func (b boundedClient) EvalSha(_ context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return b.UniversalClient.EvalSha(b.ctx, sha, keys, args...)
}

func (b boundedClient) Eval(_ context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return b.UniversalClient.Eval(b.ctx, script, keys, args...)
}

func (b boundedClient) Get(_ context.Context, key string) *redis.StringCmd {
	return b.UniversalClient.Get(b.ctx, key)
}

// HVals answers nothing: what servers are at work on has payloads in it.
func (b boundedClient) HVals(context.Context, string) *redis.StringSliceCmd {
	return redis.NewStringSliceCmd(b.ctx)
}

// countDead counts, of the messages that are set aside, those of the types in ARGV
// from the second on. A message that was archived by hand has no field for its type;
// its type stands at the beginning of Asynq's own message.
var countDead = redis.NewScript(`
local types, n = {}, 0
for i = 2, #ARGV do
	types[ARGV[i]] = true
end
for _, id in ipairs(redis.call("ZRANGE", KEYS[1], 0, -1)) do
	local t = redis.call("HGET", ARGV[1] .. id, "` + FieldType + `")
	if not t then
		local msg = redis.call("HGET", ARGV[1] .. id, "msg")
		if msg and string.byte(msg, 1) == 10 then
			t = string.sub(msg, 3, 2 + (string.byte(msg, 2) or 0))
		end
	end
	if t and types[t] then
		n = n + 1
	end
end
return n`)

// CountDead counts the messages of some types that are set aside in a queue of
// package mq. It reads the whole archive: remember the answer while Mark stays.
func CountDead(ctx context.Context, rdb redis.UniversalClient, queue string, types ...string) (int, error) {
	args := []any{"asynq:{" + queue + "}:t:"}
	for _, t := range types {
		args = append(args, t)
	}
	n, err := countDead.Run(ctx, rdb, []string{"asynq:{" + queue + "}:archived"}, args...).Int()
	if err != nil {
		return 0, fmt.Errorf("redisconn: count what is set aside in the queue %s: %w", queue, err)
	}
	return n, nil
}
