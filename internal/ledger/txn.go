package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// txn is a write transaction. Its after functions run once the commit is done,
// before the caller goes on; they must not block.
type txn struct {
	ctx   context.Context
	d     *Dialect
	q     prepared
	again bool // an earlier commit of the same write broke off
	after []func()
	// mark is set when the transaction goes around locks: it runs a statement of
	// its savepoints.
	mark func(ctx context.Context, statement string) error
	// patient is set in a transaction of a caller's, which waits for locks as its
	// owner has set it.
	patient bool
}

func (t *txn) run(apply func(*txn) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("ledger: panic in a write: %v", p)
		}
	}()
	return apply(t)
}

func (t *txn) exec(query string, args ...any) (sql.Result, error) {
	if t.d.nowait != "" && !t.patient && changes(query) {
		query = t.d.nowait + query
	}
	res, err := t.q.exec(t.ctx, t.d.sql(query), plain(args))
	if err != nil {
		return nil, unavailable("write", err)
	}
	return res, nil
}

func changes(query string) bool {
	verb, _, _ := strings.Cut(query, " ")
	return verb == "INSERT" || verb == "UPDATE" || verb == "DELETE"
}

// changed is exec that answers how many rows it met.
func (t *txn) changed(query string, args ...any) (int64, error) {
	res, err := t.exec(query, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, unavailable("write", err)
	}
	return n, nil
}

// insert runs an INSERT into a table whose key, seq, the database makes, and
// answers the key.
func (t *txn) insert(query string, args ...any) (int64, error) {
	if t.d.returning {
		var seq int64
		_, err := t.row([]any{&seq}, query+" RETURNING seq", args...)
		return seq, err
	}
	res, err := t.exec(query, args...)
	if err != nil {
		return 0, err
	}
	seq, err := res.LastInsertId()
	if err != nil {
		return 0, unavailable("write", err)
	}
	return seq, nil
}

func (t *txn) query(query string, args ...any) (*sql.Rows, error) {
	rows, err := t.q.query(t.ctx, t.d.sql(query), plain(args))
	if err != nil {
		return nil, unavailable("read", err)
	}
	return rows, nil
}

func (t *txn) row(dest []any, query string, args ...any) (bool, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return false, unavailable("read", err)
		}
		return false, nil
	}
	if err := rows.Scan(dest...); err != nil {
		return false, unavailable("read", err)
	}
	return true, nil
}

// jobs reads jobs and locks them: no other transaction changes them before the
// commit. It
// does not wait for one that another transaction has locked: that is an error.
func (t *txn) jobs(where string, args ...any) ([]*job, error) {
	lock := t.d.lock
	if t.patient {
		lock = t.d.wait
	}
	return t.scan(where+lock, args...)
}

// freeJobs is jobs without those that somebody else is changing just now.
func (t *txn) freeJobs(where string, args ...any) ([]*job, error) {
	return t.scan(where+t.d.free, args...)
}

func (t *txn) scan(where string, args ...any) ([]*job, error) {
	rows, err := t.query(`SELECT `+jobColumns+` FROM evalq_jobs WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	return scanJobs(rows)
}

// seqs lists the keys of jobs. It locks none unless where ends with a lock.
func (t *txn) seqs(where string, args ...any) ([]int64, error) {
	rows, err := t.query(`SELECT seq FROM evalq_jobs WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, unavailable("read", err)
		}
		out = append(out, seq)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("read", err)
	}
	return out, nil
}

// rows and row read outside of any transaction, what was committed by then. A
// connection that has broken while it was idle is told only by using it, so they
// try as often as there may be such.
func (l *Ledger) rows(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	query, args = l.dialect.sql(query), plain(args)
	if !l.dialect.OneOwner { // a file does not fall silent
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		time.AfterFunc(readTimeout, cancel) // when the rows have been read, nobody minds
	}
	for range readTries {
		if rows, err = l.read.QueryContext(ctx, query, args...); l.told(ctx, err) {
			break
		}
	}
	return rows, l.dialect.explain(err)
}

// readTimeout bounds one read: a server that has lost its power gives no answer,
// and callers such as the relay have no deadline of their own.
const readTimeout = 30 * time.Second

// readTries is above the number of connections that a read pool keeps.
const readTries = 10

func (l *Ledger) row(ctx context.Context, query string, args ...any) scanner {
	return &oneRow{l, ctx, l.dialect.sql(query), plain(args)}
}

// oneRow asks when it is scanned.
type oneRow struct {
	l     *Ledger
	ctx   context.Context
	query string
	args  []any
}

func (r *oneRow) Scan(dest ...any) (err error) {
	ctx, cancel := context.WithTimeout(r.ctx, readTimeout)
	defer cancel()
	for range readTries {
		if err = r.l.read.QueryRowContext(ctx, r.query, r.args...).Scan(dest...); r.l.told(ctx, err) {
			break
		}
	}
	if isNoRows(err) {
		return err
	}
	return r.l.dialect.explain(err)
}

// told reports whether asking again would give the same.
func (l *Ledger) told(ctx context.Context, err error) bool {
	var op *net.OpError
	away := errors.As(err, &op) && op.Op == "dial"
	return err == nil || isNoRows(err) || ctx.Err() != nil || away || l.dialect.answered(err)
}
