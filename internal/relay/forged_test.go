package relay

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// forge puts a task of a job into Asynq under a number that no hand-over has made.
func (w *world) forge(j tasks.Job, number int) string {
	w.t.Helper()
	id := tasks.TaskID(j.ID, number)
	task := asynq.NewTaskWithHeaders(string(j.Kind), []byte(`{"user_id":7,"report_id":42}`), map[string]string{HeaderLedger: w.ledger.ID()})
	_, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(task, asynq.TaskID(id), asynq.MaxRetry(5))
	w.must(err)
	return id
}

func TestAForgedDeliveryIsSetAsideAndTheJobStaysWhatItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ran := make(chan struct{}, 9)
	w.run(brisk)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		ran <- struct{}{}
		return json.RawMessage(`1`), nil
	})
	j := w.request(tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 7, ReportID: 42}, RunAt: time.Now().Add(24 * time.Hour)})
	for _, number := range []int{math.MaxInt64, math.MaxInt64 - 1, tasks.MaxDelivery} {
		id := w.forge(j, number)
		w.eventually("forged task is archived", func() bool { return w.taskState(id) == "archived" })
	}
	if got := w.get(j.ID); got.State != tasks.Accepted || got.Delivery != 1 || len(ran) != 0 {
		t.Fatalf("%+v; it ran %d times", got, len(ran))
	}
	if kept, open, err := w.ledger.InQuarantine(t.Context(), false, 9); err != nil || open != 3 || kept[0].Reason == "" {
		t.Fatalf("%+v, %d open, %v", kept, open, err)
	}
	if _, err := w.ledger.Retry(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	if got := w.await(j.ID, tasks.Succeeded); got.Delivery != 1 {
		t.Fatalf("%+v", got)
	}
}

func TestATaskThatWasArchivedInTheFutureHidesNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.relay(brisk, Config{})
	r.leads = true
	w.must(w.rdb.ZAdd(t.Context(), "asynq:{default}:archived", redis.Z{Score: math.Inf(1), Member: "other"}).Err())
	w.must(r.sweepArchived(t.Context()))
	j := w.accept(7, 42)
	r.pass(t.Context())
	// Another program archives its task; a forged one of the same job does not hide it.
	w.must(w.insp.ArchiveTask("default", w.get(j.ID).TaskID()))
	w.must(w.rdb.ZAdd(t.Context(), "asynq:{default}:archived", redis.Z{Score: math.Inf(1), Member: tasks.TaskID(j.ID, 99)}).Err())
	w.must(r.sweepArchived(t.Context()))
	if got := w.get(j.ID); got.State != tasks.Accepted || got.Delivery != 2 {
		t.Fatalf("its task was archived and it is %+v", got)
	}
}
