package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"evalq/tasks"
	"evalq/worker"
)

func TestAtShutdownRunningJobsFinishAndTheRestIsHandedBackUncharged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.cfg.DrainTimeout = 300 * time.Millisecond
	started := make(chan int64, 2)
	finish := make(chan struct{})
	stop := w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		started <- job.ReportID
		if job.ReportID == 1 {
			<-finish
			return answer(1), nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	quick, slow := w.submit(1), w.submit(2)
	<-started
	<-started
	go close(finish)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if j, _ := w.ledger.Get(t.Context(), quick.ID); j.State != tasks.Succeeded {
		t.Fatalf("the job that could finish is %s", j.State)
	}
	j, _ := w.ledger.Get(t.Context(), slow.ID)
	if (j.State != tasks.Accepted && j.State != tasks.Queued) || j.Charged != 0 || j.Deaths != 0 || j.Delivery != 2 {
		t.Fatalf("the job that could not is %+v", j)
	}
}

func TestAPlainAsynqProducersTaskIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return answer("adopted"), nil })
	client := asynq.NewClientFromRedisClient(w.rdb)
	_, err := client.Enqueue(asynq.NewTask(string(kind), []byte(`{"user_id":7,"report_id":9223372036854775807}`)), asynq.Queue("critical"))
	if err != nil {
		t.Fatal(err)
	}
	var j tasks.Job
	eventually(t, "job is in the ledger and done", func() bool {
		j, err = w.ledger.Find(t.Context(), kind, 7, 9223372036854775807)
		return err == nil && j.State == tasks.Succeeded
	})
	if j.Priority != tasks.Critical || string(j.Result) != `"adopted"` {
		t.Fatalf("adopted as %+v", j)
	}
}

func TestATaskThatCannotBeReadIsSetAsideWithItsReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil })
	client, insp := asynq.NewClientFromRedisClient(w.rdb), asynq.NewInspectorFromRedisClient(w.rdb)
	for payload, reason := range map[string]string{
		`{"user_id":"7","report_id":1}`: "user_id", `{"user_id":1.5,"report_id":1}`: "user_id", `nonsense`: "JSON", `{"user_id":1}`: "report_id",
	} {
		info, err := client.Enqueue(asynq.NewTask(string(kind), []byte(payload)))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "task is archived", func() bool {
			got, err := insp.GetTaskInfo("default", info.ID)
			return err == nil && got.State == asynq.TaskStateArchived && strings.Contains(got.LastErr, reason)
		})
	}
}

func TestAnotherLedgersTaskIsNotBegun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var ran atomic.Bool
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { ran.Store(true); return answer(1), nil })
	task := asynq.NewTaskWithHeaders(string(kind), []byte(`{"user_id":7,"report_id":1}`), map[string]string{worker.HeaderLedger: "somebody"})
	info, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(task, asynq.TaskID(tasks.TaskID(tasks.NewID(time.Now()), 1)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "task is set aside", func() bool {
		got, err := asynq.NewInspectorFromRedisClient(w.rdb).GetTaskInfo("default", info.ID)
		return err == nil && got.State == asynq.TaskStateArchived
	})
	if _, err := w.ledger.Find(t.Context(), kind, 7, 1); !errors.Is(err, tasks.ErrNotFound) || ran.Load() {
		t.Fatalf("it was taken: ran %v, %v", ran.Load(), err)
	}
}

func TestATaskThatARestoredLedgerDoesNotKnowIsAdoptedUnlessItsDataIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	h := func(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil }
	w.cfg.Handlers[tasks.KindEvaluationReport] = h
	w.serve(h)
	header := map[string]string{worker.HeaderLedger: w.ledger.ID()}
	enqueue := func(k tasks.Kind) string {
		info, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(
			asynq.NewTaskWithHeaders(string(k), []byte(`{"user_id":7,"report_id":1}`), header), asynq.TaskID(tasks.TaskID(tasks.NewID(time.Now()), 3)))
		if err != nil {
			t.Fatal(err)
		}
		return info.ID
	}
	enqueue(tasks.KindEvaluationReport)
	eventually(t, "job is adopted and done", func() bool {
		j, err := w.ledger.Find(t.Context(), tasks.KindEvaluationReport, 7, 1)
		return err == nil && j.State == tasks.Succeeded
	})
	custom := enqueue(kind)
	eventually(t, "custom task is set aside", func() bool {
		got, err := asynq.NewInspectorFromRedisClient(w.rdb).GetTaskInfo("default", custom)
		return err == nil && got.State == asynq.TaskStateArchived && strings.Contains(got.LastErr, "submit it again")
	})
}

func TestAWipedRedisLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	gate := make(chan struct{})
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { <-gate; return answer(1), nil })
	var ids []string
	for i := int64(1); i <= 30; i++ {
		ids = append(ids, w.submit(i).ID)
	}
	eventually(t, "queue fills", func() bool { return w.rdb.LLen(t.Context(), "asynq:{default}:pending").Val() > 0 })
	if err := w.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	close(gate)
	for _, id := range ids {
		if j := w.await(id, tasks.Succeeded); j.Charged != 0 {
			t.Fatalf("job %s was charged %d", id, j.Charged)
		}
	}
	eventually(t, "queue is visible to operators again", func() bool {
		return w.rdb.SIsMember(t.Context(), "asynq:queues", "default").Val()
	})
}

func TestADeadJobIsNotRevivedByARedisWithOlderDataButByAnOperatorsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var calls atomic.Int32
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		if calls.Add(1) == 1 {
			return nil, tasks.NewError(tasks.ClassNotAssessable, errors.New("no"))
		}
		return answer(1), nil
	})
	j := w.await(w.submit(42).ID, tasks.Dead)
	w.awaitTask(j, asynq.TaskStateArchived)
	insp := asynq.NewInspectorFromRedisClient(w.rdb)
	// Redis comes back with the task as it was before it ran.
	if err := insp.DeleteTask("default", j.TaskID()); err != nil {
		t.Fatal(err)
	}
	task := asynq.NewTaskWithHeaders(string(kind), []byte(`{"user_id":7,"report_id":42}`), map[string]string{worker.HeaderLedger: w.ledger.ID()})
	if _, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(task, asynq.TaskID(j.TaskID())); err != nil {
		t.Fatal(err)
	}
	w.awaitTask(j, asynq.TaskStateArchived)
	w.await(j.ID, tasks.Dead)
	if calls.Load() != 1 {
		t.Fatal("the dead job ran again by itself")
	}
	// Or with the task as it was after an earlier failure, with the same count.
	key := "asynq:{default}:t:" + j.TaskID()
	raw, err := w.rdb.HGet(t.Context(), key, "msg").Bytes()
	if err != nil {
		t.Fatal(err)
	}
	// last_failed_at is field 11 of Asynq's message; a later value wins.
	older := append(raw, 0x58, 0x80, 0x94, 0xeb, 0xdc, 0x03) // 2001-09-09T01:46:40Z
	if err := w.rdb.HSet(t.Context(), key, "msg", older).Err(); err != nil {
		t.Fatal(err)
	}
	if err := insp.RunTask("default", j.TaskID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "older task is archived again", func() bool {
		info, err := insp.GetTaskInfo("default", j.TaskID())
		return err == nil && info.State == asynq.TaskStateArchived && info.LastFailedAt.Year() > 2001
	})
	if calls.Load() != 1 {
		t.Fatal("the dead job was revived by older data")
	}
	// An operator runs the archived task past our pages.
	if err := insp.RunTask("default", j.TaskID()); err != nil {
		t.Fatal(err)
	}
	if got := w.await(j.ID, tasks.Succeeded); got.Run != 2 {
		t.Fatalf("run %d", got.Run)
	}
}

func TestStopWaitsForTasksThatAreJustBeingBegun(t *testing.T) {
	t.Parallel()
	for i := range int64(8) {
		w := newWorld(t, nil)
		var running atomic.Int32
		stop := w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
			running.Add(1)
			defer running.Add(-1)
			return answer(1), nil
		})
		for r := range int64(40) {
			w.submit(1 + i*100 + r)
		}
		eventually(t, "first job runs", func() bool { o, _ := w.ledger.Overview(t.Context()); return o.Count(tasks.Succeeded) > 0 })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		o, err := w.ledger.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if running.Load() != 0 || o.Count(tasks.Running) != 0 {
			t.Fatalf("after Run %d handlers and %d attempts are running", running.Load(), o.Count(tasks.Running))
		}
	}
}

func TestAnAdoptedTaskThatAsynqBringsBackDoesNotReviveItsDeadJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var calls atomic.Int32
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		calls.Add(1)
		return nil, tasks.NewError(tasks.ClassNotAssessable, errors.New("no"))
	})
	enqueue := func(retried int) {
		t.Helper()
		info, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(asynq.NewTask(string(kind), []byte(`{"user_id":7,"report_id":42}`)), asynq.ProcessIn(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		key := "asynq:{default}:t:" + info.ID
		if retried > 0 {
			// What Asynq's recovery leaves: the same message with a higher count.
			raw, err := w.rdb.HGet(t.Context(), key, "msg").Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if err := w.rdb.HSet(t.Context(), key, "msg", append(raw, 0x30, byte(retried))).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := asynq.NewInspectorFromRedisClient(w.rdb).RunTask("default", info.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, "task is answered", func() bool { return w.rdb.Exists(t.Context(), key).Val() == 0 })
	}
	enqueue(0)
	eventually(t, "job is dead", func() bool {
		j, err := w.ledger.Find(t.Context(), kind, 7, 42)
		return err == nil && j.State == tasks.Dead
	})
	enqueue(1)
	if j, err := w.ledger.Find(t.Context(), kind, 7, 42); err != nil || j.State != tasks.Dead || j.Run != 1 || calls.Load() != 1 {
		t.Fatalf("the old wish revived it: %+v, %v", j, err)
	}
	enqueue(0) // a new wish does
	eventually(t, "job runs again", func() bool { return calls.Load() == 2 })
}
