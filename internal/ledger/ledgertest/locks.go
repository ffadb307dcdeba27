package ledgertest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"evalq/tasks"
)

// lockBound is many times what a call takes that no lock is in the way of, and
// far below what the locks of these tests would take one after the other.
const lockBound = 40 * time.Second

// manyLocks is how many keys another transaction keeps.
const manyLocks = 20

func (p *pair) mysql() bool { return strings.Contains(fmt.Sprintf("%T", p.raw.Driver()), "mysql") }

// keep opens a transaction of another program that runs the statements and stays
// open until free is called.
func (p *pair) keep(level sql.IsolationLevel, statements ...string) (free func()) {
	p.a.t.Helper()
	tx, err := p.raw.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
	p.a.must(err)
	for _, s := range statements {
		rows, err := tx.Query(s)
		p.a.must(err)
		for rows.Next() {
		}
		p.a.must(errors.Join(rows.Err(), rows.Close()))
	}
	free = sync.OnceFunc(func() { _ = tx.Rollback() })
	p.a.t.Cleanup(free)
	return free
}

// keepTable keeps a whole table from everybody, as a backup or a migration does.
func (p *pair) keepTable(table string) (free func()) {
	p.a.t.Helper()
	if !p.mysql() {
		return p.keep(0, `LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`)
	}
	return p.lockTables(`LOCK TABLES ` + table + ` WRITE`)
}

func (p *pair) lockTables(statement string) (free func()) {
	p.a.t.Helper()
	conn, err := p.raw.Conn(context.Background())
	p.a.must(err)
	_, err = conn.ExecContext(context.Background(), statement)
	p.a.must(err)
	free = sync.OnceFunc(func() {
		_, _ = conn.ExecContext(context.Background(), `UNLOCK TABLES`)
		_ = conn.Close()
	})
	p.a.t.Cleanup(free)
	return free
}

// calls are under way at the same time, with the time that each takes.
type calls struct {
	p  *pair
	wg sync.WaitGroup
}

func (c *calls) ok(what string, call func() error) {
	c.want(what, call, func(err error) bool { return err == nil })
}

// refused expects that the database was locked for too long, and that nothing was
// stored.
func (c *calls) refused(what string, call func() error) {
	c.want(what, call, func(err error) bool {
		return errors.Is(err, tasks.ErrUnavailable) && !errors.Is(err, tasks.ErrOutcomeUnknown)
	})
}

func (c *calls) want(what string, call func() error, right func(error) bool) {
	c.wg.Go(func() {
		began := time.Now()
		err := call()
		if took := time.Since(began); took > lockBound {
			c.p.a.t.Errorf("%s: answered after %s", what, took)
		}
		if !right(err) {
			c.p.a.t.Errorf("%s: %v", what, err)
		}
	})
}

// unrelated are writes of every sort that have nothing to do with what is locked.
func (p *pair) unrelated(c *calls, f tasks.Fence, queued tasks.Job) {
	c.ok("a heartbeat", func() error { return p.b.Beat(p.b.ctx, second, false) })
	c.ok("the relay's lease", func() error { _, err := p.b.Lead(p.b.ctx, "rb"); return err })
	c.ok("an interview", func() error { _, err := p.b.PutInterview(p.b.ctx, interview(7, 7000, "x"), "test"); return err })
	c.ok("a submission", func() error { _, _, err := p.b.Accept(p.b.ctx, report(7, 7001), "test"); return err })
	c.ok("a task's begin", func() error {
		got, err := p.b.Begin(p.b.ctx, tasks.Delivery{Job: queued.ID, Number: queued.Delivery, Worker: second})
		if err == nil && got.Outcome != tasks.Mine {
			err = fmt.Errorf("the outcome is %s", got.Outcome)
		}
		return err
	})
	c.ok("a step and a result", func() error {
		if _, err := p.b.ClaimStep(p.b.ctx, f, "report:7:7002", "answer"); err != nil {
			return err
		}
		if err := p.b.SaveStep(p.b.ctx, f, "report:7:7002", "answer", json.RawMessage(`1`)); err != nil {
			return err
		}
		return p.b.Complete(p.b.ctx, f, tasks.Finish{Result: json.RawMessage(`1`)})
	})
	c.ok("the relay's round", func() error {
		if _, err := p.b.Recover(p.b.ctx); err != nil {
			return err
		}
		if _, err := p.b.Ripen(p.b.ctx); err != nil {
			return err
		}
		_, err := p.b.Unhold(p.b.ctx)
		return err
	})
}

// at work in the second process: one job that runs and one that waits for its
// begin.
func (p *pair) atWork() (f tasks.Fence, queued tasks.Job) {
	p.a.t.Helper()
	j, q := p.b.accept(report(7, 7002)), p.b.accept(report(7, 7003))
	p.b.feed()
	got, err := p.b.Begin(p.b.ctx, tasks.Delivery{Job: j.ID, Number: 1, Worker: second})
	p.b.must(err)
	return tasks.Fence{Job: j.ID, Attempt: got.Job.Attempt, Worker: second}, q
}

// manyLockedRows: each of many jobs is submitted again while its row is locked.
func manyLockedRows(p *pair) {
	f, queued := p.atWork()
	for n := range int64(manyLocks) {
		p.a.accept(report(1, n+1))
	}
	free := p.keep(0, `SELECT seq FROM evalq_jobs WHERE user_id = 1 FOR UPDATE`)
	c := &calls{p: p}
	for n := range int64(manyLocks) {
		c.refused("a job whose row is locked", func() error { _, _, err := p.b.Accept(p.b.ctx, report(1, n+1), "test"); return err })
	}
	p.unrelated(c, f, queued)
	c.wg.Wait()
	free()
	p.b.accept(report(1, 1))
}

// manyLockedKeys: each of many keys is in a transaction that has submitted it.
func manyLockedKeys(p *pair) {
	f, queued := p.atWork()
	tx, err := p.raw.BeginTx(p.a.ctx, nil)
	p.a.must(err)
	defer tx.Rollback()
	for n := range int64(manyLocks) {
		if _, _, err := p.a.AcceptIn(p.a.ctx, tx, report(1, n+1), "test"); err != nil {
			p.a.t.Fatal(err)
		}
	}
	c := &calls{p: p}
	for n := range int64(manyLocks) {
		c.refused("a key that is kept", func() error { _, _, err := p.b.Accept(p.b.ctx, report(1, n+1), "test"); return err })
	}
	p.unrelated(c, f, queued)
	c.wg.Wait()
	p.a.must(tx.Rollback())
	p.b.accept(report(1, 1))
}

// lockedInABundle: one key of many that one caller submits is kept.
func lockedInABundle(p *pair) {
	tx, err := p.raw.BeginTx(p.a.ctx, nil)
	p.a.must(err)
	defer tx.Rollback()
	if _, _, err := p.a.AcceptIn(p.a.ctx, tx, report(1, 5), "test"); err != nil {
		p.a.t.Fatal(err)
	}
	var rs []tasks.Request
	for n := range int64(manyLocks) {
		rs = append(rs, report(1, n+1))
	}
	for i, a := range p.b.AcceptMany(p.b.ctx, rs, "test") {
		if kept := i == 4; kept != errors.Is(a.Err, tasks.ErrUnavailable) || !kept && (a.Err != nil || !a.Created) {
			p.b.t.Errorf("request %d of them: created %t, %v", i, a.Created, a.Err)
		}
	}
}

// lockedGaps: on MySQL a transaction may keep places where there is no row yet.
func lockedGaps(p *pair) {
	if !p.mysql() {
		return // PostgreSQL has no such locks
	}
	f, queued := p.atWork()
	free := p.keep(sql.LevelRepeatableRead, `SELECT seq FROM evalq_jobs WHERE kind = 'evaluation_report' AND user_id = 5 FOR UPDATE`)
	c := &calls{p: p}
	for n := range int64(manyLocks) {
		c.refused("a key in the gap", func() error { _, _, err := p.b.Accept(p.b.ctx, report(5, n+1), "test"); return err })
	}
	p.unrelated(c, f, queued)
	c.wg.Wait()
	free()
	p.b.accept(report(5, 1))
}

// lockedTable: another session has locked one of the tables.
func lockedTable(p *pair) {
	f, queued := p.atWork()
	free := p.keepTable("evalq_audit")
	c := &calls{p: p}
	for range manyLocks {
		c.refused("what needs the table", func() error { return p.b.Audit(p.b.ctx, tasks.AuditEntry{Who: "t", Action: "t"}) })
	}
	p.unrelated(c, f, queued)
	for range manyLocks {
		c.refused("who reads the table", func() error { _, err := p.b.AuditLog(p.b.ctx, 1); return err })
	}
	c.wg.Wait()
	free()
	p.b.must(p.b.Audit(p.b.ctx, tasks.AuditEntry{Who: "t", Action: "t"}))
}

// lockedForAMoment: who wants a row that is free again soon gets it.
func lockedForAMoment(p *pair) {
	j := p.a.accept(report(1, 1))
	free := p.keep(sql.LevelReadCommitted, `SELECT seq FROM evalq_jobs WHERE user_id = 1 FOR UPDATE`)
	done := make(chan error, 1)
	go func() { _, err := p.b.Cancel(p.b.ctx, j.ID, "test", "why"); done <- err }()
	p.b.accept(report(2, 2)) // it is behind the other
	select {
	case err := <-done:
		p.b.t.Fatalf("cancelled under the lock: %v", err)
	default:
	}
	free()
	p.b.must(<-done)
	p.b.wantState(j.ID, tasks.Cancelled)
}

// lockedJob: a caller's transaction that has submitted a queued job's key, or locked
// its row, keeps the task from being begun, and its worker from nothing.
func lockedJob(p *pair) {
	j := p.b.accept(report(1, 1))
	p.b.feed()
	begin := func() tasks.Outcome {
		c, err := p.b.Begin(p.b.ctx, tasks.Delivery{Job: j.ID, Number: 1, Worker: second})
		p.b.must(err)
		return c.Outcome
	}
	tx, err := p.raw.BeginTx(p.a.ctx, nil)
	p.a.must(err)
	defer tx.Rollback()
	if _, _, err := p.a.AcceptIn(p.a.ctx, tx, report(1, 1), "test"); err != nil {
		p.a.t.Fatal(err)
	}
	if got := begin(); got != tasks.Locked {
		p.b.t.Fatalf("a job that a transaction has submitted again: %s", got)
	}
	p.a.must(tx.Rollback())
	free := p.keep(0, `SELECT seq FROM evalq_jobs WHERE user_id = 1 FOR UPDATE`)
	if got := begin(); got != tasks.Locked {
		p.b.t.Fatalf("a job whose row is locked: %s", got)
	}
	p.b.must(p.b.Beat(p.b.ctx, second, false))
	free()
	if got := begin(); got != tasks.Mine {
		p.b.t.Fatalf("when the lock is gone: %s", got)
	}
	if got := p.b.wantState(j.ID, tasks.Running); got.Attempt != 1 || got.Charged != 0 || got.Deaths != 0 {
		p.b.t.Fatalf("the job is %+v", got)
	}
}

// lockedWorker: a worker that cannot beat because its row, or the table, is locked
// is not silent. Afterwards its silence counts.
func lockedWorker(p *pair) {
	for name, lock := range map[string]func() (free func()){
		"its row": func() func() {
			return p.keep(sql.LevelReadCommitted, `SELECT id FROM evalq_workers WHERE id = 'w1' FOR UPDATE`)
		},
		"the table": func() func() {
			if !p.mysql() {
				return p.keep(0, `LOCK TABLE evalq_workers IN SHARE MODE`)
			}
			return p.lockTables(`LOCK TABLES evalq_workers READ`)
		},
	} {
		p.a.must(p.a.Beat(p.a.ctx, worker, false))
		j, f := p.a.running(tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: int64(len(name))}})
		free := lock()
		if err := p.a.Beat(p.a.ctx, worker, false); !errors.Is(err, tasks.ErrUnavailable) {
			p.a.t.Fatalf("%s: a heartbeat under the lock: %v", name, err)
		}
		if lost := p.watch(20 * time.Second); lost != 0 {
			p.a.t.Fatalf("%s: %d jobs were lost under the lock", name, lost)
		}
		p.a.must(p.a.Progress(p.a.ctx, f, tasks.Progress{Done: 1, Total: 2})) // it works on
		free()
		if lost := p.watch(3*time.Second, second); lost != 0 {
			p.a.t.Fatalf("%s: %d jobs were lost just after the lock", name, lost)
		}
		p.a.wantState(j.ID, tasks.Running)
		if lost := p.watch(8*time.Second, second); lost != 1 {
			p.a.t.Fatalf("%s: %d jobs of a worker that is silent were lost", name, lost)
		}
	}
}

// lockedLoss: of a dead worker's jobs one is locked; the others go on elsewhere, and
// that one when it is free.
func lockedLoss(p *pair) {
	kept, _ := p.a.running(report(1, 1))
	other, _ := p.a.running(report(2, 2))
	free := p.keep(sql.LevelReadCommitted, `SELECT seq FROM evalq_jobs WHERE user_id = 1 FOR UPDATE`)
	if lost := p.watch(11*time.Second, second); lost != 1 {
		p.a.t.Fatalf("%d jobs were lost", lost)
	}
	p.b.wantState(other.ID, tasks.Accepted)
	p.b.wantState(kept.ID, tasks.Running)
	free()
	if lost := p.watch(time.Second, second); lost != 1 {
		p.a.t.Fatalf("%d jobs were lost when the lock was gone", lost)
	}
	p.b.wantState(kept.ID, tasks.Accepted)
}

// lockedLease: the relay that leads goes on leading while no relay can write the lease.
func lockedLease(p *pair) {
	lead := func(w *world, who string) bool {
		ok, err := w.Lead(w.ctx, who)
		w.must(err)
		return ok
	}
	if !lead(p.a, "ra") || lead(p.b, "rb") {
		p.a.t.Fatal("the lease went elsewhere")
	}
	free := p.keep(sql.LevelReadCommitted, `SELECT value FROM evalq_meta WHERE name = 'sweeper' FOR UPDATE`)
	for range 6 {
		if !lead(p.a, "ra") || lead(p.b, "rb") {
			p.a.t.Fatal("under the lock the lease went elsewhere")
		}
		p.a.clock.pass(time.Second)
	}
	free()
	if !lead(p.a, "ra") || lead(p.b, "rb") {
		p.a.t.Fatal("after the lock the lease went elsewhere")
	}
	for range 6 { // ra is stopped
		lead(p.b, "rb")
		p.a.clock.pass(time.Second)
	}
	free = p.keep(sql.LevelReadCommitted, `SELECT value FROM evalq_meta WHERE name = 'sweeper' FOR UPDATE`)
	defer free()
	if lead(p.a, "ra") || !lead(p.b, "rb") {
		p.a.t.Fatal("under the lock a relay leads that had lost the lease before")
	}
}

// lockedRound: what a transaction has locked of one job does not keep the relay from
// others, be it the job's row or the place of its next event.
func lockedRound(p *pair) {
	// The ids sort by time. The second keeps the first out of the gap that MariaDB locks
	// in front of the last.
	first := p.a.accept(report(1, 1))
	p.a.clock.pass(time.Second)
	p.a.accept(report(2, 2))
	p.a.clock.pass(time.Second)
	last := p.a.accept(report(3, 3))
	statement := `SELECT seq FROM evalq_jobs WHERE user_id = 3 FOR UPDATE`
	if p.mysql() {
		statement = `SELECT seq FROM evalq_events FORCE INDEX (evalq_events_job) WHERE job_id = '` + last.ID + `' FOR UPDATE`
	}
	free := p.keep(sql.LevelRepeatableRead, statement)
	p.b.feed()
	p.b.wantState(first.ID, tasks.Queued)
	p.b.wantState(last.ID, tasks.Accepted)
	free()
	p.b.feed()
	p.b.wantState(last.ID, tasks.Queued)
}
