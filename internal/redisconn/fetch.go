package redisconn

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// MaxTask is the largest message of a task that a worker fetches, in bytes. One that
// takes longer than the client waits for an answer would be fetched, and lost on the
// way, again and again, and everything behind it would wait. It is above what package
// mq takes.
const MaxTask = 9 << 20

// OversizeKey is the sorted set with the ids of the tasks of a queue that were taken
// out of its way because of [MaxTask]. A relay moves them to the quarantine.
func OversizeKey(queue string) string { return "asynq:{" + queue + "}:evalq-oversize" }

// aside stands before Asynq's own script that fetches a task, with its keys: the
// pending list, whether the queue is paused, and others. It takes oversize tasks, and
// keys that are no task at all (with the size -1), out by id, a hundred at a time, and
// reads no message.
const aside = `
if redis.call("EXISTS", KEYS[2]) == 0 then
	for _ = 1, 100 do
		local id = redis.call("LINDEX", KEYS[1], -1)
		if not id then
			break
		end
		local size = redis.pcall("HSTRLEN", ARGV[2] .. id, "msg")
		if type(size) ~= "number" then
			size = -1
		elseif size <= @MAX@ then
			break
		else
			redis.call("HSET", ARGV[2] .. id, "state", "archived")
		end
		redis.call("RPOP", KEYS[1])
		redis.call("ZADD", string.sub(KEYS[1], 1, -8) .. "evalq-oversize", size, id)
	end
end
`

// noScript makes Asynq send the text of its script.
type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT the text is needed once" }
func (noScript) RedisError()   {}

// fetchSha runs Asynq's fetch once its text is known.
func (c *patient) fetchSha(ctx context.Context, keys []string, args []any) *redis.Cmd {
	if c.fetch == nil {
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(noScript{})
		return cmd
	}
	cmd := c.fetch.Run(ctx, c.UniversalClient, keys, args...)
	c.bear(cmd.Err())
	return cmd
}

// fetchText learns the text.
func (c *patient) fetchText(ctx context.Context, script string, keys []string, args []any) *redis.Cmd {
	c.fetch = redis.NewScript(prelude + script)
	return c.fetchSha(ctx, keys, args)
}

var prelude = strings.ReplaceAll(aside, "@MAX@", strconv.Itoa(MaxTask))
