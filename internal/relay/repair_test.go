package relay

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"evalq/internal/redistest"
	"evalq/tasks"
)

func TestAListThatRedisLostIsFoundThoughItsTasksAreThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	every := brisk
	every.verify, every.age = 50*time.Millisecond, time.Millisecond
	w.run(every)
	ids := w.acceptMany(1, 1, 3)
	for _, id := range ids {
		w.awaitTask(tasks.TaskID(id, 1), "pending")
	}
	w.must(w.rdb.Del(t.Context(), "asynq:{default}:pending").Err())
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage("1"), nil })
	for _, id := range ids {
		w.await(id, tasks.Succeeded)
	}
}

func TestAWipeDoesNotHideDeadJobsFromOperators(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		return nil, tasks.NewError(tasks.ClassNotAssessable, nil)
	})
	j := w.accept(1, 1)
	w.await(j.ID, tasks.Dead)
	w.awaitTask(j.TaskID(), "archived")
	w.must(w.rdb.FlushAll(t.Context()).Err())
	w.awaitTask(j.TaskID(), "archived")
	if got := w.get(j.ID); got.State != tasks.Dead || got.Attempt != 1 || got.Run != 1 {
		t.Fatalf("showing it made it %+v", got)
	}
}

func TestADeletedQueueIsVisibleAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	w.must(w.rdb.SRem(t.Context(), "asynq:queues", "default").Err())
	w.eventually("queue is visible", func() bool { return w.rdb.SIsMember(t.Context(), "asynq:queues", "default").Val() })
}

func TestABusyQueueDoesNotKeepTheOthersWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.relay(brisk, Config{Window: 100_000})
	// Far more than one turn can hand out, each from a user of its own.
	var requests []tasks.Request
	for i := range int64(3000) {
		requests = append(requests, tasks.Request{Payload: tasks.EvaluationReport{UserID: i + 1, ReportID: i + 1}, Priority: tasks.Critical})
	}
	for _, a := range w.ledger.AcceptMany(t.Context(), requests, "test") {
		w.must(a.Err)
	}
	low := w.request(tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 99_999}, Priority: tasks.Low})
	o, err := w.ledger.Look(t.Context())
	w.must(err)
	began := time.Now()
	w.must(r.fillAll(t.Context(), o))
	if took := time.Since(began); took > 30*turn {
		t.Errorf("a turn took %s", took)
	}
	if got := w.get(low.ID); got.State != tasks.Queued {
		t.Fatalf("after a turn the job of the other queue is %s", got.State)
	}
	select {
	case <-w.ledger.Changed():
	default:
		t.Fatal("the relay did not wake itself for the rest")
	}
}

func TestWhatACrashOfRedisLostIsDeliveredAgainAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.WithAOF())
	every := brisk
	every.verify = time.Hour
	w.run(every)
	ids := w.acceptMany(1, 1, 3)
	for _, id := range ids {
		w.awaitTask(tasks.TaskID(id, 1), "pending")
	}
	// The epoch is there, the last task is not: as after a crash between two
	// writes to disk.
	w.must(w.insp.DeleteTask("default", tasks.TaskID(ids[2], 1)))
	w.must(w.rdb.ConfigSet(t.Context(), "appendfsync", "always").Err())
	w.must(w.rdb.Set(t.Context(), "synced", 1, 0).Err())
	w.redis.Kill()
	w.redis.Restart()
	w.awaitTask(tasks.TaskID(ids[2], 1), "pending")
}
