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

	"evalq/tasks"
)

// everything is all that Redis holds, key by key.
func (w *world) everything() string {
	w.t.Helper()
	ctx := w.t.Context()
	keys, err := w.rdb.Keys(ctx, "*").Result()
	w.must(err)
	var out strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&out, "%s: ", k)
		switch kind := w.rdb.Type(ctx, k).Val(); kind {
		case "hash":
			fmt.Fprintln(&out, w.rdb.HGetAll(ctx, k).Val())
		case "list":
			fmt.Fprintln(&out, w.rdb.LRange(ctx, k, 0, -1).Val())
		case "zset":
			fmt.Fprintln(&out, w.rdb.ZRange(ctx, k, 0, -1).Val())
		case "set":
			fmt.Fprintln(&out, w.rdb.SMembers(ctx, k).Val())
		default:
			fmt.Fprintln(&out, w.rdb.Get(ctx, k).Val())
		}
	}
	return out.String()
}

// produce puts a task into Redis as a program without a ledger does.
func (w *world) produce(id string, user int64, options ...asynq.Option) {
	w.t.Helper()
	body := fmt.Sprintf(`{"user_id":%d,"report_id":1,"data":"said by %d"}`, user, user)
	_, err := asynq.NewClientFromRedisClient(w.rdb).EnqueueContext(w.t.Context(), asynq.NewTask(string(kind), []byte(body)), append(options, asynq.TaskID(id))...)
	w.must(err)
}

// populate gives users 7 and 8 a task in each list that Asynq has. It needs a
// relay that runs, and leaves without a worker.
func (w *world) populate() {
	w.t.Helper()
	stop := w.serve(func(_ context.Context, j tasks.Job) (json.RawMessage, error) {
		switch j.ReportID {
		case 1:
			return json.RawMessage(`1`), nil
		case 2:
			return nil, tasks.NewError(tasks.ClassNotAssessable, nil)
		}
		return nil, &tasks.Error{Class: tasks.ClassRateLimited, After: time.Hour}
	})
	for user := int64(7); user <= 8; user++ {
		for report, end := range map[int64]string{1: "completed", 2: "archived", 3: "retry"} {
			w.awaitTask(w.accept(user, report).TaskID(), end)
		}
	}
	stop()
	for user := int64(7); user <= 8; user++ {
		w.awaitTask(w.accept(user, 4).TaskID(), "pending")
		w.produce(fmt.Sprintf("adopt.%s.%d.1.abc", kind, user), user)
		w.produce(fmt.Sprintf("plain%d", user), user, asynq.ProcessIn(time.Hour))
		taken := fmt.Sprintf("taken%d", user)
		w.produce(taken, user, asynq.Queue("low"))
		w.must(w.rdb.LRem(w.t.Context(), "asynq:{low}:pending", 0, taken).Err())
		w.must(w.rdb.LPush(w.t.Context(), "asynq:{low}:active", taken).Err())
		w.must(w.rdb.HSet(w.t.Context(), "asynq:{low}:t:"+taken, "state", "active").Err())
	}
}

func TestAnErasedUserIsInNoKeyOfRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(usual)
	w.populate()
	for user := int64(7); user <= 8; user++ {
		w.produce(fmt.Sprintf("message%d", user), user, asynq.Queue("mq"))
	}
	s := NewSweeper(w.ledger.Ledger, w.rdb, "")
	const all = 8 // four jobs, three tasks that no ledger knows, and a message
	before := w.everything()
	if n := strings.Count(before, `"user_id":7`); n != all {
		t.Fatalf("before, %d tasks are about the user:\n%s", n, before)
	}
	dry, err := s.Erase(t.Context(), 7, true, "op")
	w.must(err)
	if dry.Tasks != all || dry.Jobs != 4 || !strings.Contains(w.everything(), `"user_id":7`) {
		t.Fatalf("the dry run says %+v", dry)
	}
	got, err := s.Erase(t.Context(), 7, false, "op")
	w.must(err)
	for !got.Done {
		more, err := s.Erase(t.Context(), 7, false, "op")
		w.must(err)
		got = got.Plus(more)
	}
	if got.Jobs != 4 || got.Tasks != all {
		t.Fatalf("erased %+v, the dry run said %+v", got, dry)
	}
	after := w.everything()
	if strings.Contains(after, `"user_id":7`) || strings.Contains(after, "said by 7") || strings.Contains(after, ".7.1.") {
		t.Fatalf("the user is still in Redis:\n%s", after)
	}
	if n := strings.Count(after, `"user_id":8`); n != all {
		t.Fatalf("of the other user %d tasks are left:\n%s", n, after)
	}
}

func TestARunningJobOfAnErasedUserIsStoppedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(brisk)
	began, ended := make(chan struct{}), make(chan error, 1)
	w.serve(func(ctx context.Context, j tasks.Job) (json.RawMessage, error) {
		close(began)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	j := w.accept(7, 1)
	<-began
	got, err := NewSweeper(w.ledger.Ledger, w.rdb, "").Erase(t.Context(), 7, false, "op")
	w.must(err)
	select {
	case cause := <-ended:
		if !errors.Is(cause, tasks.ErrCancelled) {
			t.Fatalf("it was stopped by %v", cause)
		}
	default:
		t.Fatalf("erased %+v while it ran", got)
	}
	w.eventually("user is gone", func() bool {
		if got.Done {
			return true
		}
		got, err = NewSweeper(w.ledger.Ledger, w.rdb, "").Erase(t.Context(), 7, false, "op")
		w.must(err)
		return got.Done
	})
	if _, err := w.ledger.Get(t.Context(), j.ID); !errors.Is(err, tasks.ErrNotFound) {
		t.Fatalf("the job: %v", err)
	}
}

func TestATaskOfAnErasedUserThatArrivesLateIsNoNewWish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.relay(usual, Config{})
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage(`1`), nil })
	j := w.request(tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 1}})
	got, err := NewSweeper(w.ledger.Ledger, w.rdb, "").Erase(t.Context(), 7, false, "op")
	w.must(err)
	if !got.Done {
		t.Fatalf("erased %+v", got)
	}
	// A relay had taken it from the ledger just before.
	w.must(r.enqueue(t.Context(), j))
	w.awaitTask(j.TaskID(), "completed")
	page, err := w.ledger.List(t.Context(), tasks.Filter{UserID: 7})
	w.must(err)
	if len(page.Jobs) != 0 {
		t.Fatalf("the user has a job again: %+v", page.Jobs)
	}
}

func TestAPurgeTakesThePurgedJobsOutOfRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(usual)
	w.populate()
	s := NewSweeper(w.ledger.Ledger, w.rdb, "")
	w.ahead.Store(int64(time.Second)) // nobody waits a second for the jobs to be older
	for _, dry := range []bool{true, false} {
		got, err := s.Purge(t.Context(), w.ledger.Now(), dry)
		w.must(err)
		if !got.Done || got.Jobs != 4 || got.Results != 2 || got.Tasks != 4 {
			t.Fatalf("dry %v: %+v", dry, got)
		}
	}
	for _, set := range []string{"archived", "completed"} {
		if n := w.rdb.ZCard(t.Context(), "asynq:{default}:"+set).Val(); n != 0 {
			t.Fatalf("%d tasks are %s", n, set)
		}
	}
	for _, set := range []string{"retry", "scheduled"} {
		if n := w.rdb.ZCard(t.Context(), "asynq:{default}:"+set).Val(); n != 2 {
			t.Fatalf("%d tasks are in %s, want 2", n, set)
		}
	}
	if n := len(w.pending()); n != 4 {
		t.Fatalf("%d tasks are pending, want 4", n)
	}
}

func TestWithoutRedisNothingIsRemovedAndLaterAllIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j := w.accept(7, 1)
	w.redis.Stop()
	s := NewSweeper(w.ledger.Ledger, w.rdb, "")
	if _, err := s.Erase(t.Context(), 7, false, "op"); !errors.Is(err, ErrRedis) {
		t.Fatalf("got %v", err)
	}
	if got := w.get(j.ID); got.State != tasks.Cancelled {
		t.Fatalf("the job is %s", got.State)
	}
	w.ahead.Store(int64(time.Second))
	if got, err := s.Purge(t.Context(), w.ledger.Now(), false); !errors.Is(err, ErrRedis) || got.Jobs != 0 {
		t.Fatalf("purged %+v, %v", got, err)
	}
	w.redis.Restart()
	if got, err := s.Erase(t.Context(), 7, false, "op"); err != nil || !got.Done || got.Jobs != 1 {
		t.Fatalf("erased %+v, %v", got, err)
	}
}

func TestTheRelayTrimsHistoryThatIsTooOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.background(w.relay(brisk, Config{History: 24 * time.Hour}).Run)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage(`1`), nil })
	j := w.accept(1, 1)
	w.await(j.ID, tasks.Succeeded)
	w.ahead.Store(int64(25 * time.Hour))
	w.eventually("history is trimmed", func() bool {
		events, err := w.ledger.Events(t.Context(), j.ID)
		w.must(err)
		return len(events) == 0
	})
	if got := w.get(j.ID); string(got.Result) != "1" {
		t.Fatalf("the job is %+v", got)
	}
	// Without a limit it stays.
	other := newWorld(t)
	other.run(brisk)
	other.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage(`1`), nil })
	j = other.accept(1, 1)
	other.await(j.ID, tasks.Succeeded)
	other.ahead.Store(int64(10_000 * time.Hour))
	other.must(other.relay(brisk, Config{}).keepHouse(t.Context()))
	if other.moves(j.ID, tasks.Succeeded) != 1 {
		t.Fatal("history is trimmed that was to be kept")
	}
}
