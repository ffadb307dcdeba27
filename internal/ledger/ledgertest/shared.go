package ledgertest

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"evalq/internal/ledger"
	"evalq/tasks"
)

// PairOpener opens two ledgers on one empty database, as two processes do, and
// gives the database too, for what no ledger would do.
type PairOpener func(t testing.TB, cfg *ledger.Config) (a, b *ledger.Ledger, raw *sql.DB)

// RunShared runs what only ledgers of many processes have, on two that share a
// database.
func RunShared(t *testing.T, open PairOpener) {
	for _, c := range []struct {
		name string
		test func(*pair)
	}{
		{"two processes have the same id", sameID},
		{"two that accept the same at once make one job", acceptRace},
		{"two that accept the same batches at once, in any order, make each job once", batchRace},
		{"two relays hand each job out once and keep to the window", feedRace},
		{"of two workers with the same delivery one runs it", beginRace},
		{"of two jobs that want the same answer one pays", claimRace},
		{"a worker that is watched and silent is given up, one that beats is not", silentWorker},
		{"a watcher that was away does not count that time", watcherAway},
		{"a worker that was given up and comes back finds its writes refused", zombieAcrossProcesses},
		{"a worker that was given up and is back may begin before it beats", backBeforeItsBeat},
		{"one relay leads and another follows when it is silent", leaseFollows},
		{"a lease that is given back is taken at once", leaseGivenBack},
		{"an interview and a hold that miss each other are brought together", missedRelease},
		{"an answer and a hold that miss each other are brought together", missedAnswer},
		{"a job that comes back for what is there is released five times a minute and no more", releasedTooOften},
		{"a relay that only watches gives nobody up, and need not begin anew when it leads", watchedBySecond},
		{"the time is the database's", databaseTime},
		{"a worker whose row a database has lost is put on record again", lostRow},
		{"a transaction that keeps a key does not keep the others waiting", keptKey},
		{"the locks of many rows cost others nothing and their own callers no more than one", manyLockedRows},
		{"the locks of many keys cost others nothing and their own callers no more than one", manyLockedKeys},
		{"the locks of many gaps cost others nothing and their own callers no more than one", lockedGaps},
		{"the lock of a table costs those who need it no more than a row's, and others nothing", lockedTable},
		{"of many requests of one caller only that for a locked key is refused", lockedInABundle},
		{"a job that a transaction has locked is not begun and keeps its worker from nothing", lockedJob},
		{"a worker that a lock keeps from beating is not given up", lockedWorker},
		{"of a dead worker's jobs the locked one waits and the others go on", lockedLoss},
		{"a relay leads on while its lease is locked", lockedLease},
		{"a relay's round leaves out a job that is locked", lockedRound},
		{"a row that is free again soon is waited for", lockedForAMoment},
		{"many writers in each other's way keep every rule", crossfire},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
			cfg := &ledger.Config{Build: "v1.2.3", Now: clock.Now, Jitter: func() float64 { return 0.5 }}
			if c.name == "the time is the database's" {
				cfg.Now = nil
			}
			a, b, raw := open(t, cfg)
			p := &pair{raw: raw}
			p.a = &world{Ledger: a, t: t, ctx: t.Context(), clock: clock}
			p.b = &world{Ledger: b, t: t, ctx: t.Context(), clock: clock}
			p.a.must(a.Join(t.Context(), tasks.Worker{ID: worker, Slots: 4}))
			p.b.must(b.Join(t.Context(), tasks.Worker{ID: second, Slots: 4}))
			c.test(p)
		})
	}
}

const second = "w2"

// pair is two processes on one ledger.
type pair struct {
	a, b *world
	raw  *sql.DB
}

func (p *pair) exec(query string) {
	p.a.t.Helper()
	if _, err := p.raw.ExecContext(p.a.ctx, query); err != nil {
		p.a.t.Fatal(err)
	}
}

// both runs f in both at the same time.
func (p *pair) both(f func(w *world)) {
	var wg sync.WaitGroup
	for _, w := range []*world{p.a, p.b} {
		wg.Go(func() { f(w) })
	}
	wg.Wait()
}

func sameID(p *pair) {
	if p.a.ID() == "" || p.a.ID() != p.b.ID() {
		p.a.t.Fatalf("the ids are %q and %q", p.a.ID(), p.b.ID())
	}
}

func acceptRace(p *pair) {
	const rounds = 40
	var mu sync.Mutex
	made := map[string]int{}
	p.both(func(w *world) {
		for i := range int64(rounds) {
			j, created, err := w.Accept(w.ctx, report(i%3+1, i+1), "test")
			if err != nil {
				w.t.Errorf("report %d: %v", i+1, err)
				return
			}
			mu.Lock()
			if created {
				made[j.ID]++
			} else if _, ok := made[j.ID]; !ok {
				made[j.ID] = 0
			}
			mu.Unlock()
		}
	})
	if len(made) != rounds {
		p.a.t.Fatalf("%d jobs for %d keys", len(made), rounds)
	}
}

func batchRace(p *pair) {
	const keys = 120
	for round := range int64(4) {
		var mu sync.Mutex
		made := map[string]int{}
		p.both(func(w *world) {
			rs := make([]tasks.Request, keys)
			for i := range rs {
				n := i
				if w == p.b && round%2 == 1 {
					n = keys - 1 - i
				}
				rs[i] = report(round+1, round*keys+int64(n)+1)
			}
			for _, a := range w.AcceptMany(w.ctx, rs, "test") {
				if a.Err != nil {
					w.t.Errorf("round %d: %v", round, a.Err)
					continue
				}
				mu.Lock()
				made[a.Job.ID] += map[bool]int{true: 1}[a.Created]
				mu.Unlock()
			}
		})
		if len(made) != keys {
			p.a.t.Fatalf("round %d: %d jobs for %d keys", round, len(made), keys)
		}
		for id, n := range made {
			if n != 1 {
				p.a.t.Fatalf("round %d: job %s was made %d times", round, id, n)
			}
			p.a.wantLegalHistory(id)
		}
	}
}

func feedRace(p *pair) {
	const jobs = 300
	for i := range int64(jobs) {
		p.a.accept(report(i%5+1, i+1))
	}
	win := ledger.Window{PerUser: 1000, Total: 200}
	var mu sync.Mutex
	fed := map[string]int{}
	p.both(func(w *world) {
		for range 20 {
			f, err := w.Feed(w.ctx, tasks.Default, win)
			if err != nil {
				w.t.Errorf("feed: %v", err)
				return
			}
			mu.Lock()
			for _, j := range f.Jobs {
				fed[j.ID]++
			}
			mu.Unlock()
		}
	})
	if len(fed) != win.Total {
		p.a.t.Fatalf("%d jobs were handed out, the window is %d", len(fed), win.Total)
	}
	for id, n := range fed {
		if n != 1 {
			p.a.t.Fatalf("job %s was handed out %d times", id, n)
		}
	}
}

func beginRace(p *pair) {
	for i := range int64(30) {
		j := p.a.accept(report(1, i+1))
		p.a.feed()
		var mu sync.Mutex
		mine := 0
		p.both(func(w *world) {
			who := map[*world]string{p.a: worker, p.b: second}[w]
			c, err := w.Begin(w.ctx, tasks.Delivery{Job: j.ID, Number: 1, Worker: who})
			if err != nil {
				w.t.Errorf("begin: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch c.Outcome {
			case tasks.Mine:
				mine++
			case tasks.Busy:
			default:
				w.t.Errorf("the outcome is %s", c.Outcome)
			}
		})
		if mine != 1 {
			p.a.t.Fatalf("job %d was begun %d times", i+1, mine)
		}
	}
}

func claimRace(p *pair) {
	for i := range int64(20) {
		r := report(1, i+1)
		_, first := p.a.running(r)
		j := p.b.accept(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 1, ReportID: i + 1}})
		p.b.feed()
		c, err := p.b.Begin(p.b.ctx, tasks.Delivery{Job: j.ID, Number: 1, Worker: second})
		p.b.must(err)
		other := tasks.Fence{Job: j.ID, Attempt: c.Job.Attempt, Worker: second}
		var mu sync.Mutex
		claims, waits := 0, 0
		p.both(func(w *world) {
			f := map[*world]tasks.Fence{p.a: first, p.b: other}[w]
			got, err := w.ClaimStep(w.ctx, f, fmt.Sprintf("report:1:%d", i+1), "answer")
			if err != nil {
				w.t.Errorf("claim: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if got.Taken {
				waits++
			} else if !got.Done {
				claims++
			}
		})
		if claims != 1 || waits != 1 {
			p.a.t.Fatalf("round %d: %d claims, %d waits", i, claims, waits)
		}
	}
}

// watch lets one process look for lost workers once a second for a while, while
// some workers beat. It answers how many jobs were lost.
func (p *pair) watch(d time.Duration, beating ...string) (lost int) {
	for range d / time.Second {
		for _, w := range beating {
			p.a.must(p.a.Beat(p.a.ctx, w, false))
		}
		n, err := p.b.Recover(p.b.ctx)
		p.b.must(err)
		lost += n
		p.a.clock.pass(time.Second)
	}
	return lost
}

func silentWorker(p *pair) {
	j, f := p.a.running(report(1, 1))
	if lost := p.watch(30*time.Second, worker, second); lost != 0 {
		p.a.t.Fatalf("%d jobs of beating workers were lost", lost)
	}
	if lost := p.watch(7*time.Second, second); lost != 0 {
		p.a.t.Fatalf("given up after less than 8 s")
	}
	if lost := p.watch(4*time.Second, second); lost != 1 {
		p.a.t.Fatalf("%d jobs were lost after 11 s of silence", lost)
	}
	got := p.b.wantState(j.ID, tasks.Accepted)
	if got.Delivery != j.Delivery+1 || got.Deaths != 1 {
		p.a.t.Fatalf("the job is %+v", got)
	}
	if err := p.a.Complete(p.a.ctx, f, tasks.Finish{Result: json.RawMessage(`1`)}); !errors.Is(err, tasks.ErrStale) {
		p.a.t.Fatalf("the dead worker's result: %v", err)
	}
}

func watcherAway(p *pair) {
	p.a.running(report(1, 1))
	p.watch(7*time.Second, second)
	p.a.clock.pass(time.Hour) // nobody looked
	if lost := p.watch(4*time.Second, second); lost != 0 {
		p.a.t.Fatalf("%d jobs were lost by a watcher that had slept", lost)
	}
	if lost := p.watch(2*time.Second, second); lost != 1 {
		p.a.t.Fatalf("%d jobs were lost", lost)
	}
	p.a.must(p.a.Beat(p.a.ctx, worker, false)) // it was the ledger that was away, for both
	_, _ = p.a.running(report(1, 2))
	p.watch(7*time.Second, second)
	p.a.clock.pass(time.Hour)
	if lost := p.watch(10*time.Second, worker, second); lost != 0 {
		p.a.t.Fatalf("%d jobs of a worker that beats again were lost", lost)
	}
}

func zombieAcrossProcesses(p *pair) {
	j, f := p.a.running(report(1, 1))
	if _, err := p.a.ClaimStep(p.a.ctx, f, "s", "answer"); err != nil {
		p.a.t.Fatal(err)
	}
	if lost := p.watch(11*time.Second, second); lost != 1 {
		p.a.t.Fatalf("%d jobs were lost", lost)
	}
	p.b.feed()
	c, err := p.b.Begin(p.b.ctx, tasks.Delivery{Job: j.ID, Number: 2, Worker: second})
	p.b.must(err)
	if c.Outcome != tasks.Mine {
		p.b.t.Fatalf("the second worker's begin: %s", c.Outcome)
	}
	p.a.must(p.a.Beat(p.a.ctx, worker, false)) // it is back
	_, stale, err := p.a.AskedToStop(p.a.ctx, worker, []tasks.Fence{f})
	p.a.must(err)
	if len(stale) != 1 {
		p.a.t.Fatal("nobody tells the zombie")
	}
	for what, err := range map[string]error{
		"step":     p.a.SaveStep(p.a.ctx, f, "s", "answer", json.RawMessage(`1`)),
		"progress": p.a.Progress(p.a.ctx, f, tasks.Progress{}),
		"result":   p.a.Complete(p.a.ctx, f, tasks.Finish{Result: json.RawMessage(`1`)}),
	} {
		if !errors.Is(err, tasks.ErrStale) {
			p.a.t.Errorf("its %s: %v", what, err)
		}
	}
	if _, err := p.a.Fail(p.a.ctx, f, tasks.Trouble{}); !errors.Is(err, tasks.ErrStale) {
		p.a.t.Errorf("its failure: %v", err)
	}
	p.a.wantState(j.ID, tasks.Running)
	p.a.wantNamed(j.ID, "answer")
}

func backBeforeItsBeat(p *pair) {
	p.a.running(report(1, 1))
	if lost := p.watch(11*time.Second, second); lost != 1 {
		p.a.t.Fatalf("%d jobs were lost", lost)
	}
	j := p.a.accept(report(1, 2))
	p.a.feed()
	p.a.start(j.ID)
	if lost, err := p.b.Recover(p.b.ctx); err != nil || lost != 0 {
		p.a.t.Fatalf("%d jobs of a worker that is back were lost, %v", lost, err)
	}
	p.a.wantState(j.ID, tasks.Running)
}

func leaseFollows(p *pair) {
	lead := func(w *world, who string) bool {
		ok, err := w.Lead(w.ctx, who)
		w.must(err)
		return ok
	}
	for i := range 10 {
		if !lead(p.a, "ra") || lead(p.b, "rb") {
			p.a.t.Fatalf("second %d: the lease went elsewhere", i)
		}
		p.a.clock.pass(time.Second)
	}
	for i := range 6 { // ra is silent
		if lead(p.b, "rb") {
			if i < 3 {
				p.a.t.Fatalf("taken after %d s", i)
			}
			if lead(p.a, "ra") {
				p.a.t.Fatal("the old holder leads as well")
			}
			return
		}
		p.a.clock.pass(time.Second)
	}
	p.a.t.Fatal("nobody followed")
}

func leaseGivenBack(p *pair) {
	ok, err := p.a.Lead(p.a.ctx, "ra")
	p.a.must(err)
	p.b.must(p.b.Resign(p.b.ctx, "rb")) // not its own
	if other, err := p.b.Lead(p.b.ctx, "rb"); err != nil || other || !ok {
		p.a.t.Fatalf("before: %v, %v, %v", ok, other, err)
	}
	p.a.must(p.a.Resign(p.a.ctx, "ra"))
	if ok, err := p.b.Lead(p.b.ctx, "rb"); err != nil || !ok {
		p.a.t.Fatalf("after: %v, %v", ok, err)
	}
}

// missedRelease makes the state that two commits at the same moment leave: the
// interview is there and the job is held for it.
func missedRelease(p *pair) {
	j, f := p.a.running(report(1, 1))
	_, err := p.a.Fail(p.a.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
	p.a.must(err)
	p.a.wantState(j.ID, tasks.Held)
	p.exec(`INSERT INTO evalq_interviews (report_id, user_id, hash, body, updated_at) VALUES (1, 1, 'h', '{}', 1)`)
	n, err := p.b.Unhold(p.b.ctx)
	p.b.must(err)
	if n != 1 {
		p.a.t.Fatalf("%d jobs were released", n)
	}
	p.a.wantState(j.ID, tasks.Accepted)
	if n, err := p.b.Unhold(p.b.ctx); err != nil || n != 0 {
		p.a.t.Fatalf("released again: %d, %v", n, err)
	}
}

func missedAnswer(p *pair) {
	_, first := p.a.running(report(1, 1))
	if _, err := p.a.ClaimStep(p.a.ctx, first, "report:1:1", "answer"); err != nil {
		p.a.t.Fatal(err)
	}
	j := p.b.accept(tasks.Request{Payload: tasks.TopicEvaluation{UserID: 1, ReportID: 1}})
	p.b.feed()
	c, err := p.b.Begin(p.b.ctx, tasks.Delivery{Job: j.ID, Number: 1, Worker: second})
	p.b.must(err)
	_, err = p.b.Fail(p.b.ctx, tasks.Fence{Job: j.ID, Attempt: c.Job.Attempt, Worker: second}, tasks.Trouble{Hold: tasks.HoldAnswerInProgress, HoldFor: time.Minute})
	p.b.must(err)
	if n, err := p.b.Unhold(p.b.ctx); err != nil || n != 0 {
		p.a.t.Fatalf("released while the other is at work: %d, %v", n, err)
	}
	p.exec(`UPDATE evalq_checkpoints SET value = '1', done_at = 1`)
	if n, err := p.b.Unhold(p.b.ctx); err != nil || n != 1 {
		p.a.t.Fatalf("released: %d, %v", n, err)
	}
	p.b.wantState(j.ID, tasks.Accepted)
}

func databaseTime(p *pair) {
	j := p.a.accept(report(1, 1))
	if d := time.Since(j.AcceptedAt).Abs(); d > 5*time.Minute {
		p.a.t.Fatalf("accepted at %s, which is %s away", j.AcceptedAt, d)
	}
	p.both(func(w *world) {
		for range 5 {
			if err := w.Ready(w.ctx); err != nil {
				w.t.Errorf("ready: %v", err)
			}
		}
	})
}

// wantNamed looks for the step in the job's history as one that may be paid for
// again.
func (w *world) wantNamed(id, step string) {
	w.t.Helper()
	events, err := w.Events(w.ctx, id)
	w.must(err)
	for _, e := range events {
		if e.Why == "a call may be paid for again: "+step {
			return
		}
	}
	w.t.Fatalf("the history does not name the step %q: %+v", step, events)
}
