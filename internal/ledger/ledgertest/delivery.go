package ledgertest

import (
	"fmt"
	"math"

	"evalq/tasks"
)

func (w *world) arrives(j tasks.Job, number int) tasks.Outcome {
	w.t.Helper()
	c, err := w.Begin(w.ctx, tasks.Delivery{Job: j.ID, Number: number, Worker: worker})
	w.must(err)
	return c.Outcome
}

func forgedDelivery(w *world) {
	numbers := []int{math.MaxInt64, math.MaxInt64 - 1, tasks.MaxDelivery + 1, tasks.MaxDelivery, 1 << 40, 1 << 31}
	dead, f := w.running(report(7, 1))
	w.fail(f, tasks.ClassNotAssessable)
	running, _ := w.running(report(7, 2))
	held, f := w.running(report(7, 3))
	_, err := w.Fail(w.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	w.must(err)
	retrying, f := w.running(report(7, 4))
	w.fail(f, tasks.ClassInternal)
	queued := w.accept(report(7, 5))
	w.feed()
	accepted := w.accept(report(7, 6))
	for _, j := range []tasks.Job{dead, running, held, retrying, queued, accepted} {
		before := w.get(j.ID)
		for _, n := range numbers {
			if got := w.arrives(j, n); got != tasks.Forged {
				w.t.Fatalf("delivery %d of a job that is %s is %q", n, before.State, got)
			}
		}
		if after := w.get(j.ID); after.State != before.State || after.Delivery != before.Delivery || after.Attempt != before.Attempt {
			w.t.Fatalf("a forged task changed %+v to %+v", before, after)
		}
	}
	_, f = w.start(queued.ID)
	w.complete(f)
}

func laterDelivery(w *world) {
	j := w.accept(report(7, 42))
	w.feed()
	if got := w.arrives(j, 5000); got != tasks.Mine {
		w.t.Fatalf("a task of a later hand-over is %q", got)
	}
	_, err := w.Fail(w.ctx, tasks.Fence{Job: j.ID, Attempt: 1, Worker: worker}, tasks.Trouble{HandBack: true})
	w.must(err)
	if got := w.wantState(j.ID, tasks.Accepted); got.Delivery != 5001 {
		w.t.Fatalf("it is handed over as delivery %d", got.Delivery)
	}
}

// numberUsedUp is of jobs that a version before has left so.
func numberUsedUp(w *world) {
	report42 := int64(42)
	for _, number := range []int64{math.MaxInt64, math.MinInt64, tasks.MaxDelivery, 0} {
		for name, heal := range map[string]func(tasks.Job){
			"retry":     func(j tasks.Job) { _, err := w.Retry(w.ctx, j.ID, "op", ""); w.must(err) },
			"submit":    func(j tasks.Job) { w.accept(tasks.Request{Payload: j.Payload()}) },
			"the relay": func(j tasks.Job) { w.must(w.Redeliver(w.ctx, j.ID, j.Delivery, "lost")) },
		} {
			for _, state := range []tasks.State{tasks.Queued, tasks.Retrying, tasks.Dead} {
				if state == tasks.Dead && name == "the relay" {
					continue
				}
				report42++
				j, f := w.running(report(7, report42))
				class := map[tasks.State]tasks.Class{tasks.Retrying: tasks.ClassInternal, tasks.Dead: tasks.ClassNotAssessable}[state]
				if state == tasks.Queued {
					_, err := w.Fail(w.ctx, f, tasks.Trouble{HandBack: true})
					w.must(err)
					w.feed()
				} else {
					w.fail(f, class)
				}
				w.wantState(j.ID, state)
				w.must(w.Exec(w.ctx, fmt.Sprintf(`UPDATE evalq_jobs SET delivery = %d WHERE id = '%s'`, number, j.ID)))
				heal(w.get(j.ID))
				got := w.get(j.ID)
				if got.State != tasks.Accepted || got.Delivery <= 2 || got.Delivery >= tasks.MaxDelivery {
					w.t.Fatalf("delivery %d, %s, %s: %+v", number, state, name, got)
				}
				w.must(w.Exec(w.ctx, fmt.Sprintf(`UPDATE evalq_jobs SET due_at = 0 WHERE id = '%s'`, j.ID)))
				w.feed()
				_, f = w.start(j.ID)
				w.complete(f)
			}
		}
		// One that waits in the ledger gets its number when it is handed out.
		report42++
		j := w.accept(report(7, report42))
		w.must(w.Exec(w.ctx, fmt.Sprintf(`UPDATE evalq_jobs SET delivery = %d WHERE id = '%s'`, number, j.ID)))
		w.feed()
		_, f := w.start(j.ID)
		w.complete(f)
	}
}
