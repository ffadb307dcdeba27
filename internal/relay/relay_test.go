package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"evalq/internal/redistest"
	"evalq/tasks"
)

func TestNewNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := New(w.ledger.Ledger, w.rdb, nil); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for want, make := range map[string]func() (*Relay, error){
		"Window":   func() (*Relay, error) { return New(w.ledger.Ledger, w.rdb, &Config{Window: -1}) },
		"Finished": func() (*Relay, error) { return New(w.ledger.Ledger, w.rdb, &Config{Finished: -1}) },
		"History":  func() (*Relay, error) { return New(w.ledger.Ledger, w.rdb, &Config{History: -1}) },
		"ledger":   func() (*Relay, error) { return New(nil, w.rdb, nil) },
		"Redis":    func() (*Relay, error) { return New(w.ledger.Ledger, nil, nil) },
	} {
		if _, err := make(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestAnAcceptedJobReachesAsynqWithItsIdsAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(usual)
	j := w.request(tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 9007199254740993, ReportID: 9223372036854775807, Data: json.RawMessage(`"s3cr3t"`)}, Priority: tasks.Low})
	w.await(j.ID, tasks.Queued)
	w.eventually("task is in the queue of its priority", func() bool {
		info, err := w.insp.GetTaskInfo("low", j.TaskID())
		return err == nil && info.Type == string(kind) && string(info.Payload) == `{"user_id":9007199254740993,"report_id":9223372036854775807}` && info.Headers[HeaderLedger] == w.ledger.ID()
	})
}

func TestJobsAcceptedWhileRedisIsDownFlowWhenItIsBack(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]struct{ begin, end func(*world) }{
		"gone": {func(w *world) { w.redis.Stop() }, func(w *world) { w.redis.Restart() }},
		"full": { // answers every read, refuses every write
			func(w *world) { w.must(w.rdb.ConfigSet(w.t.Context(), "maxmemory", "1").Err()) },
			func(w *world) { w.must(w.rdb.ConfigSet(w.t.Context(), "maxmemory", "0").Err()) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(brisk)
			before := w.accept(1, 1)
			w.awaitTask(before.TaskID(), "pending")
			outage.begin(w)
			ids := append(w.acceptMany(2, 100, 5), w.acceptMany(3, 200, 5)...)
			// The wait between two tries doubles: five take about 3 s.
			w.eventually("relay has tried five times", func() bool { return w.log.count("relay duty failed") >= 5 })
			for _, id := range ids {
				if n := w.moves(id, tasks.Queued); n > 2 {
					t.Errorf("while Redis is %s, job %s was handed out %d times in vain", name, id, n)
				}
			}
			outage.end(w)
			for _, id := range ids {
				j := w.await(id, tasks.Queued)
				w.awaitTask(j.TaskID(), "pending")
				if n := w.moves(id, tasks.Queued); n > 3 {
					t.Errorf("job %s was handed out %d times", id, n)
				}
			}
		})
	}
}

func TestAnArchivedLeftoverOfTheSameTaskIsReplacedUnderANewNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j := w.accept(1, 1)
	w.must(w.relay(usual, Config{}).enqueue(t.Context(), j))
	w.must(w.insp.ArchiveTask("default", j.TaskID()))
	w.run(usual)
	w.eventually("job is delivered again", func() bool { return w.get(j.ID).Delivery == 2 })
	w.awaitTask(tasks.TaskID(j.ID, 2), "pending")
	if found := w.traces(j.TaskID()); len(found) > 0 {
		t.Errorf("the leftover is still in %v", found)
	}
}

func TestATaskDeletedBehindOurBackIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	w.must(w.insp.DeleteTask("default", j.TaskID()))
	w.awaitTask(j.TaskID(), "pending")
	if got := w.get(j.ID); got.State != tasks.Queued || got.Delivery != 1 {
		t.Errorf("the job is %s at delivery %d", got.State, got.Delivery)
	}
}

func TestARetryThatRedisLostIsDeliveredUnderANewNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	w.must(w.ledger.Join(t.Context(), tasks.Worker{ID: "w1"}))
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	if v, err := w.ledger.Fail(t.Context(), w.begin(j, "w1"), tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassInternal}}); err != nil || v.State != tasks.Retrying {
		t.Fatalf("%+v, %v", v, err)
	}
	w.must(w.insp.DeleteTask("default", j.TaskID()))
	w.awaitTask(tasks.TaskID(j.ID, 2), "pending")
	if got := w.get(j.ID); got.Charged != 1 {
		t.Errorf("charged %d, want the one failure", got.Charged)
	}
}

func TestAWipeIsNoticedWithinFiveSecondsAndQueuesAndPausesAreRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(usual)
	w.must(w.ledger.Pause(t.Context(), tasks.Low, true, "op"))
	ids := w.acceptMany(1, 1, 5)
	for _, id := range ids {
		w.awaitTask(tasks.TaskID(id, 1), "pending")
	}
	w.must(w.rdb.FlushAll(t.Context()).Err())
	wiped := time.Now()
	for _, id := range ids {
		w.awaitTask(tasks.TaskID(id, 1), "pending")
	}
	w.eventually("pause is back", func() bool { return w.rdb.Exists(t.Context(), "asynq:{low}:paused").Val() == 1 })
	if took := time.Since(wiped); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	for _, p := range tasks.Priorities() {
		info, err := w.insp.GetQueueInfo(string(p))
		if err != nil || info.Paused != (p == tasks.Low) {
			t.Errorf("queue %s: %+v, %v", p, info, err)
		}
	}
	if n := w.log.count("Redis was wiped; its tasks are delivered again from the ledger"); n != 1 {
		t.Errorf("the wipe was logged %d times", n)
	}
}

func TestAJobThatLostItsLastWorkerIsShownAmongTheArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	w.must(w.ledger.Join(t.Context(), tasks.Worker{ID: "ghost"}))
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	w.begin(j, "ghost")
	if _, err := w.ledger.BuryAll(t.Context()); err != nil { // as after a kill
		t.Fatal(err)
	}
	dead := w.await(j.ID, tasks.Dead)
	if dead.Error == nil || dead.Error.Class != tasks.ClassWorkerLost {
		t.Fatalf("the job died of %+v", dead.Error)
	}
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		return nil, fmt.Errorf("a dead job was run")
	})
	w.awaitTask(dead.TaskID(), "archived")
	w.eventually("chore is done", func() bool { chores, err := w.ledger.Chores(t.Context(), 10); return err == nil && len(chores) == 0 })
	if got := w.get(j.ID); got.State != tasks.Dead || got.Attempt != 1 {
		t.Errorf("the job is %s after %d attempts", got.State, got.Attempt)
	}
}

// TestAHeldJobThatIsArchivedIsShownAmongTheArchived: its task was acknowledged
// when it was held, so that a finished task of the same id is in the way.
func TestAHeldJobThatIsArchivedIsShownAmongTheArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		return nil, tasks.WaitFor("quota", time.Hour)
	})
	j := w.accept(1, 1)
	w.await(j.ID, tasks.Held)
	w.awaitTask(j.TaskID(), "completed")
	if _, err := w.ledger.Archive(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	w.awaitTask(w.get(j.ID).TaskID(), "archived")
}

func TestATaskThatWasTakenAndNotBegunIsDeliveredUnderANewNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	// What Asynq does when a worker takes a task, and nothing after it.
	prefix := "asynq:{default}:"
	w.must(w.rdb.LMove(t.Context(), prefix+"pending", prefix+"active", "RIGHT", "LEFT").Err())
	w.must(w.rdb.HSet(t.Context(), prefix+"t:"+j.TaskID(), "state", "active").Err())
	w.awaitTask(tasks.TaskID(j.ID, 2), "pending")
	if found := w.traces(j.TaskID()); len(found) > 0 {
		t.Errorf("the old task is still in %v", found)
	}
}

func TestACancelledJobsTaskDisappears(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	if _, err := w.ledger.Cancel(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	w.eventually("task is gone", func() bool { return len(w.traces(j.TaskID())) == 0 })
}

// TestARevivedJobThatIsCancelledLeavesNoArchivedTask: the archived task is that
// of the delivery before.
func TestARevivedJobThatIsCancelledLeavesNoArchivedTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := w.run(brisk)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		return nil, tasks.NewError(tasks.ClassNotAssessable, nil)
	})
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "archived")
	stop() // so that the job is cancelled before it has been handed out again
	if _, err := w.ledger.Retry(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ledger.Cancel(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	w.run(brisk)
	w.eventually("archived task is gone", func() bool { return len(w.traces(j.TaskID())) == 0 })
}

func TestRedeliveryRemovesEveryTraceOfTheOldTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(usual)
	j := w.accept(1, 1)
	w.awaitTask(j.TaskID(), "pending")
	old, prefix := j.TaskID(), "asynq:{default}:"
	for _, set := range []string{"lease", "retry", "scheduled", "archived", "completed"} {
		w.must(w.rdb.Do(t.Context(), "ZADD", prefix+set, time.Now().Add(time.Hour).Unix(), old).Err())
	}
	w.must(w.rdb.LPush(t.Context(), prefix+"active", old, old).Err())
	if found := w.traces(old); len(found) != 8 {
		t.Fatalf("planted %v", found)
	}
	if _, err := w.ledger.Retry(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	w.awaitTask(tasks.TaskID(j.ID, 2), "pending")
	if found := w.traces(old); len(found) > 0 {
		t.Errorf("the old task is still in %v", found)
	}
}

func TestAJobIsHandedOutWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	later := w.request(tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 1, ReportID: 1}, RunAt: time.Now().Add(time.Hour)})
	now := w.accept(1, 2)
	w.awaitTask(now.TaskID(), "pending")
	if got := w.get(later.ID); got.State != tasks.Accepted || w.taskState(later.TaskID()) != "" {
		t.Fatalf("an hour early the job is %s and its task %q", got.State, w.taskState(later.TaskID()))
	}
	w.ahead.Store(int64(time.Hour))
	w.awaitTask(later.TaskID(), "pending")
}

func TestARelayThatStartsAfterALossPutsQueuedTasksBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.WithAOF())
	stop := w.run(usual)
	ids := w.acceptMany(1, 1, 6)
	for _, id := range ids {
		w.awaitTask(tasks.TaskID(id, 1), "pending")
	}
	stop()
	// One task is lost while nobody looks; the epoch is still there.
	w.must(w.insp.DeleteTask("default", tasks.TaskID(ids[0], 1)))
	stop = w.run(usual)
	w.awaitTask(tasks.TaskID(ids[0], 1), "pending")
	stop()
	w.must(w.rdb.FlushAll(t.Context()).Err())
	w.run(usual)
	for _, id := range ids {
		w.awaitTask(tasks.TaskID(id, 1), "pending")
	}
	if got := w.pending(); len(got) != len(ids) {
		t.Errorf("%d tasks wait, want %d", len(got), len(ids))
	}
}

// TestRelaysThatComeAndGoLoseNothing: TestMain checks that none leaves a
// goroutine behind.
func TestRelaysThatComeAndGoLoseNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string
	for round := range int64(20) {
		stop := w.run(brisk)
		got := w.acceptMany(round+1, round*10+1, 5)
		ids = append(ids, got...)
		if round%2 == 0 { // the others stop in the middle of their work
			w.await(got[0], tasks.Queued)
		}
		stop()
	}
	w.run(usual)
	for _, id := range ids {
		w.awaitTask(w.await(id, tasks.Queued).TaskID(), "pending")
	}
	if got := w.pending(); len(got) != len(ids) {
		t.Errorf("%d tasks wait, want %d", len(got), len(ids))
	}
}
