package relay

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
	"evalq/tasks"
)

// TestAJobThatWasAcceptedAndNeverHandedOutIsDeliveredByTheNextStart: the program
// before was killed between the commit and Redis.
func TestAJobThatWasAcceptedAndNeverHandedOutIsDeliveredByTheNextStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	accepted := w.accept(1, 1)
	// One that was on its way out, as the ledger notes before it goes.
	handed := w.accept(2, 2)
	_, err := w.ledger.Feed(t.Context(), tasks.Default, ledger.Window{PerUser: 1, Total: 1, After: 1})
	w.must(err)
	if got := w.get(handed.ID); got.State != tasks.Queued || w.taskState(handed.TaskID()) != "" {
		t.Fatalf("the job is %s, its task %q", got.State, w.taskState(handed.TaskID()))
	}
	w.run(usual)
	w.serve(done)
	for _, j := range []tasks.Job{accepted, handed} {
		if got := w.await(j.ID, tasks.Succeeded); got.Attempt != 1 {
			t.Errorf("it took %d attempts", got.Attempt)
		}
	}
}

// TestTwoEnvironmentsOnOneRedisRunTheirOwnJobsOnly: they share the queues, so
// that each takes tasks of the other. It sets them aside, and their owner
// delivers them again.
func TestTwoEnvironmentsOnOneRedisRunTheirOwnJobsOnly(t *testing.T) {
	t.Parallel()
	staging := newWorld(t)
	db, err := sqlite.Open(t.Context(), t.TempDir(), &ledger.Config{Policies: staging.policy})
	staging.must(err)
	t.Cleanup(func() { db.Close() })
	production := &world{t: t, redis: staging.redis, rdb: staging.redis.Client(t), insp: staging.insp, ledger: db, log: staging.log, policy: staging.policy}
	var mu sync.Mutex
	ran := map[*world][]string{}
	var theirs [2][]string
	for i, w := range []*world{staging, production} {
		w.run(brisk)
		w.serve(func(_ context.Context, job tasks.Job) (json.RawMessage, error) {
			mu.Lock()
			defer mu.Unlock()
			ran[w] = append(ran[w], job.ID)
			return json.RawMessage("1"), nil
		})
		theirs[i] = w.acceptMany(7, 1, 10) // the same user and reports in both
	}
	for i, w := range []*world{staging, production} {
		for _, id := range theirs[i] {
			w.await(id, tasks.Succeeded)
		}
		mu.Lock()
		slices.Sort(ran[w])
		slices.Sort(theirs[i])
		if !slices.Equal(ran[w], theirs[i]) {
			t.Errorf("environment %d ran %v, its jobs are %v", i, ran[w], theirs[i])
		}
		mu.Unlock()
	}
}
