package relay

import (
	"context"
	"encoding/json"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
	"evalq/tasks"
)

// A replica that takes over lacks what its primary had acknowledged last. Nothing
// shows that by itself: the epoch is the same.
func TestAFailoverThatLosesTheTailLosesNoJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.WithTCP())
	host, port, err := net.SplitHostPort(w.redis.Addr)
	w.must(err)
	replica := redistest.Start(t, redistest.WithTCP(), redistest.WithArgs("--replicaof", host, port))
	second := replica.Client(t)
	var addr atomic.Value
	addr.Store(w.redis.Addr)
	w.rdb = redis.NewClient(&redis.Options{ContextTimeoutEnabled: true, Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr.Load().(string))
	}})
	t.Cleanup(func() { w.rdb.Close() })
	every := brisk
	every.verify, every.age = 50*time.Millisecond, time.Millisecond
	w.run(every)

	kept := w.acceptMany(1, 1, 3)
	for _, id := range kept {
		w.eventually("the replica has it", func() bool {
			return second.Exists(t.Context(), "asynq:{default}:t:"+tasks.TaskID(id, 1)).Val() == 1
		})
	}
	w.must(second.SlaveOf(t.Context(), "NO", "ONE").Err())
	tail := w.acceptMany(1, 10, 3)
	for _, id := range tail {
		w.awaitTask(tasks.TaskID(id, 1), "pending")
	}
	addr.Store(replica.Addr)
	w.redis.Kill()
	if n := second.LLen(t.Context(), "asynq:{default}:pending").Val(); n != int64(len(kept)) {
		t.Fatalf("the replica has %d tasks: no tail was lost", n)
	}
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage("1"), nil })
	for _, id := range append(kept, tail...) {
		if got := w.await(id, tasks.Succeeded); got.Attempt != 1 {
			t.Errorf("job %s took %d attempts", id, got.Attempt)
		}
	}
}
