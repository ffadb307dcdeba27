package ledger

import (
	"context"
	"fmt"
	"time"

	"evalq/tasks"
)

const bridgeCounts = `received, submitted, existing, resolved, quarantined, unkept, lost, gaps, gap_ms, shadow_found, shadow_missing`

// CountBridge adds what a bridge has counted since it said so last. SeenAt that is
// not zero says that it is subscribed now; the times that are kept are this
// ledger's. Away is not below zero when the bridge has just begun: then a channel
// at which no bridge was seen for longer had a gap until now.
func (l *Ledger) CountBridge(ctx context.Context, sums []tasks.BridgeChannel, away time.Duration) error {
	err := l.w.do(ctx, func(t *txn) error {
		for _, c := range sums {
			if err := l.countChannel(t, c, away); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: count what came over the bridge: %w", err)
	}
	return nil
}

func (l *Ledger) countChannel(t *txn, c tasks.BridgeChannel, away time.Duration) error {
	now := ms(l.now())
	var seen int64
	found, err := t.row([]any{&seen}, `SELECT seen_at FROM evalq_bridge WHERE channel = ?`+t.d.lock, c.Channel)
	if err != nil {
		return err
	}
	if !found {
		if _, err := t.exec(`INSERT INTO evalq_bridge (channel) VALUES (?)`, c.Channel); err != nil {
			return err
		}
	}
	if gap := now - seen; away >= 0 && seen > 0 && gap > away.Milliseconds() {
		c.Gaps, c.GapMS = c.Gaps+1, c.GapMS+gap
	}
	happened := func(yes bool) int64 {
		if yes {
			return now
		}
		return 0
	}
	_, err = t.exec(`UPDATE evalq_bridge SET received = received + ?, submitted = submitted + ?, existing = existing + ?, resolved = resolved + ?,
		quarantined = quarantined + ?, unkept = unkept + ?, lost = lost + ?, gaps = gaps + ?, gap_ms = gap_ms + ?,
		shadow_found = shadow_found + ?, shadow_missing = shadow_missing + ?,
		last_at = CASE WHEN last_at > ? THEN last_at ELSE ? END, gap_at = CASE WHEN gap_at > ? THEN gap_at ELSE ? END,
		seen_at = CASE WHEN seen_at > ? THEN seen_at ELSE ? END WHERE channel = ?`,
		c.Received, c.Submitted, c.Existing, c.Resolved, c.Quarantined, c.Unkept, c.Lost, c.Gaps, c.GapMS, c.ShadowFound, c.ShadowMissing,
		happened(c.Received > 0), happened(c.Received > 0), happened(c.Gaps > 0), happened(c.Gaps > 0),
		happened(!c.SeenAt.IsZero()), happened(!c.SeenAt.IsZero()), c.Channel)
	return err
}

// Bridge lists what came over the bridge, by channel.
func (l *Ledger) Bridge(ctx context.Context) ([]tasks.BridgeChannel, error) {
	rows, err := l.rows(ctx, `SELECT channel, `+bridgeCounts+`, last_at, gap_at, seen_at FROM evalq_bridge ORDER BY channel`)
	if err != nil {
		return nil, readError("bridge", err)
	}
	defer rows.Close()
	out := []tasks.BridgeChannel{}
	for rows.Next() {
		var c tasks.BridgeChannel
		var last, gap, seen int64
		if err := rows.Scan(&c.Channel, &c.Received, &c.Submitted, &c.Existing, &c.Resolved, &c.Quarantined, &c.Unkept, &c.Lost,
			&c.Gaps, &c.GapMS, &c.ShadowFound, &c.ShadowMissing, &last, &gap, &seen); err != nil {
			return nil, readError("bridge", err)
		}
		c.LastAt, c.GapAt, c.SeenAt = at(last), at(gap), at(seen)
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, readError("bridge", err)
	}
	return out, nil
}

// Interviews lists whose interviews have ids in those ranges, ends included: a
// user and a report each, at most limit of them.
func (l *Ledger) Interviews(ctx context.Context, userLow, userHigh, reportLow, reportHigh int64, limit int) ([][2]int64, error) {
	rows, err := l.rows(ctx, `SELECT user_id, report_id FROM evalq_interviews
		WHERE report_id >= ? AND report_id <= ? AND user_id >= ? AND user_id <= ? ORDER BY report_id LIMIT ?`,
		reportLow, reportHigh, userLow, userHigh, limit)
	if err != nil {
		return nil, readError("interviews", err)
	}
	defer rows.Close()
	var out [][2]int64
	for rows.Next() {
		var pair [2]int64
		if err := rows.Scan(&pair[0], &pair[1]); err != nil {
			return nil, readError("interviews", err)
		}
		out = append(out, pair)
	}
	if err := rows.Err(); err != nil {
		return nil, readError("interviews", err)
	}
	return out, nil
}
