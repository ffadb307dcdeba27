package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"evalq/tasks"
)

// badText ends attempts with what other programs say: bytes that are no UTF-8,
// and NUL, which PostgreSQL has no room for.
func badText(w *world) {
	const noise = "caf\xe9 \x00 said no"
	j, f := w.running(report(1, 1))
	v, err := w.Fail(w.ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassInternal, Message: noise, Stack: noise}})
	w.must(err)
	if v.State != tasks.Retrying {
		w.t.Fatalf("the verdict is %+v", v)
	}
	if got := w.get(j.ID); got.Error == nil || !strings.HasSuffix(got.Error.Message, "said no") {
		w.t.Fatalf("the job's error is %+v", got.Error)
	}
	_, f = w.running(report(1, 2))
	w.must(w.Complete(w.ctx, f, tasks.Finish{Result: json.RawMessage(`1`), Judge: noise}))
	_, f = w.running(report(1, 3))
	w.must(w.Complete(w.ctx, f, tasks.Finish{Skipped: noise}))
	_, f = w.running(report(1, 4))
	_, err = w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.Hold(strings.Repeat("wait ", 100) + noise)})
	w.must(err)
	_, f = w.running(report(1, 5))
	w.must(w.Stuck(w.ctx, f, noise))
	if _, err := w.Get(w.ctx, j.ID+"\x00"); !errors.Is(err, tasks.ErrNotFound) {
		w.t.Errorf("an id with a NUL: %v", err)
	}
	w.must(w.Quarantine(w.ctx, tasks.Quarantined{Source: "asynq", Queue: strings.Repeat("q", 1000), TaskID: noise, Reason: noise}, []byte(noise)))
}

func spacedKeys(w *world) {
	_, f := w.running(report(1, 1))
	for _, name := range []string{"answer", "answer ", "Answer"} {
		c, err := w.ClaimStep(w.ctx, f, "scope", name)
		w.must(err)
		if c.Done || c.Taken {
			w.t.Fatalf("the step %q has the outcome of another: %+v", name, c)
		}
		w.must(w.SaveStep(w.ctx, f, "scope", name, json.RawMessage(`"`+name+`"`)))
	}
	for _, name := range []string{"answer", "answer ", "Answer"} {
		if c, err := w.ClaimStep(w.ctx, f, "scope", name); err != nil || string(c.Value) != `"`+name+`"` {
			w.t.Fatalf("the step %q has the value %s, %v", name, c.Value, err)
		}
	}
}

// interviewGivenUp is for the race detector: the write goes on when its caller has
// left.
func interviewGivenUp(w *world) {
	for i := range int64(100) {
		ctx, cancel := context.WithCancel(w.ctx)
		go cancel()
		_, err := w.PutInterview(ctx, interview(1, i+1, "a"), "test")
		if err != nil && !errors.Is(err, context.Canceled) {
			w.t.Fatal(err)
		}
	}
	w.put(interview(1, 1000, "a"))
}
