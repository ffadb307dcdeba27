package relay

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"evalq/internal/asynqtest"
	"evalq/internal/engine"
	"evalq/internal/redistest"
	"evalq/tasks"
)

// TestAsynqLetsALateResultBlockATaskID: a result that is written when Redis has
// lost the task is a task without a message, which nobody removes.
func TestAsynqLetsALateResultBlockATaskID(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		started, wiped := make(chan struct{}), make(chan struct{})
		plain := asynqtest.Start(t, w.rdb, asynq.Config{}, func(_ context.Context, task *asynq.Task) error {
			close(started)
			<-wiped
			_, err := task.ResultWriter().Write([]byte("late"))
			return err
		})
		q := asynqtest.At(t, w.rdb, "default")
		id := q.Enqueue("paid", "", asynq.TaskID("once"))
		<-started
		w.must(w.rdb.FlushAll(t.Context()).Err())
		close(wiped)
		plain.Shutdown()
		_, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(asynq.NewTask("paid", nil), asynq.TaskID(id))
		if got := q.Traces(id); len(got) != 1 || got[0] != "hash" || !errors.Is(err, asynq.ErrTaskIDConflict) {
			t.Fatalf("it is in %v, and to enqueue it again says %v", got, err)
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q := asynqtest.At(t, w.rdb, "default")
		j := w.accept(1, 1)
		w.must(w.rdb.HSet(t.Context(), q.Key("t:"+j.TaskID()), "result", "late").Err())
		w.run(usual)
		w.serve(done)
		if got := w.await(j.ID, tasks.Succeeded); got.Delivery != 2 {
			t.Errorf("it succeeded at delivery %d", got.Delivery)
		}
		if found := q.Traces(j.TaskID()); len(found) > 0 {
			t.Errorf("the leftover is in %v", found)
		}
	})
	t.Run("the cure for a dead job", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q := asynqtest.At(t, w.rdb, "default")
		j := w.accept(1, 1)
		dead, err := w.ledger.Archive(t.Context(), j.ID, "op", "")
		w.must(err)
		w.must(w.rdb.HSet(t.Context(), q.Key("t:"+dead.TaskID()), "result", "late").Err())
		w.run(brisk)
		w.serve(done)
		q.AwaitState(dead.TaskID(), "archived")
	})
}

// TestAsynqHidesAQueueThatItFillsAfterAWipe: a client names a queue to the
// inspectors once in its life.
func TestAsynqHidesAQueueThatItFillsAfterAWipe(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := asynq.NewClientFromRedisClient(w.rdb)
		enqueue := func() string {
			info, err := c.Enqueue(asynq.NewTask("paid", nil))
			w.must(err)
			return info.ID
		}
		enqueue()
		w.must(w.rdb.FlushAll(t.Context()).Err())
		id := enqueue()
		queues, err := w.insp.Queues()
		w.must(err)
		if err := w.insp.RunTask("default", id); len(queues) != 0 || !errors.Is(err, asynq.ErrQueueNotFound) {
			t.Fatalf("the inspector sees %v and says %v", queues, err)
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.run(brisk)
		w.awaitTask(w.accept(1, 1).TaskID(), "pending")
		w.must(w.rdb.FlushAll(t.Context()).Err())
		w.awaitTask(w.accept(1, 2).TaskID(), "pending")
		w.eventually("inspector sees every queue", func() bool {
			queues, err := w.insp.Queues()
			w.must(err)
			return len(queues) == len(tasks.Priorities())
		})
	})
}

// TestAsynqCallsItsOwnEnqueueAConflictWhenTheReplyWasLost: the client of Redis
// asks again by itself.
func TestAsynqCallsItsOwnEnqueueAConflictWhenTheReplyWasLost(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := redistest.NewProxy(t, w.redis)
		lost := p.LoseReply("t:once", ":1\r\n")
		_, err := asynq.NewClientFromRedisClient(p.Client(t)).Enqueue(asynq.NewTask("paid", nil), asynq.TaskID("once"))
		p.Await(lost)
		if got := asynqtest.At(t, w.rdb, "default").State("once"); got != "pending" || !errors.Is(err, asynq.ErrTaskIDConflict) {
			t.Fatalf("the task is %q, and the call that enqueued it says %v", got, err)
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := redistest.NewProxy(t, w.redis)
		direct := w.rdb
		w.rdb = p.Client(t)
		j := w.accept(1, 1)
		lost := p.LoseReply(j.TaskID(), ":1\r\n")
		w.run(usual)
		p.Await(lost)
		w.rdb = direct
		w.serve(done)
		if got := w.await(j.ID, tasks.Succeeded); got.Delivery != 1 || got.Attempt != 1 {
			t.Errorf("it succeeded at delivery %d, attempt %d", got.Delivery, got.Attempt)
		}
	})
}

// TestAsynqOrphansATaskWhenTheReplyThatHandsItOutIsLost: it is active, and no
// worker knows of it.
func TestAsynqOrphansATaskWhenTheReplyThatHandsItOutIsLost(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := redistest.NewProxy(t, w.redis)
		q := asynqtest.At(t, w.rdb, "default")
		ran := make(chan string, 10)
		asynqtest.Start(t, p.Client(t), asynq.Config{}, func(ctx context.Context, _ *asynq.Task) error {
			id, _ := asynq.GetTaskID(ctx)
			ran <- id
			return nil
		})
		lost := p.LoseReply(":paused", "orphan")
		q.Enqueue("paid", "", asynq.TaskID("orphan"))
		p.Await(lost)
		next := q.Enqueue("paid", "")
		if got := <-ran; got != next {
			t.Fatalf("task %s ran", got)
		}
		if got := q.State("orphan"); got != "active" || time.Until(q.Lease("orphan")) < 10*time.Second {
			t.Fatalf("the task is %q, its lease ends at %s", got, q.Lease("orphan"))
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := redistest.NewProxy(t, w.redis)
		direct := w.rdb
		w.rdb = p.Client(t)
		w.serve(done)
		w.rdb = direct
		j := w.accept(1, 1)
		lost := p.LoseReply(":paused", j.TaskID())
		w.run(brisk)
		p.Await(lost)
		if got := w.await(j.ID, tasks.Succeeded); got.Delivery != 2 || got.Attempt != 1 || got.Charged != 0 {
			t.Errorf("it succeeded at delivery %d, attempt %d, %d charged", got.Delivery, got.Attempt, got.Charged)
		}
		q := asynqtest.At(t, w.rdb, "default")
		if found := q.Traces(j.TaskID()); len(found) > 0 {
			t.Errorf("the orphan is still in %v", found)
		}
	})
}

// TestTheEmbeddedEngineIsSweptToo: its scripts are not run by a Redis.
func TestTheEmbeddedEngineIsSweptToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, err := engine.OpenEmbedded(&engine.EmbeddedConfig{Logger: slog.New(w.log)})
	w.must(err)
	t.Cleanup(func() { w.must(e.Close()) })
	r, err := New(w.ledger.Ledger, e.Client(), &Config{Logger: slog.New(w.log)})
	w.must(err)
	q := asynqtest.At(t, e.Client(), "default")
	gone, bad, old := q.Enqueue("paid", ""), q.Enqueue("paid", ""), q.Enqueue("paid", "", asynq.ProcessIn(time.Hour))
	for _, id := range []string{gone, bad} {
		q.Take(id)
		q.Expire(id)
	}
	w.must(e.Client().Del(t.Context(), q.Key("t:"+gone)).Err())
	w.must(e.Client().HSet(t.Context(), q.Key("t:"+bad), "msg", unreadable).Err())
	w.must(asynq.NewInspectorFromRedisClient(e.Client()).ArchiveTask("default", old))
	w.must(r.sweepBroken(t.Context()))
	w.must(r.sweepArchived(t.Context()))
	w.must(r.trimArchives(t.Context()))
	n, err := r.trimArchive(t.Context(), tasks.Default, time.Now().Add(2*archivedFor))
	w.must(err)
	kept := len(w.quarantined())
	if n != 1 || kept != 3 || len(q.Traces(gone))+len(q.Traces(bad))+len(q.Traces(old)) != 0 {
		t.Errorf("%d trimmed, %d kept; left: %v %v %v", n, kept, q.Traces(gone), q.Traces(bad), q.Traces(old))
	}
}
