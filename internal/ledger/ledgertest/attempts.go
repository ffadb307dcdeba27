package ledgertest

import (
	"encoding/json"
	"errors"
	"time"

	"evalq/tasks"
)

func olderDeliverySettled(w *world) {
	j := w.accept(report(7, 42))
	w.feed()
	_, err := w.Retry(w.ctx, j.ID, "op", "")
	w.must(err)
	if c := w.begin(j); c.Outcome != tasks.Settled {
		w.t.Fatalf("an older delivery is %q", c.Outcome)
	}
	w.wantState(j.ID, tasks.Accepted)
}

func secondArrivalIsBusy(w *world) {
	j, _ := w.running(report(7, 42))
	if c := w.begin(j); c.Outcome != tasks.Busy {
		w.t.Fatalf("a second arrival is %q", c.Outcome)
	}
	if got := w.wantState(j.ID, tasks.Running); got.Attempt != 1 {
		w.t.Fatalf("attempt %d", got.Attempt)
	}
}

func unknownTask(w *world) {
	if c := w.begin(tasks.Job{ID: tasks.NewID(w.clock.Now()), Delivery: 1}); c.Outcome != tasks.Unknown {
		w.t.Fatalf("got %q", c.Outcome)
	}
}

func takenBackStillBegun(w *world) {
	j := w.accept(report(7, 42))
	w.feed()
	w.must(w.Unfeed(w.ctx, []string{j.ID}, "no answer"))
	w.wantState(j.ID, tasks.Accepted)
	if c := w.begin(j); c.Outcome != tasks.Mine {
		w.t.Fatalf("got %q", c.Outcome)
	}
	w.wantLegalHistory(j.ID)
}

func resultStoredOnce(w *world) {
	j, f := w.running(report(7, 42))
	w.complete(f)
	got := w.wantState(j.ID, tasks.Succeeded)
	if string(got.Result) != `{"score":1}` || got.Judge != "j/1" || got.FinishedAt.IsZero() {
		w.t.Fatalf("stored %+v", got)
	}
	err := w.Complete(w.ctx, f, tasks.Finish{Result: json.RawMessage(`{"score":2}`)})
	if !errors.Is(err, tasks.ErrStale) {
		w.t.Fatalf("a second result: %v", err)
	}
	if again := w.get(j.ID); string(again.Result) != `{"score":1}` {
		w.t.Fatalf("the result became %s", again.Result)
	}
	if c := w.begin(j); c.Outcome != tasks.Settled {
		w.t.Fatalf("a redelivery after success is %q", c.Outcome)
	}
	w.wantLegalHistory(j.ID)
}

func zombieRefused(w *world) {
	j, old := w.running(report(7, 42))
	if lost := w.workerDies(); lost != 1 {
		w.t.Fatalf("%d attempts were lost", lost)
	}
	w.feed()
	_, fresh := w.start(j.ID)
	for what, err := range map[string]error{
		"complete": w.Complete(w.ctx, old, tasks.Finish{Result: json.RawMessage(`1`)}),
		"progress": w.Progress(w.ctx, old, tasks.Progress{Total: 3}),
		"save":     w.SaveStep(w.ctx, old, "s", "k", json.RawMessage(`1`)),
	} {
		if !errors.Is(err, tasks.ErrStale) {
			w.t.Errorf("%s by a zombie: %v", what, err)
		}
	}
	if _, err := w.Fail(w.ctx, old, tasks.Trouble{}); !errors.Is(err, tasks.ErrStale) {
		w.t.Errorf("fail by a zombie: %v", err)
	}
	w.complete(fresh)
	w.wantLegalHistory(j.ID)
}

func deadOnlyAfterLast(w *world) {
	j, f := w.running(report(7, 42))
	for n := 1; ; n++ {
		v := w.fail(f, tasks.ClassInvalidOutput)
		if n == 5 {
			if v.State != tasks.Dead {
				w.t.Fatalf("after 5 failures: %s", v.State)
			}
			break
		}
		want := time.Duration(float64(2*time.Second)*0.5) << (n - 1)
		if v.State != tasks.Retrying || !v.Charged || v.Delay != want {
			w.t.Fatalf("after failure %d: %+v, want retrying in %s", n, v, want)
		}
		_, f = w.start(j.ID)
	}
	got := w.wantState(j.ID, tasks.Dead)
	if got.Charged != 5 || got.Error.Class != tasks.ClassInvalidOutput {
		w.t.Fatalf("dead as %+v", got)
	}
	attempts, err := w.Attempts(w.ctx, j.ID)
	w.must(err)
	if len(attempts) != 5 || attempts[0].Error.Message != "because" || attempts[0].Worker != worker || !attempts[4].Charged || attempts[4].Outcome != "dead" {
		w.t.Fatalf("attempts %+v", attempts)
	}
	w.wantLegalHistory(j.ID)
}

func transientBoundedByTime(w *world) {
	j, f := w.running(report(7, 42))
	for range 20 {
		if v := w.fail(f, tasks.ClassUnavailable); v.State != tasks.Retrying || v.Charged {
			w.t.Fatalf("a transient error: %+v", v)
		}
		_, f = w.start(j.ID)
	}
	w.clock.pass(24 * time.Hour)
	w.must(w.Beat(w.ctx, worker, false))
	if v := w.fail(f, tasks.ClassRateLimited); v.State != tasks.Dead {
		w.t.Fatalf("after 24 hours: %+v", v)
	}
	// A revived job has its time from its own first error.
	_, err := w.Retry(w.ctx, j.ID, "op", "")
	w.must(err)
	w.feed()
	_, f = w.start(j.ID)
	if v := w.fail(f, tasks.ClassRateLimited); v.State != tasks.Retrying {
		w.t.Fatalf("the first error of a new run: %+v", v)
	}
}

func permanentDeadAtOnce(w *world) {
	j, f := w.running(report(7, 42))
	if v := w.fail(f, tasks.ClassNotAssessable); v.State != tasks.Dead {
		w.t.Fatalf("got %+v", v)
	}
	if got := w.wantState(j.ID, tasks.Dead); got.Charged != 0 {
		w.t.Fatalf("charged %d", got.Charged)
	}
}

func savedAttemptIsFree(w *world) {
	_, f := w.running(report(7, 42))
	_, err := w.ClaimStep(w.ctx, f, "s", "a")
	w.must(err)
	w.must(w.SaveStep(w.ctx, f, "s", "a", json.RawMessage(`1`)))
	if v := w.fail(f, tasks.ClassInternal); v.Charged || v.State != tasks.Retrying {
		w.t.Fatalf("got %+v", v)
	}
}

func retryAfterRespected(w *world) {
	j, f := w.running(report(7, 42))
	v, err := w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassRateLimited}, After: 90 * time.Second})
	w.must(err)
	if v.Delay != 90*time.Second || w.get(j.ID).DueAt != w.clock.Now().Add(90*time.Second) {
		w.t.Fatalf("got %+v", v)
	}
}

func missingInterviewHolds(w *world) {
	j, f := w.running(report(7, 42))
	v, err := w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	got := w.wantState(j.ID, tasks.Held)
	if v.State != tasks.Held || got.Hold != tasks.HoldInterviewMissing || got.Charged != 0 {
		w.t.Fatalf("held as %+v", got)
	}
	w.put(interview(7, 42, "x"))
	got = w.wantState(j.ID, tasks.Accepted)
	if got.Delivery != j.Delivery+1 || !got.DueAt.IsZero() || got.Hold != "" {
		w.t.Fatalf("released as %+v", got)
	}
	w.wantLegalHistory(j.ID)
}

func missingInterviewEnds(w *world) {
	j, f := w.running(report(7, 42))
	_, err := w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	w.clock.pass(24 * time.Hour)
	w.must(w.Beat(w.ctx, worker, false))
	ripe, err := w.Ripen(w.ctx)
	w.must(err)
	if ripe != 1 {
		w.t.Fatalf("%d ripe", ripe)
	}
	w.feed()
	_, f = w.start(j.ID)
	v, err := w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	if got := w.wantState(j.ID, tasks.Dead); v.State != tasks.Dead || got.Error.Class != tasks.ClassInterviewMissing {
		w.t.Fatalf("ended as %+v", got)
	}
}

func handBackUncharged(w *world) {
	j, f := w.running(report(7, 42))
	_, err := w.Fail(w.ctx, f, tasks.Trouble{HandBack: true})
	w.must(err)
	if got := w.wantState(j.ID, tasks.Accepted); got.Charged != 0 || got.Deaths != 0 || got.Delivery != 2 {
		w.t.Fatalf("handed back as %+v", got)
	}
}

func skipped(w *world) {
	j, f := w.running(report(7, 42))
	w.must(w.Complete(w.ctx, f, tasks.Finish{Skipped: "empty"}))
	if got := w.wantState(j.ID, tasks.Skipped); got.Skipped != "empty" || got.Error != nil || got.Result != nil {
		w.t.Fatalf("skipped as %+v", got)
	}
}

func stepClaimedAndKept(w *world) {
	j, f := w.running(report(7, 42))
	c, err := w.ClaimStep(w.ctx, f, "s", "a")
	w.must(err)
	if c.Done || c.Taken {
		w.t.Fatalf("the first claim: %+v", c)
	}
	_, other := w.running(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}})
	c, err = w.ClaimStep(w.ctx, other, "s", "a")
	w.must(err)
	if !c.Taken || c.Owner != j.ID {
		w.t.Fatalf("a second claim: %+v", c)
	}
	if err := w.SaveStep(w.ctx, other, "s", "a", json.RawMessage(`2`)); !errors.Is(err, tasks.ErrStale) {
		w.t.Fatalf("saving what another claimed: %v", err)
	}
	w.must(w.SaveStep(w.ctx, f, "s", "a", json.RawMessage(`1`)))
	c, err = w.ClaimStep(w.ctx, other, "s", "a")
	w.must(err)
	if !c.Done || string(c.Value) != `1` {
		w.t.Fatalf("a claim of what is stored: %+v", c)
	}
}

func stepTakenOver(w *world) {
	_, f := w.running(report(7, 42))
	_, err := w.ClaimStep(w.ctx, f, "s", "a")
	w.must(err)
	_, err = w.ClaimStep(w.ctx, f, "s", "b")
	w.must(err)
	w.must(w.DropStep(w.ctx, f, "s", "b"))
	_, other := w.running(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}})
	if c, err := w.ClaimStep(w.ctx, other, "s", "b"); err != nil || c.Taken {
		w.t.Fatalf("a dropped step: %+v, %v", c, err)
	}
	w.fail(f, tasks.ClassInternal)
	if c, err := w.ClaimStep(w.ctx, other, "s", "a"); err != nil || c.Taken || c.Done {
		w.t.Fatalf("the step of an ended attempt: %+v, %v", c, err)
	}
}

func answerInProgressReleased(w *world) {
	_, f := w.running(report(7, 42))
	_, err := w.ClaimStep(w.ctx, f, "s", "a")
	w.must(err)
	other, g := w.running(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}})
	_, err = w.Fail(w.ctx, g, tasks.Trouble{Hold: tasks.HoldAnswerInProgress, HoldFor: time.Minute})
	w.must(err)
	w.wantState(other.ID, tasks.Held)
	w.must(w.SaveStep(w.ctx, f, "s", "a", json.RawMessage(`1`)))
	w.wantState(other.ID, tasks.Accepted)
	w.wantLegalHistory(other.ID)
}

func answerThereByNow(w *world) {
	_, f := w.running(report(7, 42))
	_, err := w.ClaimStep(w.ctx, f, "s", "a")
	w.must(err)
	other, g := w.running(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}})
	if c, err := w.ClaimStep(w.ctx, g, "s", "a"); err != nil || !c.Taken {
		w.t.Fatalf("%+v, %v", c, err)
	}
	// Between the other's look and its hold; f runs on, but has no other step.
	// The same happens with the next answer, at once.
	for n, step := range []string{"a", "b", "c"} {
		if n > 0 {
			_, err := w.ClaimStep(w.ctx, f, "s", step)
			w.must(err)
			w.feed()
			_, g = w.start(other.ID)
		}
		w.must(w.SaveStep(w.ctx, f, "s", step, json.RawMessage(`1`)))
		v, err := w.Fail(w.ctx, g, tasks.Trouble{Hold: tasks.HoldAnswerInProgress, HoldFor: time.Minute})
		w.must(err)
		got := w.wantState(other.ID, tasks.Accepted)
		if v.State != tasks.Accepted || !got.DueAt.IsZero() || got.Delivery != n+2 || got.Charged != 0 {
			w.t.Fatalf("after step %s it goes on as %+v", step, got)
		}
	}
	w.wantLegalHistory(other.ID)
}

func lostWorker(w *world) {
	j := w.accept(report(7, 42))
	for death := 1; death <= 3; death++ {
		w.feed()
		w.start(j.ID)
		if lost := w.workerDies(); lost != 1 {
			w.t.Fatalf("death %d: %d lost", death, lost)
		}
	}
	got := w.wantState(j.ID, tasks.Dead)
	if got.Error.Class != tasks.ClassWorkerLost || got.Charged != 0 || got.Deaths != 3 {
		w.t.Fatalf("ended as %+v", got)
	}
	attempts, err := w.Attempts(w.ctx, j.ID)
	w.must(err)
	if len(attempts) != 3 || attempts[2].Outcome != "lost" {
		w.t.Fatalf("attempts %+v", attempts)
	}
	chores, err := w.Chores(w.ctx, 10)
	w.must(err)
	if len(chores) != 1 || chores[0].ID != j.ID {
		w.t.Fatalf("chores %+v: the dead job has to be shown in Asynq", chores)
	}
	// Its delivery buries it and does not run it.
	if c := w.begin(got); c.Outcome != tasks.Buried || c.Job.Error == nil || c.Job.Error.Class != tasks.ClassWorkerLost {
		w.t.Fatalf("its delivery is %q", c.Outcome)
	}
	w.wantLegalHistory(j.ID)
}

func deathAfterSaveFree(w *world) {
	j := w.accept(report(7, 42))
	for n := range 5 {
		w.feed()
		_, f := w.start(j.ID)
		key := string(rune('a' + n))
		_, err := w.ClaimStep(w.ctx, f, "s", key)
		w.must(err)
		w.must(w.SaveStep(w.ctx, f, "s", key, json.RawMessage(`1`)))
		w.workerDies()
	}
	if got := w.wantState(j.ID, tasks.Accepted); got.Deaths != 0 {
		w.t.Fatalf("%d deaths are counted", got.Deaths)
	}
}

func clockIsNoDeath(w *world) {
	j, f := w.running(report(7, 42))
	_, err := w.ClaimStep(w.ctx, f, "s", "a")
	w.must(err)
	_, other := w.running(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}})
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour} {
		w.clock.pass(jump) // no beat was heard
		if lost, err := w.Recover(w.ctx); err != nil || lost != 0 {
			w.t.Fatalf("after %s: %d lost, %v", jump, lost, err)
		}
		if c := w.begin(j); c.Outcome != tasks.Busy {
			w.t.Fatalf("after %s a second arrival is %q", jump, c.Outcome)
		}
		if c, err := w.ClaimStep(w.ctx, other, "s", "a"); err != nil || !c.Taken {
			w.t.Fatalf("after %s the step is %+v, %v", jump, c, err)
		}
	}
}

func strays(w *world) {
	forgotten, _ := w.running(report(7, 1))
	known, f := w.running(report(7, 2))
	if n, err := w.HandBackStrays(w.ctx, worker, []tasks.Fence{f}, time.Minute); err != nil || n != 0 {
		w.t.Fatalf("a moment after it began: %d, %v", n, err)
	}
	w.clock.pass(time.Minute)
	if n, err := w.HandBackStrays(w.ctx, worker, []tasks.Fence{f}, time.Minute); err != nil || n != 1 {
		w.t.Fatalf("%d strays, %v", n, err)
	}
	w.wantState(known.ID, tasks.Running)
	if got := w.wantState(forgotten.ID, tasks.Accepted); got.Deaths != 0 || got.Delivery != 2 {
		w.t.Fatalf("handed back as %+v", got)
	}
}

func leaving(w *world) {
	slow, _ := w.running(report(7, 1))
	hung, f := w.running(report(7, 2))
	w.must(w.Stuck(w.ctx, f, "stack"))
	w.must(w.Leave(w.ctx, worker))
	if got := w.wantState(slow.ID, tasks.Accepted); got.Deaths != 0 {
		w.t.Fatalf("a graceful stop counted as %d deaths", got.Deaths)
	}
	if got := w.wantState(hung.ID, tasks.Accepted); got.Deaths != 1 {
		w.t.Fatalf("a stuck handler counted as %d deaths", got.Deaths)
	}
}

func interviewArrivesMidway(w *world) {
	j, f := w.running(report(7, 42))
	w.put(interview(7, 42, "x")) // between the handler's look and its hold
	v, err := w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	if got := w.wantState(j.ID, tasks.Accepted); v.State != tasks.Accepted || !got.DueAt.IsZero() {
		w.t.Fatalf("it goes on as %+v", got)
	}
	// A handler that says so again is not asked without end, and the wait has one.
	w.feed()
	_, f = w.start(j.ID)
	_, err = w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	w.wantState(j.ID, tasks.Held)
	w.clock.pass(25 * time.Hour)
	for range 2 {
		_, err = w.Ripen(w.ctx)
		w.must(err)
		w.feed()
		_, f = w.start(j.ID)
		_, err = w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
		w.must(err)
	}
	w.wantState(j.ID, tasks.Dead)
}

func begunBeforeItsInterview(w *world) {
	j, f := w.running(report(7, 42))
	w.put(interview(7, 42, "x"))
	w.complete(f)
	again, created, err := w.Accept(w.ctx, report(7, 42), "test")
	w.must(err)
	if !created || again.ID == j.ID || again.Revision != 2 {
		w.t.Fatalf("submitted again: %+v, created %v", again, created)
	}
}

func saidWhatItSaw(w *world) {
	j, f := w.running(report(7, 42))
	doc := interview(7, 42, "x")
	w.put(doc)
	w.must(w.Saw(w.ctx, j.ID, f.Attempt, doc.Hash()))
	if err := w.Saw(w.ctx, j.ID, f.Attempt-1, "older"); !errors.Is(err, tasks.ErrStale) {
		w.t.Fatalf("an older attempt: %v", err)
	}
	w.complete(f)
	if err := w.Saw(w.ctx, j.ID, f.Attempt, "late"); !errors.Is(err, tasks.ErrStale) {
		w.t.Fatalf("a finished attempt: %v", err)
	}
	if again, created, err := w.Accept(w.ctx, report(7, 42), "test"); err != nil || created || again.ID != j.ID {
		w.t.Fatalf("submitted again: %+v, created %v, %v", again, created, err)
	}
	w.put(interview(7, 42, "y"))
	if next, _, err := w.Accept(w.ctx, report(7, 42), "test"); err != nil || next.Revision != 2 {
		w.t.Fatalf("the interview has changed: %+v, %v", next, err)
	}
}

func heldDoNotWakeEachOther(w *world) {
	_, f := w.running(report(7, 42))
	_, err := w.ClaimStep(w.ctx, f, "s", "a")
	w.must(err)
	hold := func(r tasks.Request) tasks.Job {
		j, g := w.running(r)
		_, err := w.Fail(w.ctx, g, tasks.Trouble{Hold: tasks.HoldAnswerInProgress, HoldFor: time.Minute})
		w.must(err)
		return j
	}
	first := hold(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}})
	second := hold(tasks.Request{Payload: tasks.Custom{Name: "extra", UserID: 7, ReportID: 42}})
	w.wantState(first.ID, tasks.Held)
	w.must(w.DropStep(w.ctx, f, "s", "a"))
	w.wantState(first.ID, tasks.Accepted)
	w.wantState(second.ID, tasks.Accepted)
}
