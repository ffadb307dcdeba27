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
	_, err := l.QuarantineMany(ctx, []tasks.Quarantined{q}, [][]byte{body}, 0)
	return err
}

// QuarantineMany is Quarantine for many things of one source. With most above 0 it
// keeps no further ones while so many of that source are open. It answers how
// many are in it now.
func (l *Ledger) QuarantineMany(ctx context.Context, qs []tasks.Quarantined, bodies [][]byte, most int) (int, error) {
	if len(qs) == 0 {
		return 0, nil
	}
	kept := 0
	err := l.w.do(ctx, func(t *txn) error {
		kept = 0
		room := len(qs)
		if most > 0 {
			var open int
			if _, err := t.row([]any{&open}, `SELECT count(*) FROM evalq_quarantine WHERE source = ? AND settled_at = 0`, qs[0].Source); err != nil {
				return err
			}
			room = most - open
		}
		for i, q := range qs {
			in, grown, err := l.quarantine(t, q, bodies[i], room > 0)
			if err != nil {
				return err
			}
			if in {
				kept++
			}
			if grown {
				room--
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: quarantine what came from %s: %w", qs[0].Source, err)
	}
	return kept, nil
}

// quarantine answers whether the thing is in, and whether there is one more open
// entry than before. Without room only what is open stays in.
func (l *Ledger) quarantine(t *txn, q tasks.Quarantined, body []byte, room bool) (in, grown bool, err error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", q.Source, q.Queue, q.TaskID)
	h.Write(body)
	mark := hex.EncodeToString(h.Sum(nil))
	if body == nil {
		body = []byte{}
	}
	var settled int64
	found, err := t.row([]any{&settled}, `SELECT settled_at FROM evalq_quarantine WHERE fingerprint = ?`, mark)
	switch {
	case err != nil:
		return false, false, err
	case found && settled == 0:
		return true, false, nil
	case !room:
		return false, false, nil
	case found:
		_, err = t.exec(`UPDATE evalq_quarantine SET settled_at = 0, settled = '', reason = ?, body = ? WHERE fingerprint = ?`, q.Reason, body, mark)
	default:
		_, err = t.exec(`INSERT INTO evalq_quarantine (fingerprint, at, source, queue, task_id, reason, body) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			mark, ms(l.now()), q.Source, fits(legible(q.Queue), 191), q.TaskID, q.Reason, body)
	}
	return err == nil, err == nil, err
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

// QuarantinedBody gives an open entry with its bytes, which may be personal data.
func (l *Ledger) QuarantinedBody(ctx context.Context, id int64) (tasks.Quarantined, []byte, error) {
	q := tasks.Quarantined{ID: id}
	var body []byte
	var came int64
	err := l.row(ctx, `SELECT at, source, queue, task_id, reason, body FROM evalq_quarantine WHERE seq = ? AND settled_at = 0`, id).
		Scan(&came, &q.Source, &q.Queue, &q.TaskID, &q.Reason, &body)
	if isNoRows(err) {
		return q, nil, fmt.Errorf("ledger: quarantine entry %d: %w", id, tasks.ErrNotFound)
	}
	if err != nil {
		return q, nil, readError("quarantine", err)
	}
	q.At, q.Size = at(came), len(body)
	return q, body, nil
}

// StillQuarantined notes why an open entry cannot be read now.
func (l *Ledger) StillQuarantined(ctx context.Context, id int64, reason string) error {
	err := l.w.do(ctx, func(t *txn) error {
		_, err := t.exec(`UPDATE evalq_quarantine SET reason = ? WHERE seq = ? AND settled_at = 0`, reason, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: quarantine entry %d: %w", id, err)
	}
	return nil
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
