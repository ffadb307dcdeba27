package worker_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"

	"evalq/tasks"
	"evalq/worker"
)

// lockedAtFirst is a ledger one of whose jobs another transaction has locked when
// its task first arrives.
type lockedAtFirst struct {
	worker.Ledger
	id    string
	times atomic.Int64
}

func (l *lockedAtFirst) Begin(ctx context.Context, d tasks.Delivery) (tasks.Claim, error) {
	if d.Job == l.id && l.times.Add(1) <= 2 {
		return tasks.Claim{Outcome: tasks.Locked}, nil
	}
	return l.Ledger.Begin(ctx, d)
}

func TestATaskWhoseJobIsLockedComesBackAtNoCostAndHoldsNoSlotMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.cfg.Slots = 1
	locked, other := w.submit(1), w.submit(2)
	l := &lockedAtFirst{Ledger: w.ledger.Ledger, id: locked.ID}
	w.cfg.Handlers[kind] = func(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil }
	s, err := worker.New(w.rdb, l, &w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.background(s.Run)
	w.await(other.ID, tasks.Succeeded)
	j := w.await(locked.ID, tasks.Succeeded)
	if j.Attempt != 1 || j.Charged != 0 || j.Deaths != 0 || j.Delivery != 1 {
		t.Errorf("the job is %+v", j)
	}
	if info := w.awaitTask(j, asynq.TaskStateCompleted); info != nil && info.Retried != 0 {
		t.Errorf("Asynq counts %d retries", info.Retried)
	}
}
