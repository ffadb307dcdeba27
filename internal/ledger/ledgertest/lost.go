package ledgertest

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"evalq/internal/ledger"
	"evalq/tasks"
)

// URLOpener opens the ledger at a URL.
type URLOpener func(t testing.TB, url string, cfg *ledger.Config) *ledger.Ledger

// RunLostAnswers cuts the connection after a commit has reached the database and
// before its answer comes back, and asks whether each write is done once and its
// caller told the truth.
func RunLostAnswers(t *testing.T, url func(testing.TB) string, open URLOpener) {
	for name, test := range map[string]func(*cutWorld){
		"a submission":          lostAccept,
		"a begin":               lostBegin,
		"a stored step":         lostSave,
		"a result":              lostComplete,
		"a failure":             lostFail,
		"a hand-over":           lostFeed,
		"a batch of many":       lostBatch,
		"a worker that joins":   lostJoin,
		"a retry and a cancel":  lostActs,
		"a database gone after": lostForGood,

		"a connection that falls silent inside a write": silentWrite,
		"connections that fall silent when they idle":   silentReads,
		"a write that finds silence spares the reads":   silenceIsTold,
		"a connection that falls silent after a write":  silentAfterwards,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newCutter(t, url(t))
			clock := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
			w := &world{t: t, ctx: t.Context(), clock: clock}
			cfg := &ledger.Config{Build: "v1.2.3", Now: clock.Now, Jitter: func() float64 { return 0.5 }}
			w.Ledger = open(t, p.url, cfg)
			w.must(w.Join(w.ctx, tasks.Worker{ID: worker, Slots: 4}))
			test(&cutWorld{w, p, func() *ledger.Ledger { return open(t, p.straight, cfg) }})
		})
	}
}

type cutWorld struct {
	*world
	p     *cutter
	other func() *ledger.Ledger // of another process, which is not cut off
}

// lost runs do with the answer to its next commit lost, and fails when no commit
// was cut.
func (w *cutWorld) lost(do func()) {
	w.t.Helper()
	before := w.p.cuts.Load()
	w.p.armed.Store(true)
	do()
	if w.p.cuts.Load() == before {
		w.t.Fatal("no answer was lost")
	}
}

func lostAccept(w *cutWorld) {
	var j tasks.Job
	w.lost(func() { j = w.accept(report(1, 1)) })
	if again := w.accept(report(1, 1)); again.ID != j.ID {
		w.t.Fatalf("two jobs, %s and %s", j.ID, again.ID)
	}
	if events, err := w.Events(w.ctx, j.ID); err != nil || len(events) != 1 {
		w.t.Fatalf("%d events, %v", len(events), err)
	}
}

func lostBegin(w *cutWorld) {
	j := w.accept(report(1, 1))
	w.feed()
	d := tasks.Delivery{Job: j.ID, Number: 1, Worker: worker}
	w.lost(func() {
		if _, err := w.Begin(w.ctx, d); !errors.Is(err, tasks.ErrOutcomeUnknown) {
			w.t.Fatalf("begin: %v", err)
		}
	})
	d.Again = true
	c, err := w.Begin(w.ctx, d)
	if err != nil || c.Outcome != tasks.Mine || c.Job.Attempt != 1 || c.Policy.Attempts == 0 {
		w.t.Fatalf("begin again: %+v, %v", c, err)
	}
	d.Again = false
	if c, err := w.Begin(w.ctx, d); err != nil || c.Outcome != tasks.Busy {
		w.t.Fatalf("another arrival: %+v, %v", c, err)
	}
	w.complete(tasks.Fence{Job: j.ID, Attempt: 1, Worker: worker})
}

func lostSave(w *cutWorld) {
	j, f := w.running(report(1, 1))
	_, err := w.ClaimStep(w.ctx, f, "s", "a")
	w.must(err)
	w.lost(func() { w.must(w.SaveStep(w.ctx, f, "s", "a", json.RawMessage(`1`))) })
	c, err := w.ClaimStep(w.ctx, f, "s", "a")
	if err != nil || !c.Done || string(c.Value) != "1" {
		w.t.Fatalf("the step: %+v, %v", c, err)
	}
	if attempts, err := w.Attempts(w.ctx, j.ID); err != nil || attempts[0].Saved != 1 {
		w.t.Fatalf("saved %d steps, %v", attempts[0].Saved, err)
	}
	w.lost(func() {
		if c, err := w.ClaimStep(w.ctx, f, "s", "b"); err != nil || c.Done || c.Taken {
			w.t.Fatalf("claim: %+v, %v", c, err)
		}
	})
}

func lostComplete(w *cutWorld) {
	j, f := w.running(report(1, 1))
	w.lost(func() { w.complete(f) })
	w.wantState(j.ID, tasks.Succeeded)
	w.wantLegalHistory(j.ID)
	if err := w.Complete(w.ctx, f, tasks.Finish{Result: json.RawMessage(`"other"`)}); !errors.Is(err, tasks.ErrStale) {
		w.t.Fatalf("another result: %v", err)
	}
}

func lostFail(w *cutWorld) {
	j, f := w.running(report(1, 1))
	w.lost(func() {
		if v := w.fail(f, tasks.ClassInternal); v.State != tasks.Retrying || v.Delay <= 0 {
			w.t.Fatalf("the verdict is %+v", v)
		}
	})
	if got := w.wantState(j.ID, tasks.Retrying); got.Charged != 1 {
		w.t.Fatalf("charged %d times", got.Charged)
	}
	w.wantLegalHistory(j.ID)
}

func lostFeed(w *cutWorld) {
	j := w.accept(report(1, 1))
	w.lost(func() {
		if _, err := w.Feed(w.ctx, tasks.Default, ledger.Window{PerUser: 8, Total: 8}); !errors.Is(err, tasks.ErrOutcomeUnknown) {
			w.t.Fatalf("feed: %v", err)
		}
	})
	if got := w.get(j.ID); got.State != tasks.Queued {
		w.t.Fatalf("the job is %s", got.State)
	}
	if found, _, err := w.InRedis(w.ctx, 0, 0, 10); err != nil || len(found) != 1 {
		w.t.Fatalf("the relay would look for %d, %v", len(found), err)
	}
}

func lostBatch(w *cutWorld) {
	const n = 60
	before := w.p.cuts.Load()
	var wg sync.WaitGroup
	ids := make([]string, n)
	for i := range int64(n) {
		if i%20 == 0 {
			w.p.armed.Store(true)
		}
		wg.Go(func() {
			j, _, err := w.Accept(w.ctx, report(i%3+1, i+1), "test")
			if err != nil {
				w.t.Errorf("report %d: %v", i+1, err)
			}
			ids[i] = j.ID
		})
	}
	wg.Wait()
	if w.p.cuts.Load() == before {
		w.t.Fatal("no answer was lost")
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			w.t.Fatalf("job %s stands for two keys", id)
		}
		seen[id] = true
		w.get(id)
	}
}

func lostJoin(w *cutWorld) {
	w.lost(func() { w.must(w.Join(w.ctx, tasks.Worker{ID: "w9", Slots: 3})) })
	w.lost(func() { w.must(w.Beat(w.ctx, "w9", false)) })
	w.lost(func() { w.must(w.Leave(w.ctx, "w9")) })
}

func lostActs(w *cutWorld) {
	j := w.accept(report(1, 1))
	w.feed()
	w.lost(func() {
		if _, err := w.Retry(w.ctx, j.ID, "op", ""); err != nil {
			w.t.Fatal(err)
		}
	})
	w.wantState(j.ID, tasks.Accepted)
	w.lost(func() {
		if _, err := w.Cancel(w.ctx, j.ID, "op", ""); err != nil {
			w.t.Fatal(err)
		}
	})
	w.wantState(j.ID, tasks.Cancelled)
	w.wantLegalHistory(j.ID)
}

func lostForGood(w *cutWorld) {
	w.p.closed.Store(true)
	w.lost(func() {
		if _, _, err := w.Accept(w.ctx, report(1, 1), "test"); !errors.Is(err, tasks.ErrOutcomeUnknown) {
			w.t.Fatalf("accept: %v", err)
		}
	})
	if _, _, err := w.Accept(w.ctx, report(1, 2), "test"); !errors.Is(err, tasks.ErrUnavailable) || errors.Is(err, tasks.ErrOutcomeUnknown) {
		w.t.Fatalf("without a database: %v", err)
	}
	w.p.closed.Store(false)
	if _, created, err := w.Accept(w.ctx, report(1, 1), "test"); err != nil || created {
		w.t.Fatalf("asked again: created %v, %v", created, err)
	}
	if _, created, err := w.Accept(w.ctx, report(1, 2), "test"); err != nil || !created {
		w.t.Fatalf("the other: created %v, %v", created, err)
	}
}
