package ledger

import (
	"testing"
	"time"

	"evalq/tasks"
)

// TestAHandlerThatKeepsWaitingForAnAnswerIsHeld: nobody is at work on it, so
// the job goes on at once, but only the first time.
func TestAHandlerThatKeepsWaitingForAnAnswerIsHeld(t *testing.T) {
	t.Parallel()
	l, ctx := newLedger(t), t.Context()
	if err := l.Join(ctx, tasks.Worker{ID: "w1"}); err != nil {
		t.Fatal(err)
	}
	job, _, err := l.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 1}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	var states []tasks.State
	for range 3 {
		fed, err := l.Feed(ctx, tasks.Default, Window{PerUser: 1, Total: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(fed.Jobs) == 0 {
			break
		}
		c, err := l.Begin(ctx, tasks.Delivery{Job: job.ID, Number: fed.Jobs[0].Delivery, Worker: "w1"})
		if err != nil {
			t.Fatal(err)
		}
		v, err := l.Fail(ctx, tasks.Fence{Job: job.ID, Attempt: c.Job.Attempt, Worker: "w1"}, tasks.Trouble{Hold: tasks.HoldAnswerInProgress, HoldFor: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, v.State)
	}
	got, err := l.Get(ctx, job.ID)
	if err != nil || got.State != tasks.Held || len(states) > 2 || time.Until(got.DueAt) < 50*time.Minute {
		t.Errorf("after %v the job is %s until %s; %v", states, got.State, got.DueAt, err)
	}
}
