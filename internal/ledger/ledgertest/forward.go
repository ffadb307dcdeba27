package ledgertest

import (
	"slices"
	"strings"
	"time"

	"evalq/tasks"
)

// again submits report 42 of user 7 once more and answers what that changed.
func (w *world) again(p tasks.Priority, at time.Time) (tasks.Job, string) {
	w.t.Helper()
	j, created, err := w.Accept(w.ctx, tasks.Request{Payload: report(7, 42).Payload, Priority: p, RunAt: at}, "test")
	w.must(err)
	if created {
		w.t.Fatalf("submitted again, it was created: %+v", j)
	}
	return j, strings.Join(j.Changed, " ")
}

func (w *world) wantEvent(id, why string) {
	w.t.Helper()
	events, err := w.Events(w.ctx, id)
	w.must(err)
	if !slices.ContainsFunc(events, func(e tasks.Event) bool { return e.Why == why }) {
		w.t.Fatalf("no event says %q: %+v", why, events)
	}
}

func broughtForward(w *world) {
	tomorrow, tonight := w.clock.Now().Add(24*time.Hour), w.clock.Now().Add(12*time.Hour)
	r := tasks.Request{Payload: report(7, 42).Payload, Priority: tasks.Low, RunAt: tomorrow}
	first := w.accept(r)
	if first.Changed != nil {
		w.t.Fatalf("a new job was changed: %v", first.Changed)
	}
	for _, c := range []struct {
		queue   tasks.Priority
		at      time.Time
		changed string
		want    tasks.Priority
		due     time.Time
	}{
		{tasks.Low, tomorrow, "", tasks.Low, tomorrow},
		{tasks.Low, tomorrow.Add(time.Hour), "", tasks.Low, tomorrow},
		{tasks.Low, tonight, "run_at", tasks.Low, tonight},
		{tasks.Low, tomorrow, "", tasks.Low, tonight},
		{tasks.Default, tomorrow, "priority", tasks.Default, tonight},
		{tasks.Low, tonight, "", tasks.Default, tonight},
		{tasks.Critical, time.Time{}, "run_at priority", tasks.Critical, time.Time{}},
		{"", time.Time{}, "", tasks.Critical, time.Time{}},
		{tasks.Low, tomorrow, "", tasks.Critical, time.Time{}},
	} {
		j, changed := w.again(c.queue, c.at)
		stored := w.get(first.ID)
		if changed != c.changed || j.ID != first.ID || j.Priority != c.want || !j.DueAt.Equal(c.due) || stored.Priority != c.want || !stored.DueAt.Equal(c.due) || stored.Changed != nil {
			w.t.Fatalf("queue %q at %s: changed %q, %+v, stored %+v", c.queue, c.at, changed, j, stored)
		}
	}
	w.wantEvent(first.ID, "submitted again: to run now, from queue default to critical")
	if fed := w.feed(); len(fed) != 1 || fed[0].Priority != tasks.Critical {
		w.t.Fatalf("handed out: %+v", fed)
	}
	w.wantLegalHistory(first.ID)
}

func broughtForwardInAsynq(w *world) {
	first := w.accept(tasks.Request{Payload: report(7, 42).Payload, Priority: tasks.Low})
	w.feed()
	if j, changed := w.again(tasks.Low, w.clock.Now().Add(time.Hour)); changed != "" || j.Delivery != 1 || j.State != tasks.Queued {
		w.t.Fatalf("changed %q: %+v", changed, j)
	}
	j, changed := w.again(tasks.Critical, time.Time{})
	if changed != "priority" || j.State != tasks.Accepted || j.Delivery != 2 {
		w.t.Fatalf("changed %q: %+v", changed, j)
	}
	if c := w.begin(first); c.Outcome != tasks.Settled {
		w.t.Fatalf("the task in the old queue is %q", c.Outcome)
	}
	if fed := w.feed(); len(fed) != 1 || fed[0].Priority != tasks.Critical || fed[0].Delivery != 2 {
		w.t.Fatalf("handed out: %+v", fed)
	}
	_, f := w.start(first.ID)
	w.complete(f)
	if _, changed := w.again(tasks.Critical, time.Time{}); changed != "" {
		w.t.Fatalf("a finished job was changed: %q", changed)
	}
	w.wantLegalHistory(first.ID)
}

func pauseStays(w *world) {
	j, f := w.running(tasks.Request{Payload: report(7, 42).Payload, Priority: tasks.Low})
	w.fail(f, tasks.ClassRateLimited)
	due := w.get(j.ID).DueAt
	if got, changed := w.again(tasks.Low, time.Time{}); changed != "" || got.State != tasks.Retrying || !got.DueAt.Equal(due) {
		w.t.Fatalf("changed %q: %+v", changed, got)
	}
	got, changed := w.again(tasks.Critical, time.Time{})
	if changed != "priority" || got.State != tasks.Accepted || got.Delivery != 2 || !got.DueAt.Equal(due) || due.IsZero() {
		w.t.Fatalf("changed %q: %+v", changed, got)
	}
	// It waits in the ledger now, and still for the same reason.
	if got, changed := w.again(tasks.Critical, time.Time{}); changed != "" || !got.DueAt.Equal(due) {
		w.t.Fatalf("changed %q: %+v", changed, got)
	}
	// A person's run begins another run; its time is a caller's again.
	w.fail(func() tasks.Fence {
		w.clock.pass(time.Hour)
		_, err := w.Ripen(w.ctx)
		w.must(err)
		w.feed()
		_, f := w.start(j.ID)
		return f
	}(), tasks.ClassNotAssessable)
	revived, created, err := w.Accept(w.ctx, tasks.Request{Payload: report(7, 42).Payload, RunAt: w.clock.Now().Add(time.Hour)}, "test")
	if w.must(err); !created || revived.DueAt.IsZero() {
		w.t.Fatalf("revived as %+v", revived)
	}
	if got, changed := w.again("", time.Time{}); changed != "run_at" || !got.DueAt.IsZero() {
		w.t.Fatalf("changed %q: %+v", changed, got)
	}
	w.wantLegalHistory(j.ID)
}

func runningBroughtForward(w *world) {
	j, f := w.running(tasks.Request{Payload: report(7, 42).Payload, Priority: tasks.Low})
	got, changed := w.again(tasks.Critical, time.Time{})
	if changed != "priority" || got.State != tasks.Running || got.Delivery != 1 || got.Priority != tasks.Critical {
		w.t.Fatalf("changed %q: %+v", changed, got)
	}
	v, err := w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassInternal}, Queue: tasks.Low})
	w.must(err)
	got = w.wantState(j.ID, tasks.Accepted)
	if v.State != tasks.Accepted || v.Delay == 0 || !v.Charged || got.Delivery != 2 || got.DueAt.IsZero() || got.Charged != 1 {
		w.t.Fatalf("decided %+v: %+v", v, got)
	}
	w.clock.pass(time.Hour)
	_, err = w.Ripen(w.ctx)
	w.must(err)
	if fed := w.feed(); len(fed) != 1 || fed[0].Priority != tasks.Critical {
		w.t.Fatalf("handed out: %+v", fed)
	}
	// In its queue it is tried again as always.
	_, f = w.start(j.ID)
	if v, err := w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassInternal}, Queue: tasks.Critical}); err != nil || v.State != tasks.Retrying {
		w.t.Fatalf("%+v, %v", v, err)
	}
	w.wantLegalHistory(j.ID)
}

func heldBroughtForward(w *world) {
	j, f := w.running(tasks.Request{Payload: report(7, 42).Payload, Priority: tasks.Low})
	_, err := w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	due := w.get(j.ID).DueAt
	if got, changed := w.again("", time.Time{}); changed != "priority" || got.State != tasks.Held || !got.DueAt.Equal(due) {
		w.t.Fatalf("changed %q: %+v", changed, got)
	}
	w.put(interview(7, 42, "a view"))
	if fed := w.feed(); len(fed) != 1 || fed[0].Priority != tasks.Default {
		w.t.Fatalf("handed out: %+v", fed)
	}
	w.wantLegalHistory(j.ID)
}

func revivedAsAsked(w *world) {
	later := w.clock.Now().Add(time.Hour)
	for n, c := range []struct{ had, asked, want tasks.Priority }{
		{tasks.Low, tasks.Critical, tasks.Critical},
		{tasks.Low, "", tasks.Default},
		{tasks.Critical, "", tasks.Critical},
		{tasks.Critical, tasks.Low, tasks.Low},
	} {
		r := tasks.Request{Payload: report(7, int64(n+1)).Payload, Priority: c.had}
		j := w.accept(r)
		for _, end := range []func() error{
			func() error { _, err := w.Archive(w.ctx, j.ID, "op", ""); return err },
			func() error { _, err := w.Cancel(w.ctx, j.ID, "op", ""); return err },
		} {
			w.must(end())
			passive := tasks.Request{Payload: r.Payload, Passive: true}
			if got, _, err := w.Accept(w.ctx, passive, "bridge"); err != nil || got.Changed != nil || !got.State.Finished() {
				w.t.Fatalf("a passive submission: %+v, %v", got, err)
			}
			r = tasks.Request{Payload: r.Payload, Priority: c.asked, RunAt: later, Anew: true}
			got, created, err := w.Accept(w.ctx, r, "test")
			w.must(err)
			if !created || got.Priority != c.want || !got.DueAt.Equal(later) || got.Changed != nil {
				w.t.Fatalf("%+v: revived as %+v", c, got)
			}
			if c.asked == "" {
				break // the queue is another now
			}
			r.Priority = c.asked
		}
	}
}

func forwardInABatch(w *world) {
	p := report(7, 42).Payload
	out := w.AcceptMany(w.ctx, []tasks.Request{
		{Payload: p, Priority: tasks.Low, RunAt: w.clock.Now().Add(24 * time.Hour)},
		report(7, 43),
		{Payload: p, Priority: tasks.Critical},
		{Payload: p, Priority: tasks.Default},
	}, "test")
	for _, a := range out {
		w.must(a.Err)
	}
	if !out[0].Created || out[0].Job.Changed != nil || !out[1].Created || out[2].Created || out[2].Job.ID != out[0].Job.ID ||
		strings.Join(out[2].Job.Changed, " ") != "run_at priority" || out[3].Job.Changed != nil || out[3].Job.Priority != tasks.Critical {
		w.t.Fatalf("%+v", out)
	}
	if got := w.get(out[0].Job.ID); got.Priority != tasks.Critical || !got.DueAt.IsZero() {
		w.t.Fatalf("stored %+v", got)
	}
}
