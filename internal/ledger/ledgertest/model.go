package ledgertest

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"evalq/tasks"
)

// randomInterleavings drives a few jobs through thousands of random calls, from
// several workers that die, return late and act twice, and checks after each
// that no rule is broken: legal histories, one result a job, a result only from
// the attempt that was newest, dead only with the budget used up, attempts that
// never run side by side.
func randomInterleavings(w *world) {
	const seeds, steps = 6, 250
	for seed := range uint64(seeds) {
		m := &model{world: w, rng: rand.New(rand.NewPCG(seed, 42)), base: int64(seed)*100 + 1, results: map[string]string{}}
		m.start()
		for range steps {
			m.step()
		}
		m.check()
	}
}

type model struct {
	*world
	rng     *rand.Rand
	base    int64
	jobs    []string
	fences  []tasks.Fence     // every attempt that was ever begun
	results map[string]string // what was stored for a job
}

func (m *model) start() {
	for i := range int64(4) {
		m.jobs = append(m.jobs, m.accept(report(i%2+1, m.base+i)).ID)
	}
}

func (m *model) step() {
	id := m.jobs[m.rng.IntN(len(m.jobs))]
	switch m.rng.IntN(12) {
	case 0, 1:
		m.feed()
	case 2, 3, 4:
		m.arrive(id)
	case 5:
		m.finish()
	case 6, 7:
		m.stumble()
	case 8:
		m.clock.pass(time.Duration(m.rng.IntN(20)) * time.Second)
		if m.rng.IntN(2) == 0 {
			m.workerDies()
		}
		_, err := m.Recover(m.ctx)
		m.must(err)
		_, err = m.Ripen(m.ctx)
		m.must(err)
	case 9:
		m.tolerate(m.RetryWith(m.ctx, id, tasks.RetryOptions{NewRevision: m.rng.IntN(4) == 0, DropSteps: m.rng.IntN(4) == 0}, "op", ""))
	case 10:
		if m.rng.IntN(4) == 0 {
			m.tolerate(m.Cancel(m.ctx, id, "op", ""))
		} else {
			m.tolerate(m.Archive(m.ctx, id, "op", ""))
		}
	case 11:
		j := m.get(id)
		m.must(m.Redeliver(m.ctx, id, j.Delivery-m.rng.IntN(2), "lost"))
		_, _, err := m.Accept(m.ctx, tasks.Request{Payload: j.Payload(), Anew: m.rng.IntN(2) == 0}, "again")
		m.must(err)
	}
}

func (m *model) tolerate(_ tasks.Job, err error) {
	m.t.Helper()
	if err != nil && !errors.Is(err, tasks.ErrConflict) {
		m.t.Fatal(err)
	}
}

// arrive brings a delivery that Redis may hold: the newest, or an old one.
func (m *model) arrive(id string) {
	j := m.get(id)
	number := max(1, j.Delivery-m.rng.IntN(3)/2)
	c, err := m.Begin(m.ctx, tasks.Delivery{Job: id, Number: number, Worker: worker, Retried: m.rng.IntN(3)})
	m.must(err)
	if c.Outcome != tasks.Mine {
		return
	}
	if number < j.Delivery || j.State == tasks.Running || j.State == tasks.Succeeded || j.State == tasks.Cancelled {
		m.t.Fatalf("delivery %d of a job that is %s at delivery %d was begun", number, j.State, j.Delivery)
	}
	m.fences = append(m.fences, tasks.Fence{Job: id, Attempt: c.Job.Attempt, Worker: worker})
}

// finish lets any attempt that ever was report success, zombies included.
func (m *model) finish() {
	f, ok := m.anyFence()
	if !ok {
		return
	}
	before := m.get(f.Job)
	current := before.State == tasks.Running && before.Attempt == f.Attempt
	body, _ := json.Marshal(f.Attempt)
	err := m.Complete(m.ctx, f, tasks.Finish{Result: body})
	switch {
	case err == nil && before.State == tasks.Succeeded && m.results[f.Job] == string(body) && before.Attempt == f.Attempt:
		// It says the same again, because it may not have heard the answer.
	case err == nil && !current:
		m.t.Fatalf("attempt %d finished a job that is %s at attempt %d", f.Attempt, before.State, before.Attempt)
	case err == nil:
		if old, twice := m.results[f.Job]; twice {
			m.t.Fatalf("job %s got a second result %s after %s", f.Job, body, old)
		}
		m.results[f.Job] = string(body)
	case !errors.Is(err, tasks.ErrStale) && !errors.Is(err, tasks.ErrCancelled):
		m.t.Fatal(err)
	}
}

func (m *model) stumble() {
	f, ok := m.anyFence()
	if !ok {
		return
	}
	troubles := []tasks.Trouble{
		{Failure: tasks.Failure{Class: tasks.ClassInternal}},
		{Failure: tasks.Failure{Class: tasks.ClassUnavailable}},
		{Failure: tasks.Failure{Class: tasks.ClassNotAssessable}},
		{Hold: tasks.HoldInterviewMissing}, {Hold: tasks.HoldAnswerInProgress, HoldFor: time.Second}, {HandBack: true},
	}
	tr := troubles[m.rng.IntN(len(troubles))]
	before := m.get(f.Job)
	v, err := m.Fail(m.ctx, f, tr)
	if err != nil {
		if !errors.Is(err, tasks.ErrStale) {
			m.t.Fatal(err)
		}
		return
	}
	// An attempt that has ended the job before is told so.
	if v.State == tasks.Dead && before.State == tasks.Running && tr.Class == tasks.ClassInternal && before.Charged+1 < before.Budget {
		m.t.Fatalf("dead with %d of %d used", before.Charged+1, before.Budget)
	}
}

func (m *model) anyFence() (tasks.Fence, bool) {
	if len(m.fences) == 0 {
		return tasks.Fence{}, false
	}
	return m.fences[max(0, len(m.fences)-1-m.rng.IntN(4))], true
}

func (m *model) check() {
	for _, id := range m.jobs {
		m.wantLegalHistory(id)
		j := m.get(id)
		if want, ok := m.results[id]; ok != (j.State == tasks.Succeeded) || (ok && string(j.Result) != want) {
			m.t.Fatalf("job %s is %s with result %s; stored was %q", id, j.State, j.Result, want)
		}
		attempts, err := m.Attempts(m.ctx, id)
		m.must(err)
		for i, a := range attempts {
			if a.Number != i+1 || (a.FinishedAt.IsZero() != (j.State == tasks.Running && i == len(attempts)-1)) {
				m.t.Fatalf("attempt %d of %s (%s) is %+v", i+1, id, j.State, a)
			}
		}
	}
}
