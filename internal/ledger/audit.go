package ledger

import (
	"context"
	"fmt"

	"evalq/tasks"
)

// Audit records one action of a person. At is set here.
func (l *Ledger) Audit(ctx context.Context, e tasks.AuditEntry) error {
	err := l.w.do(ctx, func(t *txn) error {
		_, err := t.exec(`INSERT INTO evalq_audit (at, who, action, target, detail, remote) VALUES (?, ?, ?, ?, ?, ?)`,
			ms(l.now()), e.Who, e.Action, e.Target, e.Detail, e.From)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: audit %s: %w", e.Action, err)
	}
	return nil
}

// AuditLog lists the newest entries of all kinds, newest first.
func (l *Ledger) AuditLog(ctx context.Context, limit int) ([]tasks.AuditEntry, error) {
	return l.audited(ctx, `1 = 1`, limit)
}

// AuditPage lists a page of the entries that q selects, newest first.
func (l *Ledger) AuditPage(ctx context.Context, q tasks.AuditQuery) ([]tasks.AuditEntry, error) {
	where, args := `action NOT IN (?, ?)`, []any{tasks.AuditSignIn, tasks.AuditSignInFailed}
	if q.SignIns {
		where = `action IN (?, ?)`
	}
	if q.Before > 0 {
		where, args = where+` AND seq < ?`, append(args, q.Before)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	return l.audited(ctx, where, min(limit, 500), args...)
}

func (l *Ledger) audited(ctx context.Context, where string, limit int, args ...any) ([]tasks.AuditEntry, error) {
	rows, err := l.rows(ctx, `SELECT seq, at, who, action, target, detail, remote FROM evalq_audit WHERE `+where+` ORDER BY seq DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, readError("audit log", err)
	}
	defer rows.Close()
	out := []tasks.AuditEntry{}
	for rows.Next() {
		var e tasks.AuditEntry
		var when int64
		if err := rows.Scan(&e.Seq, &when, &e.Who, &e.Action, &e.Target, &e.Detail, &e.From); err != nil {
			return nil, readError("audit log", err)
		}
		e.At = at(when)
		out = append(out, e)
	}
	return out, rows.Err()
}

// Pause records that a queue is paused or goes on, so that it stays so when
// Redis has been wiped. It does not tell Asynq.
func (l *Ledger) Pause(ctx context.Context, queue tasks.Priority, paused bool, who string) error {
	if err := queue.Validate(); err != nil {
		return &tasks.InvalidError{Err: err}
	}
	err := l.w.do(ctx, func(t *txn) error {
		n, err := t.changed(`UPDATE evalq_queues SET paused = ? WHERE name = ?`, paused, queue)
		if err != nil || n > 0 {
			return err
		}
		_, err = t.exec(`INSERT INTO evalq_queues (name, paused) VALUES (?, ?)`, queue, paused)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: pause %s for %s: %w", queue, who, err)
	}
	return nil
}

// Paused lists the paused queues.
func (l *Ledger) Paused(ctx context.Context) (map[tasks.Priority]bool, error) {
	rows, err := l.rows(ctx, `SELECT name FROM evalq_queues WHERE paused <> 0`)
	if err != nil {
		return nil, readError("pauses", err)
	}
	defer rows.Close()
	out := map[tasks.Priority]bool{}
	for rows.Next() {
		var q tasks.Priority
		if err := rows.Scan(&q); err != nil {
			return nil, readError("pauses", err)
		}
		out[q] = true
	}
	return out, rows.Err()
}
