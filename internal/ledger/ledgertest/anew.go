package ledgertest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"evalq/tasks"
)

var anew = tasks.RetryOptions{NewRevision: true}

// evaluated brings a job to its end with a step of its own and one that the jobs of
// its report share.
func (w *world) evaluated(r tasks.Request) tasks.Job {
	w.t.Helper()
	j, f := w.running(r)
	w.save(f, j.Scope(), "call")
	w.save(f, j.ReportScope(), "answer")
	w.complete(f)
	return w.get(j.ID)
}

func evaluatedAnew(w *world) {
	w.put(interview(7, 42, "a view"))
	old := w.evaluated(tasks.Request{Payload: report(7, 42).Payload, Priority: tasks.Low})
	w.clock.pass(time.Hour)
	next, err := w.RetryWith(w.ctx, old.ID, anew, "op", "the judge has changed")
	w.must(err)
	if next.ID == old.ID || next.Revision != 2 || next.State != tasks.Accepted || next.Priority != tasks.Low || !next.StepsSince.Equal(next.AcceptedAt) || next.Run != 1 {
		w.t.Fatalf("the next revision is %+v", next)
	}
	for _, id := range []string{old.ID, next.ID} { // by either
		if again, err := w.RetryWith(w.ctx, id, anew, "op", ""); err != nil || again.ID != next.ID {
			w.t.Fatalf("asked twice: %+v, %v", again, err)
		}
	}
	events, err := w.Events(w.ctx, next.ID)
	w.must(err)
	if len(events) != 1 || events[0].Who != "op" || events[0].Why != "evaluated anew: the judge has changed" {
		w.t.Fatalf("its history begins with %+v", events)
	}
	if got := w.wantState(old.ID, tasks.Succeeded); got.Result == nil {
		w.t.Fatal("the old result is gone")
	}
	w.clock.pass(time.Minute)
	w.feed()
	_, f := w.start(next.ID)
	if w.stored(f, next.Scope(), "call") || w.stored(f, next.ReportScope(), "answer") {
		w.t.Fatal("a step that was kept before is used")
	}
	w.must(w.SaveStep(w.ctx, f, next.ReportScope(), "answer", json.RawMessage(`"another"`)))
	if again, err := w.RetryWith(w.ctx, next.ID, anew, "op", ""); err != nil || again.ID != next.ID || again.State != tasks.Running {
		w.t.Fatalf("asked while it runs: %+v, %v", again, err)
	}
	w.fail(f, tasks.ClassInternal)
	w.clock.pass(time.Hour)
	_, f = w.start(next.ID)
	if !w.stored(f, next.ReportScope(), "answer") {
		w.t.Fatal("the revision does not use what it has kept itself")
	}
	w.complete(f)
	// Another kind reuses the fresh answer, and one that is evaluated anew after it
	// does not.
	topic, f := w.running(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}})
	if !w.stored(f, topic.ReportScope(), "answer") {
		w.t.Fatal("another job does not use the fresh answer")
	}
	w.complete(f)
	third, err := w.RetryWith(w.ctx, old.ID, anew, "op", "")
	if w.must(err); third.Revision != 3 {
		w.t.Fatalf("asked again after its end: %+v", third)
	}
	w.wantLegalHistory(next.ID)
}

func anewIsNoChange(w *world) {
	w.put(interview(7, 42, "a view"))
	own := tasks.Request{Payload: tasks.Custom{Name: "own", UserID: 7, ReportID: 43, Data: json.RawMessage(`{"k":1}`)}}
	for _, r := range []tasks.Request{report(7, 42), own} {
		old := w.evaluated(r)
		next, err := w.RetryWith(w.ctx, old.ID, anew, "op", "")
		w.must(err)
		if string(next.Data) != string(old.Data) {
			w.t.Fatalf("its data is %s", next.Data)
		}
		for _, step := range []func(){func() {}, func() { w.feed() }, func() { w.start(next.ID) }, func() {
			w.complete(tasks.Fence{Job: next.ID, Attempt: 1, Worker: worker})
		}} {
			step()
			for _, passive := range []bool{false, true} {
				again := r
				again.Passive = passive
				if got, created, err := w.Accept(w.ctx, again, "bridge"); err != nil || created || got.ID != next.ID {
					w.t.Fatalf("a later submission of a job that is %s gave %+v, created %v, %v", w.get(next.ID).State, got, created, err)
				}
			}
		}
	}
}

func skippedIsEvaluatedAnew(w *world) {
	j, f := w.running(report(7, 42))
	w.must(w.Complete(w.ctx, f, tasks.Finish{Skipped: "empty"}))
	next, err := w.RetryWith(w.ctx, j.ID, anew, "op", "")
	if w.must(err); next.Revision != 2 || next.State != tasks.Accepted || next.Skipped != "" {
		w.t.Fatalf("the next revision is %+v", next)
	}
}

func unfinishedIsNotEvaluatedAnew(w *world) {
	j := w.accept(report(7, 42))
	refused := func() {
		w.t.Helper()
		_, err := w.RetryWith(w.ctx, j.ID, anew, "op", "")
		if state := string(w.get(j.ID).State); !errors.Is(err, tasks.ErrConflict) || !strings.Contains(err.Error(), state) {
			w.t.Fatalf("a job that is %s: %v", state, err)
		}
	}
	refused()
	w.feed()
	refused()
	_, f := w.start(j.ID)
	refused()
	w.fail(f, tasks.ClassInternal)
	refused()
	w.clock.pass(time.Hour)
	_, f = w.start(j.ID)
	_, err := w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	refused()
	// A revision that began because the interview has changed may use what is kept.
	w.put(interview(7, 42, "a view"))
	w.feed()
	_, f = w.start(j.ID)
	w.complete(f)
	w.put(interview(7, 42, "another"))
	changed := w.accept(report(7, 42))
	if _, err := w.RetryWith(w.ctx, j.ID, anew, "op", ""); !errors.Is(err, tasks.ErrConflict) || changed.Revision != 2 {
		w.t.Fatalf("revision %d is under way: %v", changed.Revision, err)
	}
	if _, err := w.RetryWith(w.ctx, tasks.NewID(time.Now()), anew, "op", ""); !errors.Is(err, tasks.ErrNotFound) {
		w.t.Fatalf("no job: %v", err)
	}
}

func stepsAreDropped(w *world) {
	drops := map[string]tasks.RetryOptions{"drop": {DropSteps: true}, "anew": anew}
	ends := map[string]func(j tasks.Job, f tasks.Fence){
		"dead":     func(_ tasks.Job, f tasks.Fence) { w.fail(f, tasks.ClassNotAssessable) },
		"retrying": func(_ tasks.Job, f tasks.Fence) { w.fail(f, tasks.ClassInternal) },
		"cancelled": func(j tasks.Job, f tasks.Fence) {
			_, err := w.Cancel(w.ctx, j.ID, "op", "")
			w.must(err)
			_, err = w.Fail(w.ctx, f, tasks.Trouble{})
			w.must(err)
		},
	}
	id := int64(100)
	for name, how := range drops {
		for state, end := range ends {
			if state == "retrying" && how.NewRevision {
				continue // a conflict
			}
			id++
			j, f := w.running(report(7, id))
			w.save(f, j.Scope(), "call")
			w.save(f, j.ReportScope(), "answer")
			end(j, f)
			w.clock.pass(time.Minute)
			got, err := w.RetryWith(w.ctx, j.ID, how, "op", "it is bad")
			w.must(err)
			if got.ID != j.ID || got.State != tasks.Accepted || got.Run != 2 || got.StepsSince.IsZero() {
				w.t.Fatalf("%s, %s: %+v", name, state, got)
			}
			w.feed()
			_, f = w.start(j.ID)
			if w.stored(f, j.Scope(), "call") || w.stored(f, j.ReportScope(), "answer") {
				w.t.Fatalf("%s, %s: a dropped step is used", name, state)
			}
			w.must(w.SaveStep(w.ctx, f, j.Scope(), "call", json.RawMessage(`2`)))
			w.fail(f, tasks.ClassNotAssessable)
			_, err = w.Retry(w.ctx, j.ID, "op", "")
			w.must(err)
			w.feed()
			_, f = w.start(j.ID)
			if !w.stored(f, j.Scope(), "call") {
				w.t.Fatalf("%s, %s: a step that was kept since is not used", name, state)
			}
			events, err := w.Events(w.ctx, j.ID)
			w.must(err)
			if !slices.ContainsFunc(events, func(e tasks.Event) bool { return e.Why == "run by hand without its kept steps: it is bad" }) {
				w.t.Fatalf("%s, %s: the history does not say so: %+v", name, state, events)
			}
			w.wantLegalHistory(j.ID)
		}
	}
}

func stepIsForgotten(w *world) {
	j, f := w.running(report(7, 42))
	w.save(f, j.Scope(), "call")
	w.must(w.ForgetStep(w.ctx, f, j.Scope(), "call"))
	w.must(w.ForgetStep(w.ctx, f, j.Scope(), "call")) // twice is once
	if v := w.fail(f, tasks.ClassInvalidOutput); !v.Charged {
		w.t.Fatal("an attempt that forgot what it kept is free")
	}
	w.clock.pass(time.Hour)
	_, f = w.start(j.ID)
	if w.stored(f, j.Scope(), "call") {
		w.t.Fatal("the forgotten step is used")
	}
	w.must(w.SaveStep(w.ctx, f, j.Scope(), "call", json.RawMessage(`1`)))
	w.save(f, j.Scope(), "other")
	if v := w.fail(f, tasks.ClassInternal); v.Charged {
		w.t.Fatal("an attempt that kept a step is charged")
	}
	// A later attempt forgets what an earlier one kept; what another is at work on
	// is not its.
	w.clock.pass(time.Hour)
	_, g := w.running(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}})
	_, err := w.ClaimStep(w.ctx, g, j.ReportScope(), "answer")
	w.must(err)
	_, f = w.start(j.ID)
	w.must(w.ForgetStep(w.ctx, f, j.Scope(), "call"))
	w.must(w.ForgetStep(w.ctx, f, j.ReportScope(), "answer"))
	if w.stored(f, j.Scope(), "call") || !w.stored(f, j.Scope(), "other") {
		w.t.Fatal("not the forgotten step alone is gone")
	}
	w.must(w.SaveStep(w.ctx, g, j.ReportScope(), "answer", json.RawMessage(`1`)))
	if !w.stored(f, j.ReportScope(), "answer") {
		w.t.Fatal("a step that another job was at work on is gone")
	}
	stale := tasks.Fence{Job: j.ID, Attempt: 1, Worker: worker}
	if err := w.ForgetStep(w.ctx, stale, j.Scope(), "other"); !errors.Is(err, tasks.ErrStale) {
		w.t.Fatalf("a zombie forgets a step: %v", err)
	}
}

func stepsAreForgotten(w *world) {
	j, f := w.running(report(7, 42))
	w.save(f, j.Scope(), "call")
	w.save(f, j.Scope(), "other")
	w.save(f, j.ReportScope(), "shared")
	w.must(w.ForgetSteps(w.ctx, f, j.Scope()))
	w.must(w.ForgetSteps(w.ctx, f, j.Scope())) // twice is once
	w.must(w.ForgetStep(w.ctx, f, j.ReportScope(), "shared"))
	if v := w.fail(f, tasks.ClassInvalidOutput); !v.Charged {
		w.t.Fatal("an attempt that forgot all that it kept is free")
	}
	w.clock.pass(time.Hour)
	_, f = w.start(j.ID)
	for _, step := range []string{"call", "other"} {
		if w.stored(f, j.Scope(), step) {
			w.t.Fatalf("the forgotten step %q is used", step)
		}
	}
	stale := tasks.Fence{Job: j.ID, Attempt: 1, Worker: worker}
	if err := w.ForgetSteps(w.ctx, stale, j.Scope()); !errors.Is(err, tasks.ErrStale) {
		w.t.Fatalf("a zombie forgets steps: %v", err)
	}
}

// manyAskAnew have one ledger, or two on one database, start one revision.
func manyAskAnew(w *world) {
	old := w.evaluated(report(7, 42))
	var wg sync.WaitGroup
	got := make([]tasks.Job, 16)
	errs := make([]error, len(got))
	for i := range got {
		wg.Go(func() { got[i], errs[i] = w.RetryWith(w.ctx, old.ID, anew, "op", "") })
	}
	wg.Wait()
	w.must(errors.Join(errs...))
	for _, j := range got {
		if j.ID != got[0].ID || j.Revision != 2 {
			w.t.Fatalf("asked by many at once: %+v and %+v", got[0], j)
		}
	}
}
