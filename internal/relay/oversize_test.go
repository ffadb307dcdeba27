package relay

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

func TestATaskTooLargeToFetchIsSetAsideByIdAndTheOthersRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := strings.Repeat("x", redisconn.MaxTask+1)
	for _, id := range []string{"huge1", "huge2"} {
		w.must(w.rdb.HSet(t.Context(), "asynq:{default}:t:"+id, "msg", text, "state", "pending").Err())
		w.must(w.rdb.LPush(t.Context(), "asynq:{default}:pending", id).Err())
	}
	w.must(w.rdb.Set(t.Context(), "asynq:{default}:t:text", "no hash", 0).Err())
	w.must(w.rdb.LPush(t.Context(), "asynq:{default}:pending", "text").Err())
	w.must(w.rdb.HSet(t.Context(), "asynq:{default}:t:taken", "msg", text, "state", "active").Err())
	w.must(w.rdb.LPush(t.Context(), "asynq:{default}:active", "taken").Err())
	w.must(w.rdb.ZAdd(t.Context(), "asynq:{default}:lease", redis.Z{Member: "taken"}).Err())
	w.run(brisk)
	w.serve(done)
	for _, id := range w.acceptMany(1, 1, 3) {
		w.await(id, tasks.Succeeded)
	}
	w.eventually("all of them are in the quarantine", func() bool { return len(w.quarantined()) == 4 })
	for _, q := range w.quarantined() {
		if q.Queue != "default" || (q.Reason != reasonOversize) != (q.TaskID == "text") || q.Size != 0 {
			t.Errorf("%+v", q)
		}
	}
	w.eventually("nothing is left of them", func() bool {
		return w.rdb.Exists(t.Context(), "asynq:{default}:t:huge1", "asynq:{default}:t:huge2", "asynq:{default}:t:taken", "asynq:{default}:t:text", redisconn.OversizeKey("default")).Val() == 0
	})
}
