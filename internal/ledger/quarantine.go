package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"evalq/tasks"
)

// What one source may have open in quarantine. What comes then is dropped and
// counted: what is there already says more about a flood than its end.
const (
	quarantineMost  = 10_000
	quarantineBytes = 64 << 20
	// A body above the one size cannot be tried again; its beginning shows what it was.
	quarantineWhole = 1 << 20
	quarantineBegin = 16 << 10
)

// Quarantine keeps something that cannot be read, with its bytes, or the beginning
// of many. The same thing from the same place is kept once, a task by its id; one
// that was settled and came again is open again. While its source has 10,000 things
// or 64 MiB open, it is dropped without an error, and counted; [Ledger.Dropped]
// tells. At, Size and the settlement are set here.
func (l *Ledger) Quarantine(ctx context.Context, q tasks.Quarantined, body []byte) error {
	_, err := l.QuarantineMany(ctx, []tasks.Quarantined{q}, [][]byte{body}, 0)
	return err
}

// QuarantineMany is Quarantine for many things of one source. Most, above 0, is a
// lower bound of open ones. It answers how many are in it now.
func (l *Ledger) QuarantineMany(ctx context.Context, qs []tasks.Quarantined, bodies [][]byte, most int) (int, error) {
	if len(qs) == 0 {
		return 0, nil
	}
	kept := 0
	err := l.w.do(ctx, func(t *txn) error {
		kept = 0
		room, err := quarantineRoom(t, qs[0].Source, most)
		if err != nil {
			return err
		}
		for i, q := range qs {
			in, err := l.quarantine(t, q, bodies[i], &room)
			if err != nil {
				return err
			}
			if in {
				kept++
			}
		}
		if n := len(qs) - kept; n > 0 {
			return l.countDropped(t, qs[0].Source, n)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: quarantine what came from %s: %w", qs[0].Source, err)
	}
	return kept, nil
}

// room is what a source may still leave.
type room struct{ things, bytes int64 }

func quarantineRoom(t *txn, source string, most int) (room, error) {
	if most <= 0 || most > quarantineMost {
		most = quarantineMost
	}
	var things, bytes int64
	_, err := t.row([]any{&things, &bytes}, `SELECT count(*), coalesce(sum(length(body)), 0) FROM evalq_quarantine WHERE source = ? AND settled_at = 0`, source)
	return room{int64(most) - things, quarantineBytes - bytes}, err
}

// quarantine answers whether the thing is in. Without room only what is open stays
// in.
func (l *Ledger) quarantine(t *txn, q tasks.Quarantined, body []byte, left *room) (in bool, err error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", q.Source, q.Queue, q.TaskID)
	if q.TaskID == "" {
		h.Write(body)
	}
	mark := hex.EncodeToString(h.Sum(nil))
	if len(body) > quarantineWhole {
		q.Reason += fmt.Sprintf("; of its %d bytes only the beginning is kept", len(body))
		body = body[:quarantineBegin]
	}
	if body == nil {
		body = []byte{}
	}
	var settled int64
	found, err := t.row([]any{&settled}, `SELECT settled_at FROM evalq_quarantine WHERE fingerprint = ?`, mark)
	switch {
	case err != nil:
		return false, err
	case found && settled == 0:
		return true, nil
	case left.things <= 0 || left.bytes < int64(len(body)):
		return false, nil
	case found:
		_, err = t.exec(`UPDATE evalq_quarantine SET settled_at = 0, settled = '', reason = ?, body = ? WHERE fingerprint = ?`, q.Reason, body, mark)
	default:
		_, err = t.exec(`INSERT INTO evalq_quarantine (fingerprint, at, source, queue, task_id, reason, body) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			mark, ms(l.now()), q.Source, fits(legible(q.Queue), 191), q.TaskID, q.Reason, body)
	}
	left.things, left.bytes = left.things-1, left.bytes-int64(len(body))
	return err == nil, err
}

func (l *Ledger) countDropped(t *txn, source string, n int) error {
	changed, err := t.changed(`UPDATE evalq_quarantine_dropped SET things = things + ?, at = ? WHERE source = ?`, n, ms(l.now()), source)
	if err != nil || changed > 0 {
		return err
	}
	_, err = t.exec(`INSERT INTO evalq_quarantine_dropped (source, things, at) VALUES (?, ?, ?)`, source, n, ms(l.now()))
	return err
}

// Dropped counts what found no room in quarantine, and says when that
// was last.
func (l *Ledger) Dropped(ctx context.Context) (things int, last time.Time, err error) {
	var when int64
	if err := l.row(ctx, `SELECT coalesce(sum(things), 0), coalesce(max(at), 0) FROM evalq_quarantine_dropped`).Scan(&things, &when); err != nil {
		return 0, time.Time{}, readError("quarantine", err)
	}
	return things, at(when), nil
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
