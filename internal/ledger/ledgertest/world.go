// Package ledgertest is the one suite that every ledger passes. It is imported
// by tests only.
package ledgertest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/tasks"
)

// Opener opens an empty ledger for one test and closes it when the test ends.
type Opener func(t testing.TB, cfg *ledger.Config) *ledger.Ledger

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const worker = "w1"

// world is one test's ledger, clock and living worker.
type world struct {
	*ledger.Ledger
	t     testing.TB
	ctx   context.Context
	clock *clock
}

func newWorld(t testing.TB, open Opener) *world {
	t.Helper()
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w := &world{t: t, ctx: t.Context(), clock: c}
	w.Ledger = open(t, &ledger.Config{Build: "v1.2.3", Now: c.Now, Jitter: func() float64 { return 0.5 }})
	w.must(w.Join(w.ctx, tasks.Worker{ID: worker, Host: "h", PID: 1, Build: "b", Slots: 4}))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func report(user, id int64) tasks.Request {
	return tasks.Request{Payload: tasks.EvaluationReport{UserID: user, ReportID: id}}
}

func (w *world) accept(r tasks.Request) tasks.Job {
	w.t.Helper()
	j, _, err := w.Accept(w.ctx, r, "test")
	w.must(err)
	return j
}

// feed hands out everything that is ready and fits a wide window.
func (w *world) feed() []tasks.Job {
	w.t.Helper()
	var out []tasks.Job
	for _, q := range tasks.Priorities() {
		fed, err := w.Feed(w.ctx, q, ledger.Window{PerUser: 1000, Total: 10_000})
		w.must(err)
		out = append(out, fed.Jobs...)
	}
	return out
}

func (w *world) begin(j tasks.Job) tasks.Claim {
	w.t.Helper()
	c, err := w.Begin(w.ctx, tasks.Delivery{Job: j.ID, Number: j.Delivery, Worker: worker})
	w.must(err)
	return c
}

// running accepts a job and brings it to a worker.
func (w *world) running(r tasks.Request) (tasks.Job, tasks.Fence) {
	w.t.Helper()
	j := w.accept(r)
	w.feed()
	return w.start(j.ID)
}

func (w *world) start(id string) (tasks.Job, tasks.Fence) {
	w.t.Helper()
	c := w.begin(w.get(id))
	if c.Outcome != tasks.Mine {
		w.t.Fatalf("begin %s: got %q, want it to be mine", id, c.Outcome)
	}
	return c.Job, tasks.Fence{Job: id, Attempt: c.Job.Attempt, Worker: worker}
}

func (w *world) get(id string) tasks.Job {
	w.t.Helper()
	j, err := w.Get(w.ctx, id)
	w.must(err)
	return j
}

func (w *world) wantState(id string, want tasks.State) tasks.Job {
	w.t.Helper()
	j := w.get(id)
	if j.State != want {
		w.t.Fatalf("job %s is %s, want %s", id, j.State, want)
	}
	return j
}

func (w *world) complete(f tasks.Fence) {
	w.t.Helper()
	w.must(w.Complete(w.ctx, f, tasks.Finish{Result: json.RawMessage(`{"score":1}`), Judge: "j/1"}))
}

func (w *world) fail(f tasks.Fence, class tasks.Class) tasks.Verdict {
	w.t.Helper()
	v, err := w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: class, Message: "because"}})
	w.must(err)
	return v
}

func interview(user, id int64, answer string) evaluation.Interview {
	return evaluation.Interview{UserID: user, ReportID: id, Title: "t", Language: "en", Answers: []evaluation.Answer{{
		DialogID: "1", Topic: "go", Difficulty: 3, Question: "What is a slice?", Answer: answer, Reference: "a view of an array",
	}}}
}

func (w *world) put(doc evaluation.Interview) {
	w.t.Helper()
	_, err := w.PutInterview(w.ctx, doc, "test")
	w.must(err)
}

// wantLegalHistory checks every event of a job against the table of moves.
func (w *world) wantLegalHistory(id string) {
	w.t.Helper()
	events, err := w.Events(w.ctx, id)
	w.must(err)
	at := tasks.State("")
	for i, e := range events {
		note := e.From == e.To
		if e.From != at || (i == 0 && e.To != tasks.Accepted) || (i > 0 && !note && !e.From.CanMove(e.To)) {
			w.t.Fatalf("event %d of %s goes from %q to %q; the job was %q", i, id, e.From, e.To, at)
		}
		if e.Who == "" || e.Build != "v1.2.3" || e.At.IsZero() {
			w.t.Fatalf("event %d of %s does not say who, when and which build: %+v", i, id, e)
		}
		at = e.To
	}
	if j := w.get(id); j.State != at {
		w.t.Fatalf("job %s is %s, its history ends at %s", id, j.State, at)
	}
}

// workerDies ends the worker as a killed process does, and lets it come back:
// what it ran is lost. It answers how many jobs those were.
func (w *world) workerDies() int {
	w.t.Helper()
	lost, err := w.Bury(w.ctx, worker)
	w.must(err)
	w.must(w.Beat(w.ctx, worker, false))
	return lost
}
