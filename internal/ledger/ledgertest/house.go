package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"evalq/internal/ledger"
	"evalq/tasks"
)

// topic is the other built-in kind of report's.
func topic(user, id int64) tasks.Request {
	return tasks.Request{Payload: tasks.TopicEvaluation{UserID: user, ReportID: id}}
}

// succeed brings a new job to its end, with one step of its own and one that it
// shares with the report's other jobs.
func (w *world) succeed(r tasks.Request) tasks.Job {
	w.t.Helper()
	j, f := w.running(r)
	w.save(f, j.Scope(), "own")
	w.save(f, j.ReportScope(), "shared "+j.ID)
	w.complete(f)
	return w.get(j.ID)
}

func (w *world) save(f tasks.Fence, scope, name string) {
	w.t.Helper()
	_, err := w.ClaimStep(w.ctx, f, scope, name)
	w.must(err)
	w.must(w.SaveStep(w.ctx, f, scope, name, json.RawMessage(`"an answer"`)))
}

// stored reports whether a step is stored, as an attempt of j sees it.
func (w *world) stored(f tasks.Fence, scope, name string) bool {
	w.t.Helper()
	c, err := w.ClaimStep(w.ctx, f, scope, name)
	w.must(err)
	return c.Done
}

func (w *world) historyOf(id string) int {
	w.t.Helper()
	events, err := w.Events(w.ctx, id)
	w.must(err)
	attempts, err := w.Attempts(w.ctx, id)
	w.must(err)
	return len(events) + len(attempts)
}

func (w *world) trim() int {
	w.t.Helper()
	n, err := w.Trim(w.ctx, w.clock.Now().Add(-24*time.Hour))
	w.must(err)
	return n
}

func (w *world) wantGone(id string) {
	w.t.Helper()
	_, err1 := w.Get(w.ctx, id)
	_, err2 := w.Events(w.ctx, id)
	_, err3 := w.Attempts(w.ctx, id)
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, tasks.ErrNotFound) {
			w.t.Fatalf("of job %s there is something left: %v", id, err)
		}
	}
}

func trimKeepsResults(w *world) {
	old := w.succeed(report(7, 1))
	waiting := w.accept(report(7, 2))
	w.clock.pass(24*time.Hour + time.Millisecond)
	young := w.succeed(report(7, 3))
	if n := w.trim(); n != 1 {
		w.t.Fatalf("%d jobs were trimmed, want 1", n)
	}
	if n := w.historyOf(old.ID); n != 0 {
		w.t.Fatalf("%d rows of history are left", n)
	}
	if got := w.get(old.ID); got.State != tasks.Succeeded || string(got.Result) != `{"score":1}` || got.Attempt != 1 {
		w.t.Fatalf("the trimmed job is %+v", got)
	}
	w.wantLegalHistory(waiting.ID)
	w.wantLegalHistory(young.ID)
	if n := w.trim(); n != 0 {
		w.t.Fatalf("%d jobs were trimmed again", n)
	}
}

func trimRevived(w *world) {
	j, f := w.running(report(7, 1))
	w.save(f, j.Scope(), "own")
	w.fail(f, tasks.ClassNotAssessable)
	w.clock.pass(25 * time.Hour)
	if n := w.trim(); n != 1 || w.historyOf(j.ID) != 0 {
		w.t.Fatalf("%d jobs were trimmed", n)
	}
	// A dead job may go on, so its own steps are kept; its attempts go on in
	// number, and what happens now is history anew.
	_, err := w.Retry(w.ctx, j.ID, "op", "")
	w.must(err)
	w.feed()
	got, f := w.start(j.ID)
	if got.Attempt != 2 || !w.stored(f, j.Scope(), "own") {
		w.t.Fatalf("revived as %+v", got)
	}
	w.complete(f)
	if n := w.trim(); n != 0 || w.historyOf(j.ID) == 0 {
		w.t.Fatalf("%d jobs were trimmed at once", n)
	}
	w.clock.pass(25 * time.Hour)
	if n := w.trim(); n != 1 || w.historyOf(j.ID) != 0 {
		w.t.Fatalf("%d jobs were trimmed the second time", n)
	}
}

func trimMany(w *world) {
	const n = 450 // more than two writes of Trim
	ids := w.cancelled(7, n)
	w.clock.pass(25 * time.Hour)
	if got := w.trim(); got != n {
		w.t.Fatalf("%d jobs were trimmed, want %d", got, n)
	}
	for _, id := range ids {
		if w.historyOf(id) != 0 {
			w.t.Fatalf("job %s has history", id)
		}
	}
}

// cancelled makes n finished jobs of a user, the cheapest there are.
func (w *world) cancelled(user int64, n int) (ids []string) {
	w.t.Helper()
	rs := make([]tasks.Request, n)
	for i := range rs {
		rs[i] = report(user, int64(i+1))
	}
	for _, a := range w.AcceptMany(w.ctx, rs, "test") {
		w.must(a.Err)
		ids = append(ids, a.Job.ID)
	}
	_, err := w.Stop(w.ctx, user, "test", "")
	w.must(err)
	return ids
}

func purgeTakesWhatBelongs(w *world) {
	w.put(interview(7, 1, "x"))
	w.put(interview(7, 2, "x"))
	old := w.succeed(report(7, 1))
	dead, f := w.running(report(7, 2))
	w.fail(f, tasks.ClassNotAssessable)
	queued := w.accept(report(7, 3))
	running, _ := w.running(report(7, 4))
	w.clock.pass(time.Hour)
	before := w.clock.Now()
	w.clock.pass(time.Hour)
	young := w.succeed(report(7, 5))

	want := tasks.Removed{Jobs: 2, Results: 1, Attempts: 2, Events: 8, Checkpoints: 2, Interviews: 2, Tasks: 2, Done: true}
	w.wantRemoved(want, func(r ledger.Removal) (tasks.Removed, error) { return w.Purge(w.ctx, before, r) })
	w.wantGone(old.ID)
	w.wantGone(dead.ID)
	for _, id := range []string{queued.ID, running.ID, young.ID} {
		w.wantLegalHistory(id)
	}
	if _, err := w.Interview(w.ctx, 7, 1); !errors.Is(err, tasks.ErrNotFound) {
		w.t.Fatalf("the interview: %v", err)
	}
	// The key is free again, and nothing is left that the new job could take for
	// its own.
	again, f := w.running(report(7, 1))
	if again.ID == old.ID || again.Revision != 1 || w.stored(f, again.Scope(), "own") || w.stored(f, again.ReportScope(), "shared "+old.ID) {
		w.t.Fatalf("submitted again: %+v", again)
	}
}

// wantRemoved runs a removal dry and then in earnest, and wants the same of both.
func (w *world) wantRemoved(want tasks.Removed, do func(ledger.Removal) (tasks.Removed, error)) {
	w.t.Helper()
	dropped := 0
	drop := func(_ context.Context, jobs []tasks.Job) (int, error) {
		dropped += len(jobs)
		for _, j := range jobs {
			if got, err := w.Get(w.ctx, j.ID); err != nil || got.TaskID() != j.TaskID() || got.Priority != j.Priority || got.State != j.State {
				w.t.Errorf("drop %s: it is %+v, %v", j.ID, got, err)
			}
		}
		return len(jobs), nil
	}
	for _, dry := range []bool{true, false} {
		got, err := do(ledger.Removal{Dry: dry, Drop: drop})
		w.must(err)
		if got != want {
			w.t.Fatalf("dry %v: removed %+v\nwant %+v", dry, got, want)
		}
	}
	if dropped != 2*want.Jobs {
		w.t.Fatalf("%d tasks were asked for, want %d twice", dropped, want.Jobs)
	}
	if got, err := do(ledger.Removal{}); err != nil || got != (tasks.Removed{Done: true}) {
		w.t.Fatalf("removed again: %+v, %v", got, err)
	}
}

func purgeKeepsSharedAnswers(w *world) {
	w.put(interview(7, 1, "x"))
	first := w.succeed(report(7, 1))
	w.clock.pass(time.Hour)
	before := w.clock.Now()
	second, f := w.running(topic(7, 1))
	got, err := w.Purge(w.ctx, before, ledger.Removal{})
	w.must(err)
	if want := (tasks.Removed{Jobs: 1, Results: 1, Attempts: 1, Events: 4, Checkpoints: 1, Done: true}); got != want {
		w.t.Fatalf("removed %+v, want %+v", got, want)
	}
	if !w.stored(f, first.ReportScope(), "shared "+first.ID) {
		w.t.Fatal("an answer is gone that another job of the report can use")
	}
	if _, err := w.Interview(w.ctx, 7, 1); err != nil {
		w.t.Fatalf("the interview that a job asks for: %v", err)
	}
	w.complete(f)
	w.clock.pass(time.Millisecond)
	w.put(interview(7, 1, "changed since"))
	w.clock.pass(time.Millisecond)
	if got, err = w.Purge(w.ctx, w.get(second.ID).FinishedAt.Add(time.Millisecond), ledger.Removal{}); err != nil || got.Jobs != 1 || got.Checkpoints != 1 || got.Interviews != 0 {
		w.t.Fatalf("removed %+v, %v; the interview has changed since", got, err)
	}
	if got, err = w.Purge(w.ctx, w.clock.Now(), ledger.Removal{}); err != nil || got != (tasks.Removed{Interviews: 1, Done: true}) {
		w.t.Fatalf("removed %+v, %v; nobody asks for the interview", got, err)
	}
}

func purgedTaskSettled(w *world) {
	j := w.succeed(report(7, 1))
	w.clock.pass(time.Second)
	_, err := w.Purge(w.ctx, w.clock.Now(), ledger.Removal{})
	w.must(err)
	if c := w.begin(j); c.Outcome != tasks.Settled {
		w.t.Fatalf("a task that turns up late is %q", c.Outcome)
	}
	w.clock.pass(8 * 24 * time.Hour)
	_, err = w.Trim(w.ctx, time.Time{})
	w.must(err)
	if c := w.begin(j); c.Outcome != tasks.Unknown {
		w.t.Fatalf("a week later it is %q", c.Outcome)
	}
}

func purgeInTurns(w *world) {
	const n = 450
	w.cancelled(7, n)
	w.clock.pass(time.Second)
	var all tasks.Removed
	for calls := 1; !all.Done; calls++ {
		got, err := w.Purge(w.ctx, w.clock.Now(), ledger.Removal{Turn: time.Nanosecond})
		w.must(err)
		if all = all.Plus(got); calls > 10 {
			w.t.Fatalf("after %d calls: %+v", calls, all)
		}
	}
	if all.Jobs != n {
		w.t.Fatalf("removed %+v", all)
	}
}

func purgeStopsWithoutRedis(w *world) {
	j := w.succeed(report(7, 1))
	w.clock.pass(time.Second)
	away := errors.New("away")
	got, err := w.Purge(w.ctx, w.clock.Now(), ledger.Removal{Drop: func(context.Context, []tasks.Job) (int, error) { return 0, away }})
	if !errors.Is(err, away) || got.Jobs != 0 || got.Done {
		w.t.Fatalf("removed %+v, %v", got, err)
	}
	w.wantLegalHistory(j.ID) // so it can be done again
}

func eraseTakesAll(w *world) {
	w.put(interview(7, 1, "x"))
	w.put(interview(7, 9, "never submitted"))
	w.put(interview(8, 2, "x"))
	var mine []tasks.Job
	mine = append(mine, w.succeed(report(7, 1)), w.succeed(topic(7, 1)))
	other := w.succeed(report(8, 2))
	revived, f := w.running(report(7, 2)) // somebody else's interview
	w.fail(f, tasks.ClassWrongUser)
	_, err := w.Retry(w.ctx, revived.ID, "op", "")
	w.must(err)
	held, f := w.running(report(7, 3))
	_, err = w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	retrying, f := w.running(report(7, 4))
	w.save(f, retrying.Scope(), "own")
	w.fail(f, tasks.ClassInternal)
	running, f := w.running(report(7, 5))
	mine = append(mine, revived, held, retrying, running, w.accept(report(7, 6)))

	erase := func(r ledger.Removal) (tasks.Removed, error) { return w.Erase(w.ctx, 7, r) }
	left, err := w.Stop(w.ctx, 7, "op", "erased")
	w.must(err)
	if left != 1 {
		w.t.Fatalf("%d run, want 1", left)
	}
	if got, err := erase(ledger.Removal{}); err != nil || got.Done || got.Jobs != 6 {
		w.t.Fatalf("while one runs: %+v, %v", got, err)
	}
	w.wantState(running.ID, tasks.Running)
	_, err = w.Fail(w.ctx, f, tasks.Trouble{})
	w.must(err)
	w.wantState(running.ID, tasks.Cancelled)
	if got, err := erase(ledger.Removal{}); err != nil || !got.Done || got.Jobs != 1 {
		w.t.Fatalf("once it has stopped: %+v, %v", got, err)
	}
	for _, j := range mine {
		w.wantGone(j.ID)
		if c := w.begin(j); c.Outcome != tasks.Settled {
			w.t.Fatalf("a task of it that turns up late is %q", c.Outcome)
		}
		if err := w.SaveStep(w.ctx, tasks.Fence{Job: j.ID, Attempt: 1, Worker: worker}, j.Scope(), "own", json.RawMessage(`1`)); !errors.Is(err, tasks.ErrNotFound) {
			w.t.Fatalf("a handler that did not stop stores a step: %v", err)
		}
	}
	page, err := w.List(w.ctx, tasks.Filter{UserID: 7})
	w.must(err)
	_, ierr := w.Interview(w.ctx, 0, 9)
	if len(page.Jobs) != 0 || !errors.Is(ierr, tasks.ErrNotFound) {
		w.t.Fatalf("%d jobs are left; the interview: %v", len(page.Jobs), ierr)
	}
	if got := w.get(other.ID); got.Result == nil {
		w.t.Fatalf("somebody else's job is %+v", got)
	}
	if _, err := w.Interview(w.ctx, 8, 2); err != nil {
		w.t.Fatalf("somebody else's interview: %v", err)
	}
	w.wantLegalHistory(other.ID)
}

func eraseCountsAlike(w *world) {
	w.put(interview(7, 1, "x"))
	w.succeed(report(7, 1))
	w.succeed(topic(7, 1))
	w.succeed(report(8, 2))
	want := tasks.Removed{Jobs: 2, Results: 2, Attempts: 2, Events: 8, Checkpoints: 4, Interviews: 1, Tasks: 2, Done: true}
	w.wantRemoved(want, func(r ledger.Removal) (tasks.Removed, error) { return w.Erase(w.ctx, 7, r) })
}

func oldWorkersGo(w *world) {
	w.must(w.Join(w.ctx, tasks.Worker{ID: "w2", Host: "h", PID: 2, Build: "b", Slots: 1}))
	w.must(w.Leave(w.ctx, "w2"))
	// Beat brings back a worker that was given up, as long as it is on record.
	back := func() bool {
		w.t.Helper()
		w.must(w.Beat(w.ctx, "w2", false))
		o, err := w.Overview(w.ctx)
		w.must(err)
		return slices.ContainsFunc(o.Workers, func(k tasks.Worker) bool { return k.ID == "w2" })
	}
	w.clock.pass(29 * 24 * time.Hour)
	w.trim()
	if !back() {
		w.t.Fatal("a worker is forgotten after 29 days")
	}
	w.must(w.Leave(w.ctx, "w2"))
	w.clock.pass(31 * 24 * time.Hour)
	w.trim()
	if back() {
		w.t.Fatal("a worker is on record for ever")
	}
	if o, err := w.Overview(w.ctx); err != nil || len(o.Workers) != 1 {
		w.t.Fatalf("living workers: %+v, %v", o.Workers, err)
	}
}
