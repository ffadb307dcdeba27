package ledgertest

import (
	"math"
	"slices"
	"time"

	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/tasks"
)

// lacking reads all pages of one look.
func (w *world) lacking(look evaluation.Look) (out []evaluation.Lack, looked int) {
	w.t.Helper()
	if look.Limit == 0 {
		look.Limit = 100
	}
	for {
		b, err := w.Unevaluated(w.ctx, look)
		w.must(err)
		if b.Looked > look.Limit || b.Next != 0 && b.Looked != look.Limit {
			w.t.Fatalf("a page of %d looked at %d, and goes on at %d", look.Limit, b.Looked, b.Next)
		}
		out, looked = append(out, b.Lacks...), looked+b.Looked
		if b.Next == 0 {
			return out, looked
		}
		look.After = b.Next
	}
}

// wantLacking compares what lacks a result, by report, with want.
func (w *world) wantLacking(want map[int64][]tasks.Kind) {
	w.t.Helper()
	got, _ := w.lacking(evaluation.Look{})
	for _, lack := range got {
		if !slices.Equal(want[lack.ReportID], lack.Kinds) {
			w.t.Fatalf("report %d lacks %v, want %v", lack.ReportID, lack.Kinds, want[lack.ReportID])
		}
	}
	if len(got) != len(want) {
		w.t.Fatalf("found %+v, want %v", got, want)
	}
}

func unevaluatedIsFound(w *world) {
	const whole, topics = tasks.KindEvaluationReport, tasks.KindTopicEvaluation
	both := []tasks.Kind{whole, topics}
	w.put(interview(7, 1, "nothing was submitted"))
	w.put(interview(7, 2, "one kind has a result"))
	w.put(interview(7, 3, "both have one"))
	w.put(interview(7, 4, "one is dead"))
	w.put(interview(7, 5, "somebody else's job"))
	w.put(interview(7, 6, ""))
	w.put(interview(8, math.MaxInt64, "the last id"))
	w.succeed(report(7, 2))
	w.succeed(report(7, 3))
	w.succeed(topic(7, 3))
	dead, f := w.running(report(7, 4))
	w.fail(f, tasks.ClassNotAssessable)
	w.succeed(topic(7, 4))
	w.accept(report(9, 5))
	w.accept(report(7, 77)) // without an interview
	want := map[int64][]tasks.Kind{1: both, 2: {topics}, 4: {whole}, 5: both, math.MaxInt64: both}
	w.wantLacking(want)

	// A newer form of the interview makes no older result a missing one.
	w.put(interview(7, 3, "both had one, and more was said"))
	w.wantLacking(want)
	w.accept(report(7, 3)) // but a revision that was asked for and has no result does
	want[3] = []tasks.Kind{whole}
	w.wantLacking(want)

	_, err := w.Retry(w.ctx, dead.ID, "op", "")
	w.must(err)
	w.feed()
	_, f = w.start(dead.ID)
	w.complete(f)
	delete(want, 4)
	w.wantLacking(want)
}

func skippedNeedsNoResult(w *world) {
	w.put(interview(7, 1, " "))
	j, f := w.running(report(7, 1))
	w.must(w.Complete(w.ctx, f, tasks.Finish{Skipped: "empty"}))
	w.wantState(j.ID, tasks.Skipped)
	w.wantLacking(map[int64][]tasks.Kind{})
	w.put(interview(7, 1, "a view of an array"))
	w.wantLacking(map[int64][]tasks.Kind{1: tasks.Kinds()})
	// A handler of a platform's own may skip what was answered; it has seen it.
	w.accept(report(7, 1))
	w.feed()
	newest, err := w.Find(w.ctx, tasks.KindEvaluationReport, 7, 1)
	w.must(err)
	_, f = w.start(newest.ID)
	w.must(w.Complete(w.ctx, f, tasks.Finish{Skipped: "not wanted"}))
	w.wantLacking(map[int64][]tasks.Kind{1: {tasks.KindTopicEvaluation}})
}

func unevaluatedPages(w *world) {
	const n = 31
	for id := int64(1); id <= n; id++ {
		said := "x"
		if id%5 == 0 {
			said = ""
		}
		w.put(interview(7+id%3, id, said))
		w.clock.pass(time.Minute)
	}
	for _, limit := range []int{1, 7, 31, 100} {
		var ids []int64
		lacks, looked := w.lacking(evaluation.Look{Limit: limit})
		for _, lack := range lacks {
			ids = append(ids, lack.ReportID)
			if lack.Age != time.Duration(n+1-lack.ReportID)*time.Minute {
				w.t.Fatalf("report %d was changed %s ago", lack.ReportID, lack.Age)
			}
		}
		if looked != n || len(ids) != 25 || !slices.IsSorted(ids) || slices.Contains(ids, 5) {
			w.t.Fatalf("pages of %d: looked at %d, found %v", limit, looked, ids)
		}
	}
	lacks, looked := w.lacking(evaluation.Look{UserID: 8, Limit: 2})
	if looked != 11 || slices.ContainsFunc(lacks, func(lack evaluation.Lack) bool { return lack.UserID != 8 }) {
		w.t.Fatalf("of one user: looked at %d, found %+v", looked, lacks)
	}
}

func newestOfEach(w *world) {
	w.put(interview(7, 1, "x"))
	w.succeed(report(7, 1))
	w.put(interview(7, 1, "y"))
	second := w.accept(report(7, 1))
	var asked []tasks.Payload
	for id := int64(1); id <= 300; id++ { // more than one statement takes
		asked = append(asked, tasks.EvaluationReport{UserID: 7, ReportID: id})
	}
	asked = append(asked, tasks.TopicEvaluation{UserID: 7, ReportID: 1}, tasks.EvaluationReport{UserID: 8, ReportID: 1}, asked[0])
	got, err := w.Newest(w.ctx, asked)
	w.must(err)
	if len(got) != len(asked) {
		w.t.Fatalf("%d answers to %d", len(got), len(asked))
	}
	for i, j := range got {
		if want := map[int]string{0: second.ID, 302: second.ID}[i]; j.ID != want || want != "" && (j.Revision != 2 || j.State != tasks.Accepted || j.UserID != 7) {
			w.t.Fatalf("%+v has the newest job %+v", asked[i], j)
		}
	}
	if none, err := w.Newest(w.ctx, nil); err != nil || len(none) != 0 {
		w.t.Fatalf("of nothing: %v, %v", none, err)
	}
}

// fullWindows has more users at their limit than one call looks at.
func fullWindows(w *world) {
	const users = 1100
	var rs []tasks.Request
	for u := range int64(users) {
		rs = append(rs, report(u+1, u*10+1), report(u+1, u*10+2))
	}
	for _, a := range w.AcceptMany(w.ctx, rs, "test") {
		w.must(a.Err)
	}
	win := ledger.Window{PerUser: 1, Total: 10_000}
	handed := 0
	for range 50 {
		fed, err := w.Feed(w.ctx, tasks.Default, win)
		w.must(err)
		handed, win.After = handed+len(fed.Jobs), fed.After
	}
	if handed != users {
		w.t.Fatalf("%d jobs were handed out, one for each of %d users", handed, users)
	}
	late := w.accept(report(users+1, 1))
	for range 5 {
		fed, err := w.Feed(w.ctx, tasks.Default, win)
		w.must(err)
		win.After = fed.After
		if len(fed.Jobs) == 1 && fed.Jobs[0].ID == late.ID {
			return
		}
	}
	w.t.Fatal("a newcomer waits behind users whose windows are full")
}
