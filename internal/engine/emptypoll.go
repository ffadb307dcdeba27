package engine

import (
	"context"
	"net"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// emptyPoll answers an idle worker's looks into empty queues without running Lua
// for them: on this engine a script costs some 300 µs, and an idle worker asks
// 150 times a second.
//
// Asynq's dequeue script takes the keys pending, paused, active and lease. It
// returns nil when pending is empty, whatever the others are. The script that
// forwards due tasks, and the one that runs all of a set, take a source set and
// pending, and return how many tasks they moved: none when the source is empty.
// So the answers are the same. Every other command goes through untouched.
type emptyPoll struct{ mini *miniredis.Miniredis }

func (emptyPoll) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h emptyPoll) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if pending, ok := dequeues(cmd.Args()); ok && !h.mini.Exists(pending) {
			cmd.SetErr(redis.Nil)
			return redis.Nil
		}
		if source, ok := forwards(cmd.Args()); ok && !h.mini.Exists(source) {
			if c, ok := cmd.(*redis.Cmd); ok {
				c.SetVal(int64(0))
				return nil
			}
		}
		return next(ctx, cmd)
	}
}

func (emptyPoll) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// dequeues recognises the dequeue script by its keys.
func dequeues(args []any) (pending string, ok bool) {
	return scriptOn(args, ":pending", ":paused", ":active", ":lease")
}

// forwards recognises the scripts that move tasks to pending.
func forwards(args []any) (source string, ok bool) {
	if source, ok = scriptOn(args, ":scheduled", ":pending"); ok {
		return source, true
	}
	return scriptOn(args, ":retry", ":pending")
}

// scriptOn reports whether args call a script on exactly the keys of one queue
// that end like that, and gives the first.
func scriptOn(args []any, suffixes ...string) (first string, ok bool) {
	if len(args) < 3+len(suffixes) || (args[0] != "evalsha" && args[0] != "eval") || args[2] != len(suffixes) {
		return "", false
	}
	for i, suffix := range suffixes {
		key, isText := args[3+i].(string)
		if !isText || !strings.HasPrefix(key, "asynq:{") || !strings.HasSuffix(key, suffix) {
			return "", false
		}
		if i == 0 {
			first = key
		}
	}
	return first, true
}
