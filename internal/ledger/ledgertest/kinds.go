package ledgertest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"evalq/internal/ledger"
	"evalq/tasks"
)

const (
	oldKind tasks.Kind = "old_kind"
	newKind tasks.Kind = "new_kind"
)

func custom(k tasks.Kind, user, id int64) tasks.Request {
	return tasks.Request{Payload: tasks.Custom{Name: k, UserID: user, ReportID: id}}
}

// only lets the one worker be one that handles those kinds alone.
func (w *world) only(kinds ...tasks.Kind) {
	w.t.Helper()
	w.must(w.Leave(w.ctx, worker))
	w.join("old", kinds...)
}

func (w *world) join(id string, kinds ...tasks.Kind) {
	w.t.Helper()
	w.must(w.Join(w.ctx, tasks.Worker{ID: id, Slots: 2, Kinds: kinds}))
}

// arrive brings the present delivery of a job to a worker.
func (w *world) arrive(id, at string, kinds ...tasks.Kind) tasks.Claim {
	w.t.Helper()
	j := w.get(id)
	c, err := w.Begin(w.ctx, tasks.Delivery{Job: id, Number: j.Delivery, Worker: at, Kinds: kinds})
	w.must(err)
	return c
}

func (w *world) wantHeld(id string, want tasks.Hold) {
	w.t.Helper()
	if j := w.wantState(id, tasks.Held); j.Hold != want || j.Attempt != 0 || j.Charged != 0 {
		w.t.Fatalf("it is held for %q after attempt %d, %d charged", j.Hold, j.Attempt, j.Charged)
	}
}

func (w *world) release() int {
	w.t.Helper()
	n, _, err := w.ReleaseHandled(w.ctx)
	w.must(err)
	return n
}

func (w *world) look() ledger.Outlook {
	w.t.Helper()
	o, err := w.Look(w.ctx)
	w.must(err)
	return o
}

func unhandledIsHeld(w *world) {
	w.only(oldKind)
	inRedis, ready := w.accept(custom(newKind, 1, 1)), tasks.Job{}
	w.join("new", newKind)
	if fed := w.feed(); len(fed) != 1 {
		w.t.Fatalf("%d jobs were handed out", len(fed))
	}
	if c := w.arrive(inRedis.ID, "old", oldKind); c.Outcome != tasks.Others {
		w.t.Fatalf("while another worker handles the kind: %s", c.Outcome)
	}
	w.wantState(inRedis.ID, tasks.Queued)
	w.must(w.Leave(w.ctx, "new"))

	ready = w.accept(custom(newKind, 1, 2))
	if fed := w.feed(); len(fed) != 0 {
		w.t.Fatalf("a job that no worker handles was handed out: %v", fed)
	}
	w.wantHeld(ready.ID, tasks.HoldNoWorker)
	if c := w.arrive(inRedis.ID, "old", oldKind); c.Outcome != tasks.Settled {
		w.t.Fatalf("while no worker handles the kind: %s", c.Outcome)
	}
	w.wantHeld(inRedis.ID, tasks.HoldNoWorker)
	if w.release() != 0 || !w.look().Unhandled {
		w.t.Fatal("they went on though no worker handles the kind")
	}
	o, err := w.Overview(w.ctx)
	w.must(err)
	if len(o.Unhandled) != 1 || o.Unhandled[0].Kind != newKind || o.Unhandled[0].Jobs != 2 || o.Unhandled[0].Since.IsZero() {
		w.t.Fatalf("the overview says %+v", o.Unhandled)
	}

	w.join("newer", newKind)
	if w.release() != 2 || w.look().Unhandled {
		w.t.Fatal("they did not go on")
	}
	for _, j := range w.feed() {
		c := w.arrive(j.ID, "newer", newKind)
		if c.Outcome != tasks.Mine || c.Job.Attempt != 1 {
			w.t.Fatalf("%s at attempt %d", c.Outcome, c.Job.Attempt)
		}
		w.must(w.Complete(w.ctx, tasks.Fence{Job: j.ID, Attempt: 1, Worker: "newer"}, tasks.Finish{Result: []byte("1")}))
		w.wantLegalHistory(j.ID)
	}
	w.wantState(inRedis.ID, tasks.Succeeded)
	w.wantState(ready.ID, tasks.Succeeded)
}

// noWorkerYet: before the first worker has begun, and while the last one is being
// replaced, jobs wait as they always do.
func noWorkerYet(w *world) {
	w.must(w.Leave(w.ctx, worker))
	if w.accept(custom(newKind, 1, 1)); len(w.feed()) != 1 {
		w.t.Fatal("without a worker a job is not handed out")
	}
	w.join("old", oldKind)
	w.must(w.Beat(w.ctx, "old", true))
	if w.accept(custom(newKind, 1, 2)); len(w.feed()) != 1 {
		w.t.Fatal("with a worker that stops a job is not handed out")
	}
	w.join("any")
	w.join("old2", oldKind)
	if w.accept(custom("odd_kind", 1, 3)); len(w.feed()) != 1 {
		w.t.Fatal("with a worker of every kind a job is not handed out")
	}
}

func unhandledForTooLong(w *world) {
	w.only(oldKind)
	late, revived := w.accept(custom(newKind, 1, 1)), w.accept(custom(newKind, 1, 2))
	w.feed()
	w.clock.pass(23 * time.Hour)
	w.ripen(0)
	w.wantHeld(late.ID, tasks.HoldNoWorker)
	w.clock.pass(time.Hour)
	w.ripen(2)
	for _, j := range []tasks.Job{late, revived} {
		dead := w.wantState(j.ID, tasks.Dead)
		if dead.Error == nil || dead.Error.Class != tasks.ClassNoHandler || !strings.Contains(dead.Error.Message, `"new_kind" within 24h`) || dead.Attempt != 0 {
			w.t.Fatalf("dead at attempt %d as %+v", dead.Attempt, dead.Error)
		}
	}
	w.join("new", newKind)
	if _, err := w.Retry(w.ctx, revived.ID, "op", ""); err != nil {
		w.t.Fatal(err)
	}
	if j := w.accept(custom(newKind, 1, 1)); j.ID != late.ID || j.State != tasks.Accepted {
		w.t.Fatalf("submitted again it is %s", j.State)
	}
	if fed := w.feed(); len(fed) != 2 {
		w.t.Fatalf("%d of 2 revived jobs were handed out", len(fed))
	}
	w.wantLegalHistory(late.ID)
}

func (w *world) ripen(want int) {
	w.t.Helper()
	n, err := w.Ripen(w.ctx)
	w.must(err)
	if want > 0 && n != want {
		w.t.Fatalf("%d held jobs were looked at, want %d", n, want)
	}
}

// idleTimeIsNoWait: a weekend on which all is switched off kills nothing on Monday.
func idleTimeIsNoWait(w *world) {
	w.only(oldKind)
	j := w.accept(custom(newKind, 1, 1))
	w.feed()
	w.clock.pass(time.Hour)
	w.must(w.Leave(w.ctx, "old"))
	w.clock.pass(48 * time.Hour)
	w.ripen(0)
	w.wantHeld(j.ID, tasks.HoldNoWorker)
	for day := range 3 { // each worker follows the one before within a minute
		w.join("old"+string(rune('a'+day)), oldKind)
		w.clock.pass(11 * time.Hour)
		w.ripen(0)
		w.wantHeld(j.ID, tasks.HoldNoWorker)
		w.must(w.Leave(w.ctx, "old"+string(rune('a'+day))))
		w.clock.pass(30 * time.Second)
		if day == 1 {
			break
		}
	}
	w.join("last", oldKind)
	w.clock.pass(27 * time.Hour)
	w.ripen(0)
	w.wantState(j.ID, tasks.Dead)
}

func dueWithAWorker(w *world) {
	w.only(oldKind)
	j := w.accept(custom(newKind, 1, 1))
	w.feed()
	w.join("new", newKind)
	w.clock.pass(25 * time.Hour)
	w.ripen(1)
	w.wantState(j.ID, tasks.Accepted)
}

// partlyHandled: the tasks of a kind that one of two workers handles are few, and
// they take no other job's place.
func partlyHandled(w *world) {
	w.only(oldKind)
	w.join("new", oldKind, newKind)
	const users, each = 3, 5
	var slow []tasks.Job
	for u := range int64(users) {
		for i := range int64(each) {
			slow = append(slow, w.accept(custom(newKind, u+1, 10*u+i+1)))
		}
	}
	quick := w.accept(custom(oldKind, 1, 99)) // behind all of its user's
	win := ledger.Window{PerUser: 4, Total: 1000}
	fed := w.fedAll(win)
	if n := ofKind(fed, newKind); len(n) != 4 || !slices.ContainsFunc(fed, func(j tasks.Job) bool { return j.ID == quick.ID }) {
		w.t.Fatalf("%d tasks of the kind were handed out; all: %v", len(n), fed)
	}
	held := 0
	for _, j := range slow {
		if j = w.get(j.ID); j.State == tasks.Held {
			held++
			w.wantHeld(j.ID, tasks.HoldWorkersBusy)
		}
	}
	if held != users*each-4 || !w.look().Busy[tasks.Default] {
		w.t.Fatalf("%d jobs are held", held)
	}
	more := w.accept(custom(newKind, 9, 90))
	if n := w.fedAll(win); len(n) != 0 {
		w.t.Fatalf("%d jobs were handed out above the window", len(n))
	}
	w.wantHeld(more.ID, tasks.HoldWorkersBusy)

	done := map[string]bool{}
	for round := 0; len(done) < users*each+1; round++ {
		if round > 100 {
			w.t.Fatalf("%d jobs have run", len(done))
		}
		for _, j := range fed {
			c := w.arrive(j.ID, "new", oldKind, newKind)
			if c.Outcome != tasks.Mine {
				continue
			}
			w.must(w.Complete(w.ctx, tasks.Fence{Job: j.ID, Attempt: c.Job.Attempt, Worker: "new"}, tasks.Finish{Result: []byte("1")}))
			if j.Kind == newKind {
				done[j.ID] = true
			}
			w.wantLegalHistory(j.ID)
		}
		fed = w.fedAll(win)
		if round == 0 {
			users := map[int64]bool{}
			for _, j := range fed {
				users[j.UserID] = true
			}
			if len(users) != 4 {
				w.t.Fatalf("of four users with jobs %d got a turn", len(users))
			}
		}
	}
	if w.look().Busy[tasks.Default] {
		w.t.Fatal("some wait still")
	}
}

// busyThenGone: the only worker of the kind ends while jobs wait for it.
func busyThenGone(w *world) {
	w.only(oldKind)
	w.join("new", newKind)
	for i := range int64(6) {
		w.accept(custom(newKind, 1, i+1))
	}
	win := ledger.Window{PerUser: 2, Total: 1000}
	queued := w.fedAll(win)
	if n := w.fedAll(win); len(n) != 0 || !w.look().Busy[tasks.Default] {
		w.t.Fatalf("%d more jobs were handed out", len(n))
	}
	w.must(w.Leave(w.ctx, "new"))
	w.fedAll(win)
	for _, j := range queued {
		w.arrive(j.ID, "old", oldKind)
	}
	page, err := w.List(w.ctx, tasks.Filter{})
	w.must(err)
	for _, j := range page.Jobs {
		w.wantHeld(j.ID, tasks.HoldNoWorker)
	}
	w.must(w.Leave(w.ctx, "old"))
	w.join("all", oldKind, newKind)
	if n := w.release(); n != 6 {
		w.t.Fatalf("%d of 6 jobs went on", n)
	}
	if n := len(w.feed()); n != 6 {
		w.t.Fatalf("%d of 6 jobs were handed out", n)
	}
}

func (w *world) fedAll(win ledger.Window) []tasks.Job {
	w.t.Helper()
	var out []tasks.Job
	for {
		win.Busy = true
		fed, err := w.Feed(w.ctx, tasks.Default, win)
		w.must(err)
		out, win.After = append(out, fed.Jobs...), fed.After
		if !fed.More || len(fed.Jobs)+fed.Held == 0 {
			return out
		}
	}
}

func ofKind(jobs []tasks.Job, k tasks.Kind) []tasks.Job {
	return slices.DeleteFunc(slices.Clone(jobs), func(j tasks.Job) bool { return j.Kind != k })
}

func knownKinds(w *world) {
	want := func(custom ...tasks.Kind) {
		w.t.Helper()
		got, err := w.Kinds(w.ctx)
		w.must(err)
		if all := append(tasks.Kinds(), custom...); !slices.Equal(got, all) {
			w.t.Fatalf("known are %v, want %v", got, all)
		}
	}
	want()
	w.join("new", tasks.KindEvaluationReport, newKind)
	w.must(w.Announce(w.ctx, []tasks.Kind{"later_kind", tasks.KindEvaluationReport}))
	w.must(w.Announce(w.ctx, []tasks.Kind{"later_kind"}))
	want("later_kind", newKind)
	w.refusesKinds("Later_Kind", "later kind", "later-kind", "1st_kind", "\xffkind", "", tasks.Kind(strings.Repeat("k", 300)), "latr_kind")
	w.clock.pass(31 * 24 * time.Hour)
	want(newKind) // its worker lives
	w.must(w.Leave(w.ctx, "new"))
	w.clock.pass(29 * 24 * time.Hour)
	_, err := w.Trim(w.ctx, time.Time{})
	w.must(err)
	want(newKind)
	w.clock.pass(2 * 24 * time.Hour)
	want()
	_, err = w.Trim(w.ctx, time.Time{})
	w.must(err)
	o, err := w.Overview(w.ctx)
	w.must(err)
	if len(o.Workers) != 1 || o.Workers[0].Kinds == nil {
		w.t.Fatalf("the workers are %+v", o.Workers)
	}
}

// refusesKinds wants each to be refused in words that name the known kinds, and not
// the refused one.
func (w *world) refusesKinds(kinds ...tasks.Kind) {
	w.t.Helper()
	var rs []tasks.Request
	for _, k := range kinds {
		rs = append(rs, custom(k, 1, 1))
	}
	for i, a := range w.SubmitMany(w.ctx, rs, "test") {
		var invalid *tasks.InvalidError
		if !errors.As(a.Err, &invalid) || !strings.Contains(a.Err.Error(), "Known are evaluation_report, topic_evaluation, later_kind, new_kind") ||
			kinds[i] != "" && strings.Contains(a.Err.Error(), string(kinds[i])) {
			w.t.Errorf("kind %q: %v", kinds[i], a.Err)
		}
	}
	said := custom("Later_Kind", 1, 1)
	said.NewKind = true
	if _, _, err := w.Submit(w.ctx, said, "test"); err == nil {
		w.t.Error("a malformed kind is accepted because it is said to be new")
	}
}
