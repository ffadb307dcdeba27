package relay

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// A process whose clock stood an hour ahead when it put a task among those to be
// retried left it an hour away for all the others.
func TestATaskThatAWrongClockPutAnHourAwayRunsWhenTheLedgerSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	every := brisk
	every.verify, every.age = 50*time.Millisecond, time.Millisecond
	w.run(every)
	var tries atomic.Int32
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		if tries.Add(1) == 1 {
			return nil, tasks.NewError(tasks.ClassRateLimited, &tasks.Error{After: 3 * time.Second, Err: errors.New("429")})
		}
		return json.RawMessage("1"), nil
	})
	j := w.accept(1, 1)
	w.await(j.ID, tasks.Retrying)
	w.awaitTask(j.TaskID(), "retry")
	hour := float64(time.Now().Add(time.Hour).Unix())
	w.must(w.rdb.ZAddXX(t.Context(), "asynq:{default}:retry", redis.Z{Score: hour, Member: j.TaskID()}).Err())
	if got := w.await(j.ID, tasks.Succeeded); got.Delivery == j.Delivery || got.Charged != 0 {
		t.Fatalf("it went on as %+v", got)
	}
}
