package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"evalq/tasks"
)

// Quarantine keeps something that cannot be read, with its bytes. The same thing
// from the same place is kept once; one that was settled and came again is open
// again. At, Size and the settlement are set here.
func (l *Ledger) Quarantine(ctx context.Context, q tasks.Quarantined, body []byte) error {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", q.Source, q.Queue, q.TaskID)
	h.Write(body)
	mark := hex.EncodeToString(h.Sum(nil))
	if body == nil {
		body = []byte{}
	}
	err := l.w.do(ctx, func(t *txn) error {
		n, err := t.changed(`UPDATE evalq_quarantine SET settled_at = 0, settled = '', body = ? WHERE fingerprint = ?`, body, mark)
		if err != nil || n > 0 {
			return err
		}
		_, err = t.exec(`INSERT INTO evalq_quarantine (fingerprint, at, source, queue, task_id, reason, body) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			mark, ms(l.now()), q.Source, fits(legible(q.Queue), 191), q.TaskID, q.Reason, body)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: quarantine what came from %s: %w", q.Source, err)
	}
	return nil
}

// InQuarantine lists what nobody has dealt with yet, newest first; with all, the
// rest too. It also counts the open ones.
func (l *Ledger) InQuarantine(ctx context.Context, all bool, limit int) (entries []tasks.Quarantined, open int, err error) {
	if err := l.row(ctx, `SELECT count(*) FROM evalq_quarantine WHERE settled_at = 0`).Scan(&open); err != nil {
		return nil, 0, readError("quarantine", err)
	}
	where := `WHERE settled_at = 0`
	if all {
		where = ``
	}
	rows, err := l.rows(ctx, `SELECT seq, at, source, queue, task_id, reason, length(body), settled_at, settled FROM evalq_quarantine `+where+` ORDER BY seq DESC LIMIT ?`, limit)
	if err != nil {
		return nil, 0, readError("quarantine", err)
	}
	defer rows.Close()
	entries = []tasks.Quarantined{}
	for rows.Next() {
		var q tasks.Quarantined
		var came, settled int64
		if err := rows.Scan(&q.ID, &came, &q.Source, &q.Queue, &q.TaskID, &q.Reason, &q.Size, &settled, &q.Settled); err != nil {
			return nil, 0, readError("quarantine", err)
		}
		q.At, q.SettledAt = at(came), at(settled)
		entries = append(entries, q)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, readError("quarantine", err)
	}
	return entries, open, nil
}

// QuarantinedBody gives the bytes of an open entry. They may be personal data.
func (l *Ledger) QuarantinedBody(ctx context.Context, id int64) ([]byte, error) {
	var body []byte
	err := l.row(ctx, `SELECT body FROM evalq_quarantine WHERE seq = ? AND settled_at = 0`, id).Scan(&body)
	if isNoRows(err) {
		return nil, fmt.Errorf("ledger: quarantine entry %d: %w", id, tasks.ErrNotFound)
	}
	if err != nil {
		return nil, readError("quarantine", err)
	}
	return body, nil
}

// Settle notes that somebody has dealt with an entry, and drops its bytes.
// tasks.ErrNotFound when there is no such open entry.
func (l *Ledger) Settle(ctx context.Context, id int64, who, how string) error {
	err := l.w.do(ctx, func(t *txn) error {
		n, err := t.changed(`UPDATE evalq_quarantine SET settled_at = ?, settled = ?, body = ? WHERE seq = ? AND settled_at = 0`,
			ms(l.now()), reason(how, "by "+who), []byte{}, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return refuse(fmt.Errorf("quarantine entry %d: %w", id, tasks.ErrNotFound))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: settle: %w", err)
	}
	return nil
}
