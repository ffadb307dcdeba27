package relay

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"evalq/internal/asynqtest"
	"evalq/tasks"
)

func done(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage("1"), nil }

// awaitRecovery starts a plain server and waits until it has looked for leases
// that have ended: a task of that kind is there for it to find.
func awaitRecovery(t *testing.T, q asynqtest.Queue, w *world) {
	t.Helper()
	marker := q.Enqueue("marker", "")
	q.Take(marker)
	q.Expire(marker)
	ran := make(chan struct{}, 10)
	asynqtest.Start(t, w.rdb, asynq.Config{}, func(context.Context, *asynq.Task) error { ran <- struct{}{}; return nil })
	select {
	case <-ran:
	case <-time.After(30 * time.Second):
		t.Fatal("in 30 s nothing was recovered")
	}
}

// TestAsynqKeepsATaskWithoutItsMessageActiveForEver: a key that was evicted or
// deleted leaves the task's name in its list.
func TestAsynqKeepsATaskWithoutItsMessageActiveForEver(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q := asynqtest.At(t, w.rdb, "default")
		id := q.Enqueue("paid", "")
		w.must(w.rdb.Del(t.Context(), q.Key("t:"+id)).Err())
		plain := asynqtest.Start(t, w.rdb, asynq.Config{}, func(context.Context, *asynq.Task) error { return nil })
		q.AwaitState(id, "active")
		plain.Shutdown()
		q.Expire(id)
		awaitRecovery(t, q, w)
		if got := q.Traces(id); !slices.Equal(got, []string{"active", "lease", "hash"}) {
			t.Fatalf("after a recovery it is in %v", got)
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q := asynqtest.At(t, w.rdb, "default")
		stop := w.run(brisk)
		j := w.accept(1, 1)
		w.awaitTask(j.TaskID(), "pending")
		stop()
		foreign := q.Enqueue("paid", "", asynq.TaskID("foreign"))
		w.must(w.rdb.Del(t.Context(), q.Key("t:"+j.TaskID()), q.Key("t:"+foreign)).Err())
		w.serve(done)
		q.AwaitState(j.TaskID(), "active")
		q.AwaitState(foreign, "active")
		w.run(brisk)
		if got := w.await(j.ID, tasks.Succeeded); got.Delivery != 2 || got.Charged != 0 {
			t.Errorf("it succeeded at delivery %d, %d charged", got.Delivery, got.Charged)
		}
		w.eventually("remnants are gone", func() bool { return len(q.Traces(j.TaskID())) == 0 && len(q.Traces(foreign)) == 0 })
		kept := w.quarantined()
		if len(kept) != 1 || kept[0].TaskID != foreign || kept[0].Reason != reasonGone {
			t.Errorf("set aside: %+v", kept)
		}
	})
}

// TestATaskThatLosesItsMessageWhileItWaitsIsInItsListOnce: twice would be two
// arrivals.
func TestATaskThatLosesItsMessageWhileItWaitsIsInItsListOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := asynqtest.At(t, w.rdb, "default")
	w.run(brisk)
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	w.must(w.rdb.Del(t.Context(), q.Key("t:"+j.TaskID())).Err())
	w.awaitTask(j.TaskID(), "pending")
	if got := w.pending(); len(got) != 1 {
		t.Errorf("waiting: %v", got)
	}
}

// quarantined reads what was kept in the ledger.
func (w *world) quarantined() []tasks.Quarantined {
	w.t.Helper()
	kept, _, err := w.ledger.InQuarantine(w.t.Context(), false, 100)
	w.must(err)
	return kept
}

func (w *world) bodyOf(q tasks.Quarantined) []byte {
	w.t.Helper()
	_, body, err := w.ledger.QuarantinedBody(w.t.Context(), q.ID)
	w.must(err)
	return body
}

// unreadable is no message of any version.
const unreadable = "\xff\xff\xff"

// poison enqueues a task whose message cannot be read and lets a worker take it.
func poison(w *world, q asynqtest.Queue) (id string) {
	w.t.Helper()
	id = q.Enqueue("paid", "")
	w.must(w.rdb.HSet(w.t.Context(), q.Key("t:"+id), "msg", unreadable).Err())
	plain := asynqtest.Start(w.t, w.rdb, asynq.Config{}, func(context.Context, *asynq.Task) error { return nil })
	plain.AwaitLog("cannot decode message")
	plain.Shutdown()
	q.Expire(id)
	return id
}

// TestAsynqRecoversNothingWhileOneMessageCannotBeRead: of no queue.
func TestAsynqRecoversNothingWhileOneMessageCannotBeRead(t *testing.T) {
	t.Parallel()
	payload := `{"user_id":7,"report_id":1}`
	// lost is a task of another queue whose worker was killed long ago.
	lose := func(q asynqtest.Queue) string {
		id := q.Enqueue(string(kind), payload)
		q.Take(id)
		q.Expire(id)
		return id
	}
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		poison(w, asynqtest.At(t, w.rdb, "default"))
		low := asynqtest.At(t, w.rdb, "low")
		lost := lose(low)
		plain := asynqtest.Start(t, w.rdb, asynq.Config{Queues: map[string]int{"default": 1, "low": 1}}, func(context.Context, *asynq.Task) error { return nil })
		plain.AwaitLog("could not list lease expired tasks")
		if got := low.State(lost); got != "active" {
			t.Fatalf("the other task is %q", got)
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q, low := asynqtest.At(t, w.rdb, "default"), asynqtest.At(t, w.rdb, "low")
		bad := poison(w, q)
		lost := lose(low)
		r := w.relay(brisk, Config{})
		w.background(r.Run)
		w.eventually("unreadable task is gone", func() bool { return len(q.Traces(bad)) == 0 })
		w.serve(done) // its Asynq looks for leases that have ended
		low.AwaitState(lost, "retry")
		w.must(w.insp.RunTask("low", lost))
		w.eventually("other task is adopted and done", func() bool {
			j, err := w.ledger.Find(t.Context(), kind, 7, 1)
			return err == nil && j.State == tasks.Succeeded
		})
		if got := low.Traces(lost); len(got) > 0 {
			t.Errorf("the other task is still in %v", got)
		}
		kept := w.quarantined()
		if len(kept) != 1 || kept[0].TaskID != bad || kept[0].Queue != "default" || kept[0].Reason != reasonUnreadable || string(w.bodyOf(kept[0])) != unreadable {
			t.Errorf("set aside: %+v", kept)
		}
	})
	t.Run("the cure for a job of ours", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.run(brisk)
		j := w.accept(1, 1)
		w.awaitTask(j.TaskID(), "pending")
		q := asynqtest.At(t, w.rdb, "default")
		w.must(w.rdb.HSet(t.Context(), q.Key("t:"+j.TaskID()), "msg", unreadable).Err())
		w.serve(done)
		if got := w.await(j.ID, tasks.Succeeded); got.Delivery != 2 {
			t.Errorf("it succeeded at delivery %d", got.Delivery)
		}
		w.eventually("unreadable task is gone", func() bool { return len(q.Traces(j.TaskID())) == 0 })
		if kept := w.quarantined(); len(kept) != 1 || kept[0].Reason != reasonUnreadable {
			t.Errorf("set aside: %+v", kept)
		}
	})
}

// TestATaskWhoseMessageIsThatOfAnotherIsSetAside: Asynq would look for it under
// the other's name for ever.
func TestATaskWhoseMessageIsThatOfAnotherIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := asynqtest.At(t, w.rdb, "default")
	other := q.Enqueue("paid", "", asynq.ProcessIn(time.Hour))
	id := q.Enqueue("paid", "")
	body, err := w.rdb.HGet(t.Context(), q.Key("t:"+other), "msg").Result()
	w.must(err)
	w.must(w.rdb.HSet(t.Context(), q.Key("t:"+id), "msg", body).Err())
	q.Take(id)
	q.Expire(id)
	w.run(brisk)
	w.eventually("task is gone", func() bool { return len(q.Traces(id)) == 0 })
	if kept := w.quarantined(); len(kept) != 1 || kept[0].Reason != reasonAnother {
		t.Errorf("set aside: %+v", kept)
	}
	if got := q.State(other); got != "scheduled" {
		t.Errorf("the other is %q", got)
	}
}

// TestWhatAWorkerHoldsIsNotSetAside: the sweep looks at every lease here.
func TestWhatAWorkerHoldsIsNotSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	started, finish := make(chan struct{}, 10), make(chan struct{})
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		started <- struct{}{}
		<-finish
		return json.RawMessage("1"), nil
	})
	ids := w.acceptMany(1, 1, 4)
	for range ids {
		<-started
	}
	r := w.relay(brisk, Config{})
	r.every.begin = -time.Hour
	for range 3 {
		w.must(r.sweepBroken(t.Context()))
	}
	close(finish)
	for _, id := range ids {
		if got := w.await(id, tasks.Succeeded); got.Delivery != 1 || got.Attempt != 1 {
			t.Errorf("delivery %d, attempt %d", got.Delivery, got.Attempt)
		}
	}
	if kept := w.quarantined(); len(kept) > 0 {
		t.Errorf("set aside: %+v", kept)
	}
}
