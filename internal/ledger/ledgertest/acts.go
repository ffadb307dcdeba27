package ledgertest

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"evalq/internal/ledger"
	"evalq/tasks"
)

func cancelWaiting(w *world) {
	queued := w.accept(report(7, 1))
	w.feed()
	accepted := w.accept(report(7, 2))
	for _, j := range []tasks.Job{queued, accepted} {
		got, err := w.Cancel(w.ctx, j.ID, "op", "not needed")
		w.must(err)
		if got.State != tasks.Cancelled {
			w.t.Fatalf("got %s", got.State)
		}
		if _, err := w.Cancel(w.ctx, j.ID, "op", ""); err != nil {
			w.t.Fatalf("cancelled twice: %v", err)
		}
		w.wantLegalHistory(j.ID)
	}
	if c := w.begin(queued); c.Outcome != tasks.Settled {
		w.t.Fatalf("its task is %q", c.Outcome)
	}
	chores, err := w.Chores(w.ctx, 10)
	w.must(err)
	if len(chores) != 1 || chores[0].ID != queued.ID {
		w.t.Fatalf("chores %+v: only the queued one has a task to remove", chores)
	}
	w.must(w.ChoreDone(w.ctx, queued.ID, queued.Delivery))
	if chores, err = w.Chores(w.ctx, 10); err != nil || len(chores) != 0 {
		w.t.Fatalf("chores left: %+v, %v", chores, err)
	}
}

func cancelRunningIsFinal(w *world) {
	ends := []func(tasks.Fence) error{
		func(f tasks.Fence) error {
			return w.Complete(w.ctx, f, tasks.Finish{Result: json.RawMessage(`1`)})
		},
		func(f tasks.Fence) error {
			v, err := w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassInternal}})
			if v.State != tasks.Cancelled {
				w.t.Errorf("a failure after cancel leads to %s", v.State)
			}
			return err
		},
	}
	for i, end := range ends {
		j, f := w.running(report(7, int64(i+1)))
		got, err := w.Cancel(w.ctx, j.ID, "op", "")
		w.must(err)
		if got.State != tasks.Running || !got.CancelAsk {
			w.t.Fatalf("asked: %+v", got)
		}
		older := tasks.Fence{Job: f.Job, Attempt: f.Attempt - 1, Worker: worker}
		asked, stale, err := w.AskedToStop(w.ctx, worker, []tasks.Fence{f, older})
		w.must(err)
		if !slices.Contains(asked, f) || !slices.Equal(stale, []tasks.Fence{older}) {
			w.t.Fatalf("asked to stop: %v, stale: %v", asked, stale)
		}
		if err := w.Progress(w.ctx, f, tasks.Progress{}); !errors.Is(err, tasks.ErrCancelled) {
			w.t.Fatalf("progress after cancel: %v", err)
		}
		if err := end(f); err != nil && !errors.Is(err, tasks.ErrCancelled) {
			w.t.Fatal(err)
		}
		if got := w.wantState(j.ID, tasks.Cancelled); got.Result != nil {
			w.t.Fatalf("a cancelled job has a result")
		}
		w.wantLegalHistory(j.ID)
	}
}

func retryByHand(w *world) {
	j, f := w.running(report(7, 42))
	w.fail(f, tasks.ClassInternal)
	got, err := w.Retry(w.ctx, j.ID, "op", "try now")
	w.must(err)
	if got.State != tasks.Accepted || got.Charged != 0 || got.Delivery != 2 || !got.DueAt.IsZero() || got.Run != 2 {
		w.t.Fatalf("retried as %+v", got)
	}
	w.feed()
	_, f = w.start(j.ID)
	w.complete(f)
	w.wantLegalHistory(j.ID)
}

func forbiddenActs(w *world) {
	j, f := w.running(report(7, 42))
	wantConflict := func(what string, err error) {
		w.t.Helper()
		if !errors.Is(err, tasks.ErrConflict) {
			w.t.Errorf("%s: %v", what, err)
		}
	}
	_, err := w.Retry(w.ctx, j.ID, "op", "")
	wantConflict("retry while running", err)
	_, err = w.Archive(w.ctx, j.ID, "op", "")
	wantConflict("archive while running", err)
	w.complete(f)
	_, err = w.Retry(w.ctx, j.ID, "op", "")
	wantConflict("retry after success", err)
	_, err = w.Cancel(w.ctx, j.ID, "op", "")
	wantConflict("cancel after success", err)
	if _, err := w.Retry(w.ctx, "nobody", "op", ""); !errors.Is(err, tasks.ErrNotFound) {
		w.t.Errorf("retry of nothing: %v", err)
	}
}

func actsOnOneDelivery(w *world) {
	waiting := []tasks.State{tasks.Accepted, tasks.Queued, tasks.Retrying}
	acts := map[string]func(id string, delivery int, states []tasks.State) (tasks.Job, error){
		"retry": func(id string, d int, s []tasks.State) (tasks.Job, error) {
			return w.RetryDelivery(w.ctx, id, d, s, "op", "")
		},
		"cancel": func(id string, d int, s []tasks.State) (tasks.Job, error) {
			return w.CancelDelivery(w.ctx, id, d, s, "op", "")
		},
		"archive": func(id string, d int, s []tasks.State) (tasks.Job, error) {
			return w.ArchiveDelivery(w.ctx, id, d, s, "op", "")
		},
	}
	report42 := int64(42)
	for name, act := range acts {
		report42++
		j := w.accept(report(7, report42))
		w.feed()
		for _, d := range []int{j.Delivery - 1, j.Delivery + 1} {
			if _, err := act(j.ID, d, waiting); !errors.Is(err, tasks.ErrConflict) {
				w.t.Errorf("%s of delivery %d, the newest is %d: %v", name, d, j.Delivery, err)
			}
		}
		if _, err := act(j.ID, j.Delivery, []tasks.State{tasks.Held}); !errors.Is(err, tasks.ErrConflict) {
			w.t.Errorf("%s of a queued job where a held one is meant: %v", name, err)
		}
		w.wantState(j.ID, tasks.Queued)
		if got, err := act(j.ID, j.Delivery, waiting); err != nil || got.State == tasks.Queued {
			w.t.Errorf("%s of the newest delivery: %s, %v", name, got.State, err)
		}
		w.wantLegalHistory(j.ID)
	}
}

func archiveAndRevive(w *world) {
	j := w.accept(report(7, 42))
	w.feed()
	got, err := w.Archive(w.ctx, j.ID, "ann", "broken")
	w.must(err)
	if got.State != tasks.Dead || got.Error.Class != tasks.ClassOperator {
		w.t.Fatalf("archived as %+v", got)
	}
	if _, err := w.Archive(w.ctx, j.ID, "ann", ""); err != nil {
		w.t.Fatalf("archived twice: %v", err)
	}
	if got, err = w.Retry(w.ctx, j.ID, "ann", ""); err != nil || got.State != tasks.Accepted {
		w.t.Fatalf("revived: %+v, %v", got, err)
	}
	w.wantLegalHistory(j.ID)
}

func forcedRun(w *world) {
	j, f := w.running(report(7, 42))
	_, err := w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassNotAssessable}, Retried: 2})
	w.must(err)
	arrive := func(retried int, forced bool) tasks.Outcome {
		c, err := w.Begin(w.ctx, tasks.Delivery{Job: j.ID, Number: j.Delivery, Worker: worker, Retried: retried, Forced: forced})
		w.must(err)
		return c.Outcome
	}
	// Asynq's recovery of a task whose archiving failed raises the count.
	if got := arrive(3, false); got != tasks.Buried {
		w.t.Fatalf("Asynq's own redelivery is %q", got)
	}
	// The same count is an operator's run, or a Redis with older data.
	if got := arrive(3, false); got != tasks.Doubtful {
		w.t.Fatalf("an arrival with the same count is %q", got)
	}
	w.wantState(j.ID, tasks.Dead)
	if got := arrive(3, true); got != tasks.Mine {
		w.t.Fatalf("an operator's run is %q", got)
	}
	if got := w.wantState(j.ID, tasks.Running); got.Run != 2 || got.Charged != 0 {
		w.t.Fatalf("it runs as %+v", got)
	}
	w.wantLegalHistory(j.ID)
}

func usersTakeTurns(w *world) {
	for i := int64(1); i <= 20; i++ {
		w.accept(report(1, i))
	}
	w.accept(report(2, 100))
	w.accept(report(3, 200))
	w.accept(report(3, 201))
	fed, err := w.Feed(w.ctx, tasks.Default, ledger.Window{PerUser: 8, Total: 100})
	w.must(err)
	var users []int64
	for _, j := range fed.Jobs {
		users = append(users, j.UserID)
	}
	want := []int64{1, 2, 3, 1, 3, 1, 1, 1, 1, 1, 1}
	if !slices.Equal(users, want) {
		w.t.Fatalf("handed out to %v, want %v", users, want)
	}
	for i, j := range fed.Jobs[5:] {
		if j.ReportID != int64(i+3) {
			w.t.Fatalf("user 1 is served out of order: %d", j.ReportID)
		}
	}
}

func windowBounds(w *world) {
	for i := int64(1); i <= 30; i++ {
		w.accept(report(1, i))
		w.accept(report(2, 100+i))
	}
	win := ledger.Window{PerUser: 8, Total: 12}
	fed, err := w.Feed(w.ctx, tasks.Default, win)
	w.must(err)
	if len(fed.Jobs) != 12 {
		w.t.Fatalf("%d handed out, want 12", len(fed.Jobs))
	}
	if fed, err = w.Feed(w.ctx, tasks.Default, win); err != nil || len(fed.Jobs) != 0 {
		w.t.Fatalf("a full window got %d more, %v", len(fed.Jobs), err)
	}
	win.Total = 100
	fed, err = w.Feed(w.ctx, tasks.Default, win)
	w.must(err)
	if len(fed.Jobs) != 4 {
		w.t.Fatalf("%d handed out, want 4: each user has at most 8", len(fed.Jobs))
	}
}

func roundGoesOn(w *world) {
	for user := int64(1); user <= 6; user++ {
		w.accept(report(user, user*10+1))
		w.accept(report(user, user*10+2))
	}
	var users []int64
	win := ledger.Window{PerUser: 1}
	for range 12 {
		win.Total = len(users) + 1
		win.PerUser = 2
		fed, err := w.Feed(w.ctx, tasks.Default, win)
		w.must(err)
		if len(fed.Jobs) != 1 {
			w.t.Fatalf("%d handed out, want 1", len(fed.Jobs))
		}
		users, win.After = append(users, fed.Jobs[0].UserID), fed.After
	}
	if want := []int64{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}; !slices.Equal(users, want) {
		w.t.Fatalf("handed out to %v, want %v", users, want)
	}
}

func runAt(w *world) {
	r := report(7, 42)
	r.RunAt = w.clock.Now().Add(time.Hour)
	j := w.accept(r)
	if fed := w.feed(); len(fed) != 0 {
		w.t.Fatal("handed out before its time")
	}
	w.clock.pass(time.Hour - time.Millisecond)
	if o, err := w.Look(w.ctx); err != nil || o.Ripe || o.Ready[tasks.Default] {
		w.t.Fatalf("ripe too soon: %+v, %v", o, err)
	}
	w.clock.pass(time.Millisecond)
	if o, err := w.Look(w.ctx); err != nil || !o.Ripe || o.Ready[tasks.Default] {
		w.t.Fatalf("not ripe: %+v, %v", o, err)
	}
	_, err := w.Ripen(w.ctx)
	w.must(err)
	w.must(w.Beat(w.ctx, worker, false))
	if o, err := w.Look(w.ctx); err != nil || o.Ripe || !o.Ready[tasks.Default] || o.Slots != 4 {
		w.t.Fatalf("not ready: %+v, %v", o, err)
	}
	if fed := w.feed(); len(fed) != 1 || fed[0].ID != j.ID {
		w.t.Fatalf("handed out %+v", fed)
	}
}

func redeliver(w *world) {
	j := w.accept(report(7, 42))
	w.feed()
	jobs, _, err := w.InRedis(w.ctx, 0, 0, 10)
	w.must(err)
	if len(jobs) != 1 || jobs[0].ID != j.ID {
		w.t.Fatalf("in Redis: %+v", jobs)
	}
	if jobs, _, err = w.InRedis(w.ctx, 0, 30_000, 10); err != nil || len(jobs) != 0 {
		w.t.Fatalf("a fresh task is suspected: %+v, %v", jobs, err)
	}
	w.must(w.Redeliver(w.ctx, j.ID, 1, "lost"))
	w.must(w.Redeliver(w.ctx, j.ID, 1, "lost")) // seen twice, done once
	if got := w.wantState(j.ID, tasks.Accepted); got.Delivery != 2 {
		w.t.Fatalf("delivery %d", got.Delivery)
	}
	w.feed()
	_, f := w.start(j.ID)
	w.fail(f, tasks.ClassInternal)
	due := w.get(j.ID).DueAt
	w.must(w.Redeliver(w.ctx, j.ID, 2, "lost"))
	if got := w.wantState(j.ID, tasks.Accepted); got.DueAt != due {
		w.t.Fatalf("a retrying job lost its time: %s, want %s", got.DueAt, due)
	}
	w.wantLegalHistory(j.ID)
}

func unbegun(w *world) {
	j, other := w.accept(report(7, 42)), w.accept(report(7, 43))
	w.feed()
	w.start(other.ID)
	ask := map[string][]int{j.ID: {9, 1, 7}, other.ID: {1}, "nobody": {1}}
	for id, want := range map[string]bool{j.ID: true, other.ID: false, "nobody": false} {
		got, err := w.Unbegun(w.ctx, ask)
		w.must(err)
		if (got[id] == 1) != want {
			w.t.Fatalf("unbegun are %v; of %s want %v", got, id, want)
		}
	}
	w.must(w.Redeliver(w.ctx, j.ID, 1, "taken and not begun"))
	if got := w.wantState(j.ID, tasks.Accepted); got.Delivery != 2 {
		w.t.Fatalf("delivery %d", got.Delivery)
	}
	// One that was begun is left alone, however long it runs.
	w.must(w.Redeliver(w.ctx, other.ID, 1, "taken and not begun"))
	w.wantState(other.ID, tasks.Running)
	w.feed()
	if got, err := w.Unbegun(w.ctx, ask); err != nil || len(got) != 0 {
		w.t.Fatalf("of an older delivery: %v, %v", got, err)
	}
}

func overview(w *world) {
	first := w.accept(report(1, 1))
	w.clock.pass(time.Second)
	later := report(1, 2)
	later.RunAt = w.clock.Now().Add(time.Hour)
	later.Priority = tasks.Low
	w.accept(later)
	w.feed()
	w.accept(report(1, 3))
	busy := report(1, 4)
	busy.Priority = tasks.Critical
	running, _ := w.running(busy)
	o, err := w.Overview(w.ctx)
	w.must(err)
	if o.Count(tasks.Accepted) != 1 || o.Queues[tasks.Default][tasks.Queued] != 2 || o.Count(tasks.Running) != 1 {
		w.t.Fatalf("counts %v", o.Queues)
	}
	if len(o.Oldest) != 1 || o.Oldest[tasks.Default].ID != first.ID {
		w.t.Fatalf("waiting longest: %+v", o.Oldest)
	}
	if len(o.Workers) != 1 || o.Workers[0].Slots != 4 || len(o.Workers[0].Running) != 1 || o.Workers[0].Running[0].Job != running.ID {
		w.t.Fatalf("workers %+v", o.Workers)
	}
}

func retryingFillsTheWindow(w *world) {
	for i := int64(1); i <= 20; i++ {
		w.accept(report(i, i))
	}
	win := ledger.Window{PerUser: 8, Total: 5}
	for range 3 {
		fed, err := w.Feed(w.ctx, tasks.Default, win)
		w.must(err)
		for _, j := range fed.Jobs {
			_, f := w.start(j.ID)
			w.fail(f, tasks.ClassUnavailable)
		}
	}
	o, err := w.Overview(w.ctx)
	w.must(err)
	if o.Count(tasks.Retrying) != 5 || o.Count(tasks.Accepted) != 15 {
		w.t.Fatalf("with a window of 5 there are %v", o.Queues[tasks.Default])
	}
}

func clockWentBack(w *world) {
	j := w.accept(report(7, 42))
	w.feed()
	w.clock.pass(-time.Hour)
	jobs, _, err := w.InRedis(w.ctx, 0, 30_000, 10)
	w.must(err)
	if len(jobs) != 1 {
		w.t.Fatalf("a job that moved in the future is hidden")
	}
	if jobs[0].ID != j.ID {
		w.t.Fatalf("it is job %s", jobs[0].ID)
	}
	w.clock.pass(time.Hour)
	// One that waits to be tried again, and one that is held, do not wait for the
	// hour to come once more.
	j, f := w.start(j.ID)
	_, err = w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassRateLimited}, After: time.Minute})
	w.must(err)
	held, hf := w.running(report(7, 43))
	_, err = w.Fail(w.ctx, hf, tasks.Trouble{Hold: tasks.HoldAnswerInProgress, HoldFor: time.Minute})
	w.must(err)
	later := w.accept(tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 44}, RunAt: w.clock.Now().Add(30 * time.Minute)})
	w.wantState(held.ID, tasks.Accepted) // nobody is at work on the answer: it went on at once
	w.feed()
	held, hf = w.start(held.ID)
	_, err = w.Fail(w.ctx, hf, tasks.Trouble{Hold: tasks.HoldAnswerInProgress, HoldFor: time.Minute})
	w.must(err)
	w.wantState(held.ID, tasks.Held)
	w.clock.pass(-time.Hour)
	jobs, _, err = w.InRedis(w.ctx, 0, 30_000, 10)
	w.must(err)
	if len(jobs) != 1 || jobs[0].ID != j.ID {
		w.t.Fatalf("a retry that a clock has put off is hidden: %+v", jobs)
	}
	w.must(w.Redeliver(w.ctx, j.ID, j.Delivery, "late"))
	if got := w.wantState(j.ID, tasks.Accepted); !got.DueAt.IsZero() {
		w.t.Fatalf("it is due at %s", got.DueAt)
	}
	o, err := w.Look(w.ctx)
	if err != nil || !o.Ripe {
		w.t.Fatalf("nothing is ripe: %v", err)
	}
	_, err = w.Ripen(w.ctx)
	w.must(err)
	w.wantState(held.ID, tasks.Accepted)
	if got := w.wantState(later.ID, tasks.Accepted); got.DueAt.IsZero() {
		w.t.Fatal("a time that a person gave was taken for a wait")
	}
}

func quarantine(w *world) {
	q := tasks.Quarantined{Source: "asynq", Queue: "default", TaskID: "x", Reason: "no \x01 JSON"}
	body := []byte("\x00\xff not text")
	for range 2 {
		w.must(w.Quarantine(w.ctx, q, body))
	}
	w.must(w.Quarantine(w.ctx, tasks.Quarantined{Source: "asynq", TaskID: "y", Reason: "gone"}, nil))
	kept, open, err := w.InQuarantine(w.ctx, false, 10)
	w.must(err)
	if len(kept) != 2 || open != 2 || kept[1].TaskID != "x" || kept[1].Size != len(body) || kept[1].Reason != q.Reason || kept[1].At.IsZero() {
		w.t.Fatalf("%d open: %+v", open, kept)
	}
	if _, got, err := w.QuarantinedBody(w.ctx, kept[1].ID); err != nil || string(got) != string(body) {
		w.t.Fatalf("its bytes are %q, %v", got, err)
	}
	w.must(w.Settle(w.ctx, kept[1].ID, "op", "discarded"))
	if err := w.Settle(w.ctx, kept[1].ID, "op", "discarded"); !errors.Is(err, tasks.ErrNotFound) {
		w.t.Fatalf("settled twice: %v", err)
	}
	if _, _, err := w.QuarantinedBody(w.ctx, kept[1].ID); !errors.Is(err, tasks.ErrNotFound) {
		w.t.Fatalf("its bytes are still there: %v", err)
	}
	all, open, err := w.InQuarantine(w.ctx, true, 10)
	if err != nil || len(all) != 2 || open != 1 || all[1].Settled != "discarded: by op" || all[1].Size != 0 {
		w.t.Fatalf("%d open of %+v, %v", open, all, err)
	}
	w.must(w.Quarantine(w.ctx, q, body)) // it came again
	if _, open, err := w.InQuarantine(w.ctx, false, 10); err != nil || open != 2 {
		w.t.Fatalf("%d open, %v", open, err)
	}
	if _, got, err := w.QuarantinedBody(w.ctx, kept[1].ID); err != nil || string(got) != string(body) {
		w.t.Fatalf("what came again has the bytes %q, %v", got, err)
	}
}
