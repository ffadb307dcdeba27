package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/asynqtest"
	"evalq/tasks"
)

// archive fills the archive of a queue with n tasks that were archived long ago,
// a second apart, whose messages are copies of that of a task.
func archive(w *world, q asynqtest.Queue, n int, ago time.Duration, like string) {
	w.t.Helper()
	body, err := w.rdb.HGet(w.t.Context(), q.Key("t:"+like), "msg").Result()
	w.must(err)
	first := time.Now().Add(-ago)
	_, err = w.rdb.Pipelined(w.t.Context(), func(p redis.Pipeliner) error {
		for i := range n {
			id := fmt.Sprintf("old%d", i)
			p.ZAdd(w.t.Context(), q.Key("archived"), redis.Z{Score: float64(first.Unix() + int64(i)), Member: id})
			p.HSet(w.t.Context(), q.Key("t:"+id), "msg", body, "state", "archived")
		}
		return nil
	})
	w.must(err)
}

// stored counts the tasks of a queue that take room in Redis.
func (w *world) stored(q asynqtest.Queue) int {
	w.t.Helper()
	keys, err := w.rdb.Keys(w.t.Context(), strings.NewReplacer("{", "\\{", "}", "\\}").Replace(q.Key("t:"))+"*").Result()
	w.must(err)
	return len(keys)
}

func (w *world) archived(q asynqtest.Queue) int {
	w.t.Helper()
	n, err := w.rdb.ZCard(w.t.Context(), q.Key("archived")).Result()
	w.must(err)
	return int(n)
}

const hundredDays = 100 * 24 * time.Hour

// model makes a waiting task for archive to copy: a plain producer's.
func model(q asynqtest.Queue) string { return q.Enqueue("paid", "", asynq.ProcessIn(time.Hour)) }

// TestAsynqCannotArchiveATaskWhenThousandsOfArchivedOnesHaveExpired: its script
// fails half-way, each time.
func TestAsynqCannotArchiveATaskWhenThousandsOfArchivedOnesHaveExpired(t *testing.T) {
	t.Parallel()
	const expired = 9000
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q := asynqtest.At(t, w.rdb, "default")
		archive(w, q, expired, hundredDays, model(q))
		plain := asynqtest.Start(t, w.rdb, asynq.Config{}, func(context.Context, *asynq.Task) error { return asynq.SkipRetry })
		id := q.Enqueue("paid", "")
		plain.AwaitLog("Could not move task id=" + id)
		if q.State(id) != "active" || len(w.active()) != 0 || w.archived(q) != expired+1 {
			t.Fatalf("the task is %q in %v; %d are archived", q.State(id), q.Traces(id), w.archived(q))
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q := asynqtest.At(t, w.rdb, "default")
		j := w.accept(1, 1)
		w.must(w.relay(usual, Config{}).enqueue(t.Context(), j)) // so that the copies are of our own
		archive(w, q, expired, hundredDays, j.TaskID())
		w.run(usual)
		w.eventually("expired tasks are gone", func() bool { return w.archived(q) == 0 })
		w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
			return nil, tasks.NewError(tasks.ClassNotAssessable, errors.New("no"))
		})
		w.awaitTask(w.await(j.ID, tasks.Dead).TaskID(), "archived")
		if len(w.active()) != 0 || w.stored(q) != 1 {
			t.Errorf("%v are active, %d tasks are stored", w.active(), w.stored(q))
		}
		if kept := w.quarantined(); len(kept) != 0 {
			t.Errorf("%d were set aside that the ledger has", len(kept))
		}
	})
}

func (w *world) active() []string {
	w.t.Helper()
	ids, err := w.rdb.LRange(w.t.Context(), "asynq:{default}:active", 0, -1).Result()
	w.must(err)
	return ids
}

// TestAsynqForgetsToDeleteTheTasksThatAnInspectorTrimsFromAnArchive: they stay in
// Redis under no list.
func TestAsynqForgetsToDeleteTheTasksThatAnInspectorTrimsFromAnArchive(t *testing.T) {
	t.Parallel()
	t.Run("the defect", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q := asynqtest.At(t, w.rdb, "default")
		ids := []string{model(q), model(q), model(q)}
		archive(w, q, 9999, time.Hour, ids[0])
		for _, id := range ids {
			w.must(w.insp.ArchiveTask("default", id))
		}
		if w.archived(q) != 9999 || w.stored(q) != 9999+len(ids) {
			t.Fatalf("%d are archived, %d stored", w.archived(q), w.stored(q))
		}
	})
	t.Run("the cure", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		q := asynqtest.At(t, w.rdb, "default")
		j := w.accept(1, 1)
		w.must(w.relay(usual, Config{}).enqueue(t.Context(), j))
		archive(w, q, 9999, time.Hour, j.TaskID())
		w.run(usual)
		w.eventually("archive is within its size", func() bool { return w.archived(q) == keptArchived })
		ids := []string{model(q), model(q), model(q)}
		for _, id := range ids {
			w.must(w.insp.ArchiveTask("default", id))
		}
		if waiting := len(w.pending()); w.archived(q) != keptArchived+len(ids) || w.stored(q) != keptArchived+len(ids)+waiting {
			t.Fatalf("%d are archived, %d stored", w.archived(q), w.stored(q))
		}
		// The newest are kept.
		if got := q.State("old9998"); got != "archived" {
			t.Errorf("the newest is %q", got)
		}
	})
}

// TestATrimmedTaskThatNoLedgerHasIsKept: such as one that was set aside because
// it cannot be read, and is nowhere else.
func TestATrimmedTaskThatNoLedgerHasIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := asynqtest.At(t, w.rdb, "default")
	archive(w, q, 3, hundredDays, q.Enqueue("paid", "receipt", asynq.ProcessIn(time.Hour)))
	w.run(usual)
	w.eventually("old tasks are gone", func() bool { return w.archived(q) == 0 })
	kept := w.quarantined()
	if len(kept) != 3 {
		t.Fatalf("%d were kept", len(kept))
	}
	for _, k := range kept {
		if k.Reason != reasonTrimmed || !strings.Contains(string(w.bodyOf(k)), "receipt") {
			t.Errorf("kept %+v", k)
		}
	}
}

// TestATaskThatSomebodyElseArchivedIsDeliveredAgain: as a worker of another
// environment does with what it takes.
func TestATaskThatSomebodyElseArchivedIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	every := usual
	every.loss = 50 * time.Millisecond
	w.run(every)
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	w.must(w.insp.ArchiveTask("default", j.TaskID()))
	w.awaitTask(tasks.TaskID(j.ID, 2), "pending")
	if got := w.get(j.ID); got.State != tasks.Queued || got.Delivery != 2 {
		t.Errorf("the job is %s at delivery %d", got.State, got.Delivery)
	}
}
