package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

func acceptedJobIsThere(w *world) {
	j, created, err := w.Accept(w.ctx, tasks.Request{Payload: tasks.TopicEvaluation{UserID: 7, ReportID: 42}, Priority: tasks.Critical}, "api")
	w.must(err)
	if !created || j.State != tasks.Accepted || j.Revision != 1 || j.Delivery != 1 || j.Priority != tasks.Critical || !tasks.ValidID(j.ID) {
		w.t.Fatalf("accepted as %+v, created %v", j, created)
	}
	got := w.get(j.ID)
	if got.Kind != tasks.KindTopicEvaluation || got.UserID != 7 || got.ReportID != 42 || got.Budget != 5 || got.AcceptedAt != w.clock.Now() {
		w.t.Fatalf("read back %+v", got)
	}
	w.wantLegalHistory(j.ID)
}

func submittingAgainReturnsTheJob(w *world) {
	first := w.accept(report(7, 42))
	check := func(when string) {
		again, created, err := w.Accept(w.ctx, report(7, 42), "test")
		w.must(err)
		if created || again.ID != first.ID {
			w.t.Fatalf("%s: submitted again gave %s, created %v; want %s", when, again.ID, created, first.ID)
		}
	}
	check("accepted")
	w.feed()
	check("queued")
	_, f := w.start(first.ID)
	check("running")
	w.complete(f)
	check("succeeded")
}

func deadJobIsRevived(w *world) {
	j, f := w.running(report(7, 42))
	w.fail(f, tasks.ClassNotAssessable)
	w.wantState(j.ID, tasks.Dead)
	again, created, err := w.Accept(w.ctx, report(7, 42), "test")
	w.must(err)
	if !created || again.ID != j.ID || again.State != tasks.Accepted || again.Charged != 0 || again.Run != 2 || again.Delivery != 2 {
		w.t.Fatalf("revived as %+v, created %v", again, created)
	}
	w.wantLegalHistory(j.ID)
}

func passiveLeavesAlone(w *world) {
	dead, f := w.running(report(7, 1))
	w.fail(f, tasks.ClassNotAssessable)
	cancelled := w.accept(report(7, 2))
	_, err := w.Cancel(w.ctx, cancelled.ID, "op", "")
	w.must(err)
	for _, id := range []int64{1, 2} {
		r := report(7, id)
		r.Passive = true
		if _, created, err := w.Accept(w.ctx, r, "bridge"); err != nil || created {
			w.t.Fatalf("report %d: created %v, %v", id, created, err)
		}
	}
	w.wantState(dead.ID, tasks.Dead)
	w.wantState(cancelled.ID, tasks.Cancelled)
}

func cancelledStays(w *world) {
	j := w.accept(report(7, 42))
	_, err := w.Cancel(w.ctx, j.ID, "op", "")
	w.must(err)
	if _, created, err := w.Accept(w.ctx, report(7, 42), "test"); err != nil || created {
		w.t.Fatalf("submitted again: created %v, %v", created, err)
	}
	w.wantState(j.ID, tasks.Cancelled)
	anew := report(7, 42)
	anew.Anew = true
	if _, created, err := w.Accept(w.ctx, anew, "test"); err != nil || !created {
		w.t.Fatalf("submitted anew: created %v, %v", created, err)
	}
	w.wantState(j.ID, tasks.Accepted)
	w.wantLegalHistory(j.ID)
}

func changedInterviewNextRevision(w *world) {
	w.put(interview(7, 42, "a view"))
	first, f := w.running(report(7, 42))
	w.complete(f)
	w.put(interview(7, 42, "a view of an array"))
	second, created, err := w.Accept(w.ctx, report(7, 42), "test")
	w.must(err)
	third, again, err := w.Accept(w.ctx, report(7, 42), "test")
	w.must(err)
	if !created || second.Revision != 2 || second.ID == first.ID || again || third.ID != second.ID {
		w.t.Fatalf("revision %d created %v; asked again: %s created %v", second.Revision, created, third.ID, again)
	}
	// A running job works on what it began with; the change is a later revision.
	w.feed()
	w.start(second.ID)
	w.put(interview(7, 42, "something else"))
	if fourth := w.accept(report(7, 42)); fourth.Revision != 3 {
		w.t.Fatalf("while running: revision %d, want 3", fourth.Revision)
	}
}

func customDataNextRevision(w *world) {
	custom := func(data string) tasks.Request {
		return tasks.Request{Payload: tasks.Custom{Name: "resume_parse", UserID: 7, ReportID: 42, Data: json.RawMessage(data)}}
	}
	a := w.accept(custom(`{"file":"a"}`))
	same := w.accept(custom(`{"file":"a"}`))
	b := w.accept(custom(`{"file":"b"}`))
	if same.ID != a.ID || b.ID == a.ID || b.Revision != 2 || string(w.get(b.ID).Data) != `{"file":"b"}` {
		w.t.Fatalf("a %+v, same %s, b %+v", a, same.ID, b)
	}
}

func badRequestsRefused(w *world) {
	for _, r := range []tasks.Request{
		{}, report(0, 1), report(1, -1), {Payload: tasks.Custom{Name: "Bad Name", UserID: 1, ReportID: 1}},
		{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 1}, Priority: "urgent"},
	} {
		_, _, err := w.Accept(w.ctx, r, "test")
		var invalid *tasks.InvalidError
		if !errors.As(err, &invalid) {
			w.t.Fatalf("%+v: got %v, want an InvalidError", r, err)
		}
	}
	page, err := w.List(w.ctx, tasks.Filter{})
	w.must(err)
	if len(page.Jobs) != 0 {
		w.t.Fatalf("%d jobs are stored", len(page.Jobs))
	}
}

func idsKeepEveryDigit(w *world) {
	for _, id := range []int64{1, 1<<53 + 1, math.MaxInt64 - 1, math.MaxInt64} {
		j := w.accept(report(id, id))
		found, err := w.Find(w.ctx, tasks.KindEvaluationReport, id, id)
		w.must(err)
		if found.ID != j.ID || found.UserID != id || found.ReportID != id {
			w.t.Fatalf("id %d came back as %d and %d", id, found.UserID, found.ReportID)
		}
	}
}

func batchAnswersEach(w *world) {
	rs := []tasks.Request{report(1, 1), report(0, 1), report(1, 1), report(1, 2)}
	for i := int64(0); i < 300; i++ {
		rs = append(rs, report(9, i+1))
	}
	out := w.AcceptMany(w.ctx, rs, "test")
	if len(out) != len(rs) || out[0].Err != nil || !out[0].Created || out[1].Err == nil || out[2].Created || out[2].Job.ID != out[0].Job.ID || !out[303].Created {
		w.t.Fatalf("got %d answers, the first four %+v", len(out), out[:4])
	}
}

func gaveUpBefore(w *world) {
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	_, _, err := w.Accept(ctx, report(7, 42), "test")
	if !errors.Is(err, context.Canceled) && !errors.Is(err, tasks.ErrOutcomeUnknown) {
		w.t.Fatalf("got %v", err)
	}
	// Whatever the answer was, asking again tells and makes one job.
	w.accept(report(7, 42))
	page, err := w.List(w.ctx, tasks.Filter{})
	w.must(err)
	if len(page.Jobs) != 1 {
		w.t.Fatalf("%d jobs, want 1", len(page.Jobs))
	}
}

func manyCallers(w *world) {
	const callers, keys = 32, 40
	ids := make([]sync.Map, keys)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for k := range keys {
				j, _, err := w.Accept(w.ctx, report(1, int64(k+1)), "test")
				if err != nil {
					w.t.Errorf("accept: %v", err)
					return
				}
				ids[k].Store(j.ID, true)
			}
		})
	}
	wg.Wait()
	for k := range ids {
		n := 0
		ids[k].Range(func(_, _ any) bool { n++; return true })
		if n != 1 {
			w.t.Fatalf("key %d has %d jobs", k, n)
		}
	}
}

func interviewOwner(w *world) {
	w.put(interview(7, 42, "x"))
	if _, err := w.PutInterview(w.ctx, interview(8, 42, "y"), "test"); !errors.Is(err, tasks.ErrConflict) {
		w.t.Fatalf("another user's interview: %v", err)
	}
	if _, err := w.Interview(w.ctx, 8, 42); tasks.ClassOf(err) != tasks.ClassWrongUser {
		w.t.Fatalf("read by another user: %v", err)
	}
	if _, err := w.Interview(w.ctx, 7, 43); tasks.ClassOf(err) != tasks.ClassInterviewMissing || !errors.Is(err, tasks.ErrNotFound) {
		w.t.Fatalf("missing: %v", err)
	}
	got, err := w.Interview(w.ctx, 7, 42)
	w.must(err)
	want := interview(7, 42, "x")
	if got.Hash() != want.Hash() || len(got.Answers) != 1 {
		w.t.Fatalf("read back %+v", got)
	}
	changed, err := w.PutInterview(w.ctx, want, "test")
	if err != nil || changed {
		w.t.Fatalf("the same again: changed %v, %v", changed, err)
	}
	var _ evaluation.Interview = got
}

func pausesAndAudit(w *world) {
	w.must(w.Pause(w.ctx, tasks.Low, true, "op"))
	w.must(w.Pause(w.ctx, tasks.Critical, true, "op"))
	w.must(w.Pause(w.ctx, tasks.Critical, false, "op"))
	paused, err := w.Paused(w.ctx)
	w.must(err)
	if len(paused) != 1 || !paused[tasks.Low] {
		w.t.Fatalf("paused %v", paused)
	}
	w.must(w.Audit(w.ctx, tasks.AuditEntry{Who: "a", Action: "queue.pause", Target: "low"}))
	w.must(w.Audit(w.ctx, tasks.AuditEntry{Who: "b", Action: "job.retry", Target: "x", From: "127.0.0.1"}))
	log, err := w.AuditLog(w.ctx, 10)
	w.must(err)
	if len(log) != 2 || log[0].Who != "b" || log[0].From != "127.0.0.1" || log[1].At.IsZero() {
		w.t.Fatalf("audit log %+v", log)
	}
}

func auditPages(w *world) {
	for i := range 7 {
		w.must(w.Audit(w.ctx, tasks.AuditEntry{Who: "a", Action: "job.retry", Target: fmt.Sprint(i)}))
		for range 3 {
			w.must(w.Audit(w.ctx, tasks.AuditEntry{Who: "b", Action: tasks.AuditSignInFailed, Target: "unknown"}))
		}
	}
	w.must(w.Audit(w.ctx, tasks.AuditEntry{Who: "a", Action: tasks.AuditSignIn, Target: "a"}))
	var targets []string
	q := tasks.AuditQuery{Limit: 3}
	for range 3 {
		page, err := w.AuditPage(w.ctx, q)
		w.must(err)
		for _, e := range page {
			targets = append(targets, e.Target)
			q.Before = e.Seq
		}
	}
	if got := strings.Join(targets, ""); got != "6543210" {
		w.t.Fatalf("the actions are %q", got)
	}
	page, err := w.AuditPage(w.ctx, tasks.AuditQuery{SignIns: true})
	w.must(err)
	if len(page) != 22 || page[0].Action != tasks.AuditSignIn {
		w.t.Fatalf("%d sign-ins: %+v", len(page), page)
	}
}

func listPages(w *world) {
	for i := int64(1); i <= 25; i++ {
		w.accept(report(i%2+1, i))
	}
	seen := map[string]bool{}
	f := tasks.Filter{UserID: 2, Limit: 5}
	for pages := 1; ; pages++ {
		page, err := w.List(w.ctx, f)
		w.must(err)
		for i, j := range page.Jobs {
			if seen[j.ID] || j.UserID != 2 || (i > 0 && j.AcceptedAt.After(page.Jobs[i-1].AcceptedAt)) {
				w.t.Fatalf("page %d shows %+v", pages, j)
			}
			seen[j.ID] = true
		}
		if page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	if len(seen) != 13 {
		w.t.Fatalf("saw %d jobs, want 13", len(seen))
	}
	var invalid *tasks.InvalidError
	for _, bad := range []tasks.Filter{{Cursor: "!"}, {State: "done"}, {Class: "odd"}, {Priority: "x"}, {UserID: -1}} {
		if _, err := w.List(w.ctx, bad); !errors.As(err, &invalid) {
			w.t.Fatalf("%+v: %v", bad, err)
		}
	}
}

func listsCarryNoData(w *world) {
	data := json.RawMessage(`"` + strings.Repeat("d", 200_000) + `"`)
	var ids []string
	for i := int64(1); i <= 8; i++ {
		ids = append(ids, w.accept(tasks.Request{Payload: tasks.Custom{Name: "own_kind", UserID: 3, ReportID: i, Data: data}}).ID)
	}
	page, err := w.List(w.ctx, tasks.Filter{UserID: 3, Limit: 500})
	w.must(err)
	if len(page.Jobs) != len(ids) || page.Next != "" {
		w.t.Fatalf("%d jobs, next %q", len(page.Jobs), page.Next)
	}
	for _, j := range page.Jobs {
		if len(j.Data) > 0 {
			w.t.Errorf("a list carries %d bytes of data", len(j.Data))
		}
	}
	if got := w.get(ids[0]); string(got.Data) != string(data) {
		w.t.Errorf("the job itself has %d bytes of data, want all", len(got.Data))
	}
	o, err := w.Overview(w.ctx)
	w.must(err)
	for queue, j := range o.Oldest {
		if len(j.Data) > 0 {
			w.t.Errorf("the overview carries %d bytes of data of the oldest job of %s", len(j.Data), queue)
		}
	}
}

func listsAreBoundedInBytes(w *world) {
	const jobs, text = 40, 60_000
	for i := int64(1); i <= jobs; i++ {
		_, f := w.running(report(4, i))
		_, err := w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassInternal, Message: strings.Repeat("m", text)}})
		w.must(err)
	}
	seen, pages := 0, 0
	for f := (tasks.Filter{UserID: 4, Limit: 500}); ; pages++ {
		page, err := w.List(w.ctx, f)
		w.must(err)
		size := 0
		for _, j := range page.Jobs {
			size += len(j.Error.Message)
		}
		if size > 1<<20 || len(page.Jobs) == 0 {
			w.t.Fatalf("a page of %d jobs has %d bytes of messages", len(page.Jobs), size)
		}
		if seen += len(page.Jobs); page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	if seen != jobs {
		w.t.Errorf("saw %d jobs, want %d", seen, jobs)
	}
}

func waitersLearn(w *world) {
	_, f := w.running(report(7, 42))
	got := make(chan tasks.Job, 1)
	go func() {
		j, err := w.Wait(w.ctx, f.Job, time.Minute)
		if err != nil {
			w.t.Errorf("wait: %v", err)
		}
		got <- j
	}()
	w.complete(f)
	select {
	case j := <-got:
		if j.State != tasks.Succeeded || len(j.Result) == 0 {
			w.t.Fatalf("learned %+v", j)
		}
	case <-time.After(10 * time.Second):
		w.t.Fatal("nobody told the waiter")
	}
}
