package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"evalq/internal/dberror"
	"evalq/tasks"
)

var (
	// ErrNeedsServer: a ledger that belongs to one process takes no part in the
	// transactions of others.
	ErrNeedsServer = errors.New("only a ledger on PostgreSQL, MySQL or MariaDB takes part in another's transaction")
	// ErrOtherDatabase: the transaction does not see this ledger's tables.
	// Nothing was submitted.
	ErrOtherDatabase = errors.New("the transaction is not in the ledger's database: its tables are not there, or they are another ledger's")
	// ErrNoTransaction: what was given runs each statement by itself. Nothing was
	// submitted.
	ErrNoTransaction = errors.New("no transaction is open: begin one first")
	// ErrTxConflict: the transaction met another one and cannot go on as it is.
	// It has to be rolled back and done again from its start.
	ErrTxConflict = errors.New("another transaction was in the way; roll this one back and do it again")
)

// Tx is a transaction of somebody else's.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// AcceptIn is Accept as a part of tx, which its owner commits or rolls back: the
// job exists from then on, or never did. Nobody here learns which: relays are
// told by the database, or find the job when they look.
//
// Until tx ends, whoever wants the same job waits for it; no other key waits. What
// fails is undone up to a savepoint, where the database allows that. The errors
// are those above, a *tasks.InvalidError for bad input and for a kind that KindCheck
// refuses, and for everything else
// tasks.ErrUnavailable with what the driver said.
func (l *Ledger) AcceptIn(ctx context.Context, tx Tx, r tasks.Request, who string) (tasks.Job, bool, error) {
	if l.dialect.OneOwner {
		return tasks.Job{}, false, fmt.Errorf("ledger: accept: %w", ErrNeedsServer)
	}
	if err := l.KindCheck()(ctx, r); err != nil {
		return tasks.Job{}, false, err
	}
	if err := r.Validate(); err != nil {
		return tasks.Job{}, false, &tasks.InvalidError{Err: err}
	}
	var j *job
	var created bool
	t := &txn{ctx: ctx, d: l.dialect, q: foreign{tx}, patient: true}
	err := t.behindSavepoint(func(t *txn) (err error) {
		if err := l.checkPlace(t); err != nil {
			return err
		}
		if j, created, err = l.acceptIn(t, r, who); err != nil || !created && len(j.Changed) == 0 || l.dialect.notify == "" {
			return err
		}
		_, err = t.exec(l.dialect.notify)
		return err
	})
	if err != nil {
		return tasks.Job{}, false, fmt.Errorf("ledger: accept in a transaction: %w", l.foreignCause(err))
	}
	return j.Job, created, nil
}

// foreign runs statements in a transaction of somebody else's.
type foreign struct{ tx Tx }

func (f foreign) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	res, err := f.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return nil, &foreignError{err}
	}
	return res, nil
}

func (f foreign) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	rows, err := f.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, &foreignError{err}
	}
	return rows, nil
}

// foreignError is what the transaction's driver said.
type foreignError struct{ err error }

func (e *foreignError) Error() string { return e.err.Error() }
func (e *foreignError) Unwrap() error { return e.err }

// foreignCause gives the driver's error the kind that callers ask about.
func (l *Ledger) foreignCause(err error) error {
	kind := tasks.ErrUnavailable
	switch what := l.dialect.fault(err).Kind; {
	case what == dberror.Absent:
		kind = ErrOtherDatabase
	case what == dberror.Outside:
		kind = ErrNoTransaction
	case what.Repeatable():
		kind = ErrTxConflict
	case what == dberror.Value:
		return l.dialect.verdict(err)
	}
	var f *foreignError
	switch {
	case errors.As(err, &f):
		return fmt.Errorf("%w: %w", kind, f.err)
	case kind != tasks.ErrUnavailable:
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

// cleanup bounds the way back to a savepoint when the caller's time is over.
const cleanup = 5 * time.Second

// behindSavepoint runs do so that the transaction is as it was before when do
// fails, where the database allows that.
func (t *txn) behindSavepoint(do func(*txn) error) error {
	for _, s := range t.d.savepoint {
		if _, err := t.exec(s); err != nil {
			return err
		}
	}
	err := t.run(do)
	if err == nil {
		_, err = t.exec("RELEASE SAVEPOINT evalq_submit")
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), cleanup)
	defer cancel()
	for _, s := range []string{"ROLLBACK TO SAVEPOINT evalq_submit", "RELEASE SAVEPOINT evalq_submit"} {
		// When this fails too, the transaction is lost as a whole, and the
		// caller learns from the first error that it has to give it up.
		if _, rerr := t.q.exec(ctx, s, nil); rerr != nil {
			break
		}
	}
	return err
}

// checkPlace makes sure that the transaction sees this ledger, and sets the
// clock, since this process may not have asked for the time in a long while.
func (l *Ledger) checkPlace(t *txn) error {
	clock := l.clock.query
	if clock == "" {
		clock = "0"
	}
	var id string
	var ms int64
	asked := l.clock.now()
	found, err := t.row([]any{&id, &ms}, `SELECT value, `+clock+` FROM evalq_meta WHERE name = 'ledger_id'`)
	if err != nil {
		return err
	}
	if !found || id != l.id {
		return ErrOtherDatabase
	}
	if l.clock.query != "" {
		l.clock.set(at(ms), asked.Add(l.clock.now().Sub(asked)/2))
	}
	return nil
}

// acceptIn looks without locking anything and then inserts or locks the one row
// that it found: on MySQL a search that locks would keep others from inserting
// the keys next to it, and two of them would end in a deadlock.
func (l *Ledger) acceptIn(t *txn, r tasks.Request, who string) (*job, bool, error) {
	for try := range 3 {
		seq, err := l.newestRevision(t, r.Payload, try > 0)
		if err != nil {
			return nil, false, err
		}
		revision := 1
		if seq > 0 {
			j, err := t.find(`seq = ?`, seq)
			if err != nil {
				return nil, false, err
			}
			if j == nil {
				break // committed after this transaction has begun to see only what was there
			}
			hash, err := l.committedHash(t.ctx, r.Payload)
			if err != nil {
				return nil, false, err
			}
			next, created, err := l.resubmit(t, j, r, hash, who)
			if err != nil || !next {
				return j, created, err
			}
			revision = j.Revision + 1
		}
		j := l.newJob(r, revision)
		inserted := false
		if j.seq, inserted, err = t.insertNew(intoJobs, j.values()...); err != nil {
			return nil, false, err
		}
		if inserted {
			return j, true, l.event(t, j.ID, "", tasks.Accepted, who, "submitted")
		}
		// Somebody has just committed the same key: look again.
	}
	return nil, false, ErrTxConflict
}

// newestRevision finds the newest revision of a key, 0 when there is none. What
// others have committed since the transaction began is, on some levels of
// isolation, seen only outside of it; what it has written itself only within. It
// looks there when there is a reason to, since on MySQL's SERIALIZABLE that locks
// the neighbours too.
func (l *Ledger) newestRevision(t *txn, p tasks.Payload, within bool) (seq int64, err error) {
	const query = `SELECT seq, revision FROM evalq_jobs WHERE kind = ? AND user_id = ? AND report_id = ? ORDER BY revision DESC LIMIT 1`
	user, report := p.Subject()
	var revision, own, ownRevision int64
	err = l.row(t.ctx, query, p.Kind(), user, report).Scan(&seq, &revision)
	if err != nil && !isNoRows(err) {
		return 0, readError("job", err)
	}
	if seq == 0 && !within {
		return 0, nil
	}
	if _, err := t.row([]any{&own, &ownRevision}, query, p.Kind(), user, report); err != nil {
		return 0, err
	}
	if ownRevision > revision {
		return own, nil
	}
	return seq, nil
}

// committedHash is contentHash as everybody sees it, however old the
// transaction's own view is.
func (l *Ledger) committedHash(ctx context.Context, p tasks.Payload) (string, error) {
	if c, ok := p.(tasks.Custom); ok {
		return dataHash(c.Data), nil
	}
	user, report := p.Subject()
	var hash string
	err := l.row(ctx, hashOfInterview, report, user).Scan(&hash)
	if err != nil && !isNoRows(err) {
		return "", readError("interview", err)
	}
	return hash, nil
}

// intoJobs takes what values gives.
const intoJobs = `INTO evalq_jobs (id, kind, user_id, report_id, revision, queue, state, budget, accepted_at, due_at, moved_at, steps_since, input_hash, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// values are those of a new job's row.
func (j *job) values() []any {
	var data any // a nil []byte would be stored as an empty blob
	if len(j.Data) > 0 {
		data = []byte(j.Data)
	}
	return []any{j.ID, j.Kind, j.UserID, j.ReportID, j.Revision, j.Priority, j.State, j.Budget, ms(j.AcceptedAt), ms(j.DueAt), j.movedAt, ms(j.StepsSince), j.InputHash, data}
}

// insertNew is insert that does nothing when the row's key is taken.
func (t *txn) insertNew(into string, args ...any) (seq int64, inserted bool, err error) {
	if t.d.returning {
		inserted, err = t.row([]any{&seq}, `INSERT `+into+` ON CONFLICT DO NOTHING RETURNING seq`, args...)
		return seq, inserted, err
	}
	res, err := t.exec(`INSERT IGNORE `+into, args...)
	if err != nil {
		return 0, false, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return 0, false, err
	}
	seq, err = res.LastInsertId()
	return seq, true, err
}
