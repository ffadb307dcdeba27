package mq

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
)

// Asynq keeps 10,000 archived tasks of a queue for 90 days and then drops the
// oldest, whatever they are. So before a message is archived, room is made: the
// oldest messages of other types go into a list of their own, and only when there
// are none left, the oldest evaluations into theirs. A relay of evalq on this Redis
// moves both lists into the quarantine.
const (
	archiveFull  = 7_500 // the others that are archived at the same moment fit in between
	archiveKept  = 5_000
	archivedFor  = 80 * 24 * time.Hour
	archiveChunk = 100
	// Without a relay the lists are bounded by these, each.
	overflowMost  = 10_000
	overflowBytes = 64 << 20
)

// overflow moves messages out of an archive: those that are too old, else the
// oldest of other types, else the oldest evaluations.
// KEYS: archived, the list of evaluations, that of others, the counts. ARGV: what
// the keys of tasks begin with, how many stay, the time before which a message is
// too old, how many to move, the bounds of a list in number and bytes.
var overflow = redis.NewScript(`
local function evaluation(id)
	local t = redis.call("HGET", ARGV[1] .. id, "` + redisconn.FieldType + `")
	if not t then
		local msg = redis.call("HGET", ARGV[1] .. id, "msg")
		if not msg or string.byte(msg, 1) ~= 10 then
			return false
		end
		t = string.sub(msg, 3, 2 + (string.byte(msg, 2) or 0))
	end
	return t == "` + string(MessageTypeEvaluationReport) + `" or t == "` + string(MessageTypeTopicEvaluation) + `"
end
local ids = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", ARGV[3], "LIMIT", 0, ARGV[4])
local over = math.min(redis.call("ZCARD", KEYS[1]) - tonumber(ARGV[2]), tonumber(ARGV[4]))
if #ids == 0 and over > 0 then
	for _, id in ipairs(redis.call("ZRANGE", KEYS[1], 0, -1)) do
		if not evaluation(id) then
			table.insert(ids, id)
			if #ids == over then
				break
			end
		end
	end
	if #ids == 0 then
		ids = redis.call("ZRANGE", KEYS[1], 0, over - 1)
	end
end
local evaluations, dropped = 0, 0
for _, id in ipairs(ids) do
	local list = KEYS[3]
	if evaluation(id) then
		list = KEYS[2]
		evaluations = evaluations + 1
	end
	local msg = redis.call("HGET", ARGV[1] .. id, "msg")
	redis.call("ZREM", KEYS[1], id)
	redis.call("DEL", ARGV[1] .. id)
	if msg then
		local bytes = tonumber(redis.call("HGET", KEYS[4], list) or "0")
		if redis.call("LLEN", list) >= tonumber(ARGV[5]) or bytes + #msg > tonumber(ARGV[6]) then
			dropped = dropped + 1
		else
			redis.call("RPUSH", list, msg)
			redis.call("HINCRBY", KEYS[4], list, #msg)
		end
	end
end
if dropped > 0 then
	redis.call("HINCRBY", KEYS[4], "` + redisconn.OverflowDropped + `", dropped)
	redis.call("HSET", KEYS[4], "` + redisconn.OverflowDroppedAt + `", ARGV[7])
end
return {#ids, evaluations, dropped}`)

// archive makes room in the archive of a queue, for one at a time in this process.
type archive struct {
	mu sync.Mutex
}

// makeRoom returns when a message may be archived without another one's being
// dropped.
func (a *archive) makeRoom(ctx context.Context, rdb *redis.Client, queue string, r rules) error {
	now := time.Now()
	if full, err := isFull(ctx, rdb, queue, now); err != nil || !full {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if full, err := isFull(ctx, rdb, queue, now); err != nil || !full {
		return err // another handler has made room
	}
	keys := []string{
		"asynq:{" + queue + "}:archived", redisconn.OverflowKey(queue, true), redisconn.OverflowKey(queue, false), redisconn.OverflowCount(queue),
	}
	old := strconv.FormatInt(now.Add(-archivedFor).Unix(), 10)
	var moved [3]int
	for {
		n, err := overflow.Run(ctx, rdb, keys, "asynq:{"+queue+"}:t:", archiveKept, old, archiveChunk, overflowMost, overflowBytes, now.Unix()).Int64Slice()
		if err != nil {
			return fmt.Errorf("make room in the archive of %s: %w", queue, err)
		}
		for i := range moved {
			moved[i] += int(n[i])
		}
		if n[0] == 0 {
			break
		}
	}
	r.log.Warn("the archive of messages was full; its oldest wait for the quarantine", "queue", queue, "messages", moved[0], "evaluations", moved[1])
	if moved[2] > 0 {
		r.log.Error("messages were dropped: no relay of evalq moves them from this Redis to the quarantine", "queue", queue, "messages", moved[2])
	}
	return nil
}

func isFull(ctx context.Context, rdb *redis.Client, queue string, now time.Time) (bool, error) {
	key := "asynq:{" + queue + "}:archived"
	var size, old *redis.IntCmd
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		size = p.ZCard(ctx, key)
		old = p.ZCount(ctx, key, "-inf", strconv.FormatInt(now.Add(-archivedFor).Unix(), 10))
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("count the archive of %s: %w", queue, err)
	}
	return size.Val() >= archiveFull || old.Val() > 0, nil
}
