package relay

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"evalq/tasks"
)

// tracesIn lists the keys of a queue that name a job's task.
func (w *world) tracesIn(p tasks.Priority, j tasks.Job) (out []string) {
	w.t.Helper()
	keys, err := w.rdb.Keys(w.t.Context(), "asynq:{"+string(p)+"}:t:"+j.ID+".*").Result()
	w.must(err)
	pending, err := w.rdb.LRange(w.t.Context(), "asynq:{"+string(p)+"}:pending", 0, -1).Result()
	w.must(err)
	for _, id := range pending {
		if strings.HasPrefix(id, j.ID) {
			out = append(out, "pending "+id)
		}
	}
	return append(out, keys...)
}

func TestAJobThatIsBroughtForwardLeavesItsOldQueueInAsynq(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payload := tasks.Custom{Name: kind, UserID: 7, ReportID: 42}
	j := w.request(tasks.Request{Payload: payload, Priority: tasks.Low})
	other := w.request(tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 7, ReportID: 43}, Priority: tasks.Low})
	stop := w.run(brisk)
	in := func(p tasks.Priority, j tasks.Job) bool { return len(w.tracesIn(p, j)) > 0 }
	w.eventually("jobs are in Asynq", func() bool { return in(tasks.Low, j) && in(tasks.Low, other) })
	stop()
	// Twice before the relay looks again: to default, then to critical.
	for _, p := range []tasks.Priority{tasks.Default, tasks.Critical} {
		if got := w.request(tasks.Request{Payload: payload, Priority: p}); got.ID != j.ID || got.Priority != p || len(got.Changed) != 1 {
			t.Fatalf("%+v", got)
		}
	}
	w.request(tasks.Request{Payload: other.Payload(), Priority: tasks.Critical})
	if _, err := w.ledger.Cancel(t.Context(), other.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	stop = w.run(brisk)
	w.eventually("old tasks are gone", func() bool { return !in(tasks.Low, j) && !in(tasks.Low, other) && in(tasks.Critical, j) })
	stop()
	if got := w.tracesIn(tasks.Critical, j); len(got) != 2 || in(tasks.Default, j) || in(tasks.Critical, other) {
		t.Fatalf("in critical: %v; in default: %v; of the cancelled one: %v", got, w.tracesIn(tasks.Default, j), w.tracesIn(tasks.Critical, other))
	}
}

func TestAJobThatIsBroughtForwardWhileItRunsIsTriedAgainInItsNewQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payload := tasks.Custom{Name: kind, UserID: 7, ReportID: 42}
	w.run(brisk)
	w.serve(func(_ context.Context, j tasks.Job) (json.RawMessage, error) {
		if j.Attempt > 1 {
			return json.RawMessage(`1`), nil
		}
		_, _, err := w.ledger.Accept(context.Background(), tasks.Request{Payload: payload, Priority: tasks.Critical}, "test")
		return nil, errors.Join(errors.New("not yet"), err)
	})
	j := w.request(tasks.Request{Payload: payload, Priority: tasks.Low})
	done := w.await(j.ID, tasks.Succeeded)
	if done.Priority != tasks.Critical || done.Delivery != 2 || done.Attempt != 2 || done.Charged != 1 {
		t.Fatalf("%+v", done)
	}
	w.eventually("task is done in the new queue", func() bool {
		info, err := w.insp.GetTaskInfo(string(tasks.Critical), done.TaskID())
		return err == nil && info.State.String() == "completed"
	})
	// A purge finds what is left of it in both queues.
	out, err := NewSweeper(w.ledger.Ledger, w.rdb, "").Purge(t.Context(), w.ledger.Now().AddDate(0, 0, 1), false)
	if err != nil || out.Jobs != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, p := range tasks.Priorities() {
		if got := w.tracesIn(p, done); len(got) != 0 {
			t.Errorf("left in %s: %v", p, got)
		}
	}
}
