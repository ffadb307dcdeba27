package worker_test

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"

	"evalq/tasks"
	"evalq/worker"
)

// serveKinds starts a worker of its own with a handler for each of the kinds.
func (w *world) serveKinds(h worker.Handler, slots int, kinds ...tasks.Kind) (stop func() error) {
	w.t.Helper()
	cfg := w.cfg
	cfg.Slots, cfg.Handlers = slots, map[tasks.Kind]worker.Handler{}
	for _, k := range kinds {
		cfg.Handlers[k] = h
	}
	s, err := worker.New(w.rdb, w.ledger.Ledger, &cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.background(s.Run)
}

func (w *world) submitKind(k tasks.Kind, user, report int64) tasks.Job {
	w.t.Helper()
	j, _, err := w.ledger.Accept(w.t.Context(), tasks.Request{Payload: tasks.NewPayload(k, user, report, nil)}, "test")
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func one(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil }

func TestJobsOfAKindThatOneOfTwoWorkersKnowsAllRunThereAtNoCost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.serveKinds(one, 2, "old_kind")
	w.serveKinds(one, 2, "old_kind", "new_kind")
	var jobs []tasks.Job
	for i := range int64(40) {
		jobs = append(jobs, w.submitKind("new_kind", i%3+1, i+1))
	}
	for _, j := range jobs {
		j = w.await(j.ID, tasks.Succeeded)
		if j.Attempt != 1 || j.Charged != 0 || len(w.attempts(j.ID)) != 1 {
			t.Fatalf("a job took attempt %d with %d charged", j.Attempt, j.Charged)
		}
	}
}

func TestAJobOfAKindThatNoWorkerKnowsIsHeldAndRunsOnceOneDoes(t *testing.T) {
	t.Parallel()
	for _, k := range []tasks.Kind{"new_kind", tasks.KindTopicEvaluation} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.serveKinds(one, 2, tasks.KindEvaluationReport)
			j := w.submitKind(k, 1, 1)
			if j = w.await(j.ID, tasks.Held); j.Hold != "no worker for its kind" || j.Attempt != 0 || len(w.attempts(j.ID)) != 0 {
				t.Fatalf("held for %q after attempt %d", j.Hold, j.Attempt)
			}
			w.serveKinds(one, 2, k)
			if j = w.await(j.ID, tasks.Succeeded); j.Attempt != 1 || j.Charged != 0 {
				t.Fatalf("attempt %d with %d charged", j.Attempt, j.Charged)
			}
		})
	}
}

func TestAJobWhoseOnlyWorkerWasRolledBackWaitsWithItsBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(k tasks.Kind) tasks.Policy {
		p := fast(k)
		p.BackoffBase, p.BackoffMax = 1000, 1000
		return p
	})
	failed := make(chan struct{}, 100)
	stop := w.serveKinds(func(context.Context, tasks.Job) (json.RawMessage, error) {
		failed <- struct{}{}
		return nil, tasks.NewError(tasks.ClassUnavailable, nil)
	}, 2, "new_kind")
	w.serveKinds(one, 2, "old_kind")
	j := w.submitKind("new_kind", 1, 1)
	<-failed
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	tried := w.await(j.ID, tasks.Held)
	if tried.Hold != "no worker for its kind" || tried.Charged != 0 {
		t.Fatalf("it is held for %q with %d charged", tried.Hold, tried.Charged)
	}
	w.serveKinds(one, 2, "new_kind")
	if got := w.await(j.ID, tasks.Succeeded); got.Attempt != tried.Attempt+1 {
		t.Fatalf("attempt %d follows %d", got.Attempt, tried.Attempt)
	}
}

func TestAWorkerIsNotKeptFromItsKindsByJobsOfOthersThatWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	leave := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(leave) })
	var ran atomic.Int32
	w.serveKinds(func(context.Context, tasks.Job) (json.RawMessage, error) {
		ran.Add(1)
		<-leave
		return answer(1), nil
	}, 2, "new_kind")
	t.Cleanup(letGo)
	w.serveKinds(one, 2, "old_kind")
	var slow []tasks.Job
	for i := range int64(40) {
		slow = append(slow, w.submitKind("new_kind", 1, i+1))
	}
	eventually(t, "slow jobs begin", func() bool { return ran.Load() == 2 })
	for i := range int64(10) { // of the same user, behind all of those
		w.await(w.submitKind("old_kind", 1, i+1).ID, tasks.Succeeded)
	}
	letGo()
	for _, j := range slow {
		if j = w.await(j.ID, tasks.Succeeded); j.Attempt != 1 {
			t.Fatalf("attempt %d", j.Attempt)
		}
	}
}
