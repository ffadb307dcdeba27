package mq

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	lookEvery = time.Second
	// silentFor is how long a message in somebody's hands may go without a sign of
	// life. Asynq gives one every five seconds; by itself it waits for one to two
	// minutes.
	silentFor = 15 * time.Second
	// longestBlink is how long a lookout may not look and still know who is silent.
	longestBlink = 5 * time.Second
	// leaseFor is how long a sign of life lasts, as Asynq's do.
	leaseFor = 30 * time.Second
	// settledIn is how long Asynq may take to note the end of a message.
	settledIn = 3 * time.Second
)

// settle removes a message that was handled here. Asynq does not try again when
// Redis was away at its end, and others would take the message for an orphan.
// KEYS: active, lease, the task. ARGV: its id.
var settle = redis.NewScript(`
redis.call("ZREM", KEYS[2], ARGV[1])
if redis.call("LREM", KEYS[1], 0, ARGV[1]) > 0 then
	redis.call("DEL", KEYS[3])
end
return 1`)

// lookout watches over a queue for as long as somebody is subscribed: that Redis
// answers, that Asynq's inspectors find the queue also after a wipe, and that no
// message is in the hands of a process that has died, or whose connection broke as
// it was given the message. For the messages of this process that Asynq has lost
// sight of, because Redis was away, it gives the signs of life.
type lookout struct {
	rdb   *redis.Client
	name  string
	hands *hands
	log   *slog.Logger

	away, told, looked time.Time
	held               map[string]holding
}

// holding is a message in somebody's hands. Its score changes with each sign of
// life. It is not compared with a clock, which may be another one's.
type holding struct {
	score float64
	since time.Time
}

func (o *lookout) run(ctx context.Context) {
	for sleep(ctx, lookEvery) {
		err := o.look(ctx, time.Now())
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if o.away.IsZero() {
				o.away = time.Now()
			}
			if time.Since(o.told) >= lonelyEvery {
				o.told = time.Now()
				o.log.Error("the consumer cannot reach Redis and tries again", "queue", o.name, "err", err)
			}
			o.held = nil // nobody could give a sign of life
		case !o.away.IsZero():
			o.log.Info("the consumer has reached Redis again", "queue", o.name, "after", time.Since(o.away).Round(time.Millisecond))
			o.away, o.told = time.Time{}, time.Time{}
		}
	}
}

func (o *lookout) key(of string) string { return "asynq:{" + o.name + "}:" + of }

// look fails, and knows nothing of signs of life, while Redis does not answer.
func (o *lookout) look(ctx context.Context, now time.Time) error {
	if now.Sub(o.looked) > longestBlink {
		o.held = nil // whoever did not look, perhaps with all on this machine, has missed signs
	}
	o.looked = now
	if err := o.rdb.SAdd(ctx, "asynq:queues", o.name).Err(); err != nil {
		return err
	}
	leases, err := o.rdb.ZRangeWithScores(ctx, o.key("lease"), 0, -1).Result()
	if err != nil {
		return err
	}
	held := make(map[string]holding, len(leases))
	for _, l := range leases {
		id, _ := l.Member.(string)
		h, ok := o.held[id]
		if !ok || h.score != l.Score {
			h = holding{l.Score, now}
		}
		switch mine, done := o.hands.state(id); {
		case !done.IsZero() && now.Sub(done) > settledIn:
			if err := settle.Run(ctx, o.rdb, []string{o.key("active"), o.key("lease"), o.key("t:" + id)}, id).Err(); err != nil {
				return err
			}
			continue
		case mine && now.Sub(h.since) > silentFor/2:
			h = holding{float64(now.Add(leaseFor).Unix()), now}
			if err := o.rdb.ZAddXX(ctx, o.key("lease"), redis.Z{Member: id, Score: h.score}).Err(); err != nil {
				return err
			}
		}
		if now.Sub(h.since) >= silentFor {
			if err := o.release(ctx, id, h.score); err != nil {
				return err
			}
			continue
		}
		held[id] = h
	}
	o.held = held
	return nil
}

// giveUp puts a task back in front of its queue, unless there was a sign of life,
// and counts that. KEYS: active, lease, pending, the task. ARGV: its id, its score.
var giveUp = redis.NewScript(`
if tonumber(redis.call("ZSCORE", KEYS[2], ARGV[1]) or "-1") ~= tonumber(ARGV[2]) then
	return 0
end
redis.call("ZREM", KEYS[2], ARGV[1])
if redis.call("LREM", KEYS[1], 0, ARGV[1]) == 0 or redis.call("HEXISTS", KEYS[4], "msg") == 0 then
	return 0
end
local now = redis.call("TIME")
redis.call("HSET", KEYS[4], "state", "pending", "pending_since", now[1] .. string.format("%06d000", now[2]))
redis.call("HINCRBY", KEYS[4], "` + fieldLosses + `", 1)
redis.call("RPUSH", KEYS[3], ARGV[1])
return 1`)

func (o *lookout) release(ctx context.Context, id string, score float64) error {
	keys := []string{o.key("active"), o.key("lease"), o.key("pending"), o.key("t:" + id)}
	n, err := giveUp.Run(ctx, o.rdb, keys, id, score).Int()
	if n > 0 {
		o.log.Warn("a message whose process showed no life is given to another", "queue", o.name, "task_id", id)
	}
	return err
}
