package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// work does once, on keys of its own, what Asynq's scripts do with the keys of a
// queue. Whatever refuses one of these commands is the answer, and nothing is left
// behind: no script is interrupted, and what it has made it removes also after a
// refusal.
var work = redis.NewScript(`
local hash, list, other, set, text = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local refused = false
local function try(command, ...)
	if not refused then
		local got = redis.pcall(command, ...)
		if type(got) == "table" and got.err then
			refused = redis.error_reply(got.err .. " (" .. command .. ")")
		end
	end
end
try("EXISTS", hash)
try("HSET", hash, "msg", "probe", "state", "pending")
try("EXPIRE", hash, 60)
try("LPUSH", list, "probe")
try("RPOPLPUSH", list, other)
try("ZADD", set, 1, "probe")
try("ZRANGEBYSCORE", set, "-inf", "+inf", "LIMIT", 0, 1)
try("HGET", hash, "msg")
try("HDEL", hash, "state")
try("LREM", other, 1, "probe")
try("ZREM", set, "probe")
try("INCR", text)
try("EXPIREAT", text, 4102444800)
local gone = redis.pcall("DEL", hash, list, other, set, text)
if not refused and type(gone) == "table" and gone.err then
	refused = gone
end
if refused then
	return refused
end
return redis.status_reply("OK")`)

// Probe does in Redis what evalq and Asynq do there, for each of some queues: a
// script that writes, on keys beside those of the queue and in their hash slot,
// which it removes, and a message on a channel. So whatever makes Redis refuse work
// is the error: no memory or disk, a replica, access rules, a key of Asynq's that
// holds something else ([WrongTypeError]). [Remedy] says what to
// do.
func Probe(ctx context.Context, rdb redis.UniversalClient, queues ...string) error {
	for _, q := range queues {
		keys := make([]string, 5)
		for i := range keys {
			keys[i] = fmt.Sprintf("asynq:{%s}:evalq-probe:%d", q, i)
		}
		if err := work.Run(ctx, rdb, keys).Err(); err != nil {
			return fmt.Errorf("redisconn: do what work in queue %s needs: %w", q, err)
		}
	}
	if err := rdb.Publish(ctx, "evalq:probe", "").Err(); err != nil {
		return fmt.Errorf("redisconn: publish: %w", err)
	}
	return checkTypes(ctx, rdb, queues)
}

// Remedy is what to do about an error of [Probe], empty where Redis does not say
// enough.
func Remedy(err error) string {
	var other *WrongTypeError
	if errors.As(err, &other) {
		return fmt.Sprintf("see who writes that key, and take it away: RENAME %q to another name, or DEL; jobs are delivered again from the ledger", other.Key)
	}
	var refusal redis.Error
	if err == nil || !errors.As(err, &refusal) {
		return ""
	}
	text := strings.ToUpper(refusal.Error())
	for _, r := range remedies {
		if strings.Contains(text, r.sign) {
			return r.do
		}
	}
	return ""
}

var remedies = []struct{ sign, do string }{
	{"OOM", "Redis has no memory left: raise it with CONFIG SET maxmemory, and the same in redis.conf; or lower --window and --retention; see who else uses this Redis"},
	{"APPEND", "Redis cannot write its append-only file: see its log and free its disk; it goes on by itself"},
	{"AOF", "Redis cannot write its append-only file: see its log and free its disk; it goes on by itself"},
	{"MISCONF", "Redis could not write its last snapshot and refuses writes: see its log and free its disk, then BGSAVE; to go on without snapshots meanwhile: CONFIG SET stop-writes-on-bgsave-error no"},
	{"NOREPLICAS", "Redis has fewer replicas than min-replicas-to-write asks for: bring them back, or lower it with CONFIG SET min-replicas-to-write"},
	{"NOPERM", "the access rules do not let this user do what evalq needs: allow it all keys, channels and commands: ACL SETUSER with ~* &* +@all"},
	{"CAN'T ACCESS", "the access rules do not let this user do what evalq needs: allow it all keys, channels and commands: ACL SETUSER with ~* &* +@all"},
	{"CAN'T RUN THIS COMMAND", "the access rules do not let this user do what evalq needs: allow it all keys, channels and commands: ACL SETUSER with ~* &* +@all"},
	{"NO PERMISSIONS", "the access rules do not let this user do what evalq needs: allow it all keys, channels and commands: ACL SETUSER with ~* &* +@all"},
	{"MASTERDOWN", "this Redis is a replica that has lost its master: name the master in --redis-url"},
	{"READONLY", "this Redis is a replica: name its master in --redis-url; or, when the master is lost, make it one: REPLICAOF NO ONE"},
	{"READ ONLY", "this Redis is a replica: name its master in --redis-url; or, when the master is lost, make it one: REPLICAOF NO ONE"},
	{"LOADING", "Redis is still reading its data from disk: wait until it is done"},
	{"BUSY", "a script of another program has run too long: SCRIPT KILL ends it"},
	{"UNKNOWN COMMAND", "a command that evalq needs is renamed or switched off: take its rename-command out of redis.conf"},
	{"NOT ALLOWED FROM SCRIPT", "a command that evalq needs is renamed or switched off: take its rename-command out of redis.conf"},
	{"UNKNOWN REDIS COMMAND", "a command that evalq needs is renamed or switched off: take its rename-command out of redis.conf"},
	{"MOVED", "this is a node of a Redis Cluster: name a Redis that stands alone in --redis-url"},
	{"CLUSTERDOWN", "this is a node of a Redis Cluster: name a Redis that stands alone in --redis-url"},
	{"NOAUTH", "Redis wants a password: put it into --redis-url"},
	{"PAUSED", "writes are paused: CLIENT UNPAUSE"},
}
