package engine

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// idleWait is how long a look into an empty queue lasts while nothing arrives.
// It bounds what a shutdown waits for, three times over.
const idleWait = 100 * time.Millisecond

// emptyPoll answers an idle worker's looks into empty queues without running Lua
// for them: on this engine a script costs some 300 µs, and an idle worker asks
// 150 times a second. While all queues are empty the look lasts until something
// is pushed, so a task is taken the moment it arrives.
//
// Asynq's dequeue script takes the keys pending, paused, active and lease. It
// returns nil when pending is empty, whatever the others are. The script that
// forwards due tasks, and the one that runs all of a set, take a source set and
// pending, and return how many tasks they moved: none when the source is empty.
// So the answers are the same. Every other command goes through untouched.
//
// It relies on every push coming through this client, as on an engine without a
// port they all do.
type emptyPoll struct {
	mini *miniredis.Miniredis

	mu     sync.Mutex
	queues map[string]struct{} // the pending lists that workers look into
	pushed chan struct{}       // closed at the next push
}

func newEmptyPoll(m *miniredis.Miniredis) *emptyPoll {
	return &emptyPoll{mini: m, queues: map[string]struct{}{}, pushed: make(chan struct{})}
}

// wait blocks while all known queues are empty, idleWait at most.
func (h *emptyPoll) wait(ctx context.Context) {
	h.mu.Lock()
	known := slices.Collect(maps.Keys(h.queues))
	pushed := h.pushed // taken before the look, so that no push falls between
	h.mu.Unlock()
	for _, q := range known {
		if h.mini.Exists(q) {
			return
		}
	}
	t := time.NewTimer(idleWait)
	defer t.Stop()
	select {
	case <-pushed:
	case <-t.C:
	case <-ctx.Done():
	}
}

// know notes that workers look into a queue, empty or not: a queue that is never
// empty must keep them from waiting at another.
func (h *emptyPoll) know(pending string) {
	h.mu.Lock()
	h.queues[pending] = struct{}{}
	h.mu.Unlock()
}

func (h *emptyPoll) wake() {
	h.mu.Lock()
	close(h.pushed)
	h.pushed = make(chan struct{})
	h.mu.Unlock()
}

func (*emptyPoll) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *emptyPoll) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		pending, dequeue := dequeues(cmd.Args())
		if dequeue {
			h.know(pending)
		}
		if dequeue && !h.mini.Exists(pending) {
			if h.wait(ctx); !h.mini.Exists(pending) {
				cmd.SetErr(redis.Nil)
				return redis.Nil
			}
		}
		if source, ok := forwards(cmd.Args()); ok && !h.mini.Exists(source) {
			if c, ok := cmd.(*redis.Cmd); ok {
				c.SetVal(int64(0))
				return nil
			}
		}
		err := next(ctx, cmd)
		if !dequeue && mayPush(cmd.Args()) {
			h.wake()
		}
		return err
	}
}

func (*emptyPoll) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
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

// mayPush reports whether a command names a pending list, as everything does
// that pushes to one.
func mayPush(args []any) bool {
	for _, a := range args {
		if key, ok := a.(string); ok && strings.HasPrefix(key, "asynq:{") && strings.HasSuffix(key, ":pending") {
			return true
		}
	}
	return false
}
