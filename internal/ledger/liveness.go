package ledger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"evalq/tasks"
)

const (
	// silence is how long a worker's heartbeat has to stand still, while somebody
	// looks, before its jobs are given to others. Workers beat each second.
	silence = 8 * time.Second
	// blink is how long nobody may have looked. A longer gap counts for nothing,
	// and half of the time is watched again after it, because it was the watcher who
	// was away, and perhaps the ledger that nobody could write to.
	blink = 3 * time.Second
)

// watch is what this process has seen of the beats of others. It compares no
// clocks: a beat that changes is life, whatever time anybody thinks it is.
type watch struct {
	mu     sync.Mutex
	looked time.Time
	seen   map[string]sighting
}

type sighting struct {
	beat  string
	since time.Time
}

// quiet names those whose beat has not changed for longer than a blink.
func (w *watch) quiet(now time.Time, beats map[string]string) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for who, beat := range beats {
		if s, ok := w.seen[who]; ok && s.beat == beat && now.Sub(s.since) >= blink {
			out = append(out, who)
		}
	}
	return out
}

// look takes in the present beats and names those that have stood still for as
// long as still. Those that are mute could not have written a beat, so the time
// since the last look is no silence of theirs.
func (w *watch) look(now time.Time, beats map[string]string, mute []string, still time.Duration) (silent []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	away := now.Sub(w.looked) > blink
	for who, s := range w.seen {
		if away || slices.Contains(mute, who) {
			s.since = now.Add(-min(w.looked.Sub(s.since), still/2))
			w.seen[who] = s
		}
	}
	w.looked = now
	seen := make(map[string]sighting, len(beats))
	for who, beat := range beats {
		s, ok := w.seen[who]
		if !ok || s.beat != beat {
			s = sighting{beat, now}
		}
		seen[who] = s
		if now.Sub(s.since) >= still {
			silent = append(silent, who)
		}
	}
	w.seen = seen
	return silent
}

// alive reports whether a worker is still at work: it has joined, has not left
// and was not given up. No clock has a say here. On a ledger of one process
// nobody is ever given up before the next start; on others Recover does it.
func (l *Ledger) alive(t *txn, worker string) (bool, error) {
	var n int
	_, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_workers WHERE id = ? AND ended_at = 0`, worker)
	return n > 0, err
}

// Recover books the loss of every attempt whose worker is gone, and answers how
// many there were. On a ledger of many processes it is to be called each second:
// it watches the heartbeats, and a worker whose beat has stood still for 8 s of
// watching is given up. A machine that slept, or a database that was away, is no
// death: such a gap does not count, and 4 s are watched again after it.
func (l *Ledger) Recover(ctx context.Context) (int, error) {
	lost := 0
	if !l.dialect.OneOwner {
		silent, err := l.silent(ctx)
		if err != nil {
			return 0, err
		}
		for worker, beat := range silent {
			n, err := l.bury(ctx, worker, beat)
			if err != nil {
				return lost, err
			}
			lost += n
		}
	}
	orphans, err := l.orphans(ctx)
	if err != nil || len(orphans) == 0 {
		return lost, err
	}
	for _, worker := range orphans {
		n, err := l.bury(ctx, worker, ended)
		if err != nil {
			return lost, err
		}
		lost += n
	}
	return lost, nil
}

// Observe watches the heartbeats and books nothing: for a relay that does not
// lead. Should it have to, it need not begin the watch anew.
func (l *Ledger) Observe(ctx context.Context) error {
	if l.dialect.OneOwner {
		return nil
	}
	_, err := l.silent(ctx)
	return err
}

// silent lists the workers that have stopped beating, with their last beat.
func (l *Ledger) silent(ctx context.Context) (map[string]int64, error) {
	rows, err := l.rows(ctx, `SELECT id, beats FROM evalq_workers WHERE ended_at = 0`)
	if err != nil {
		return nil, readError("workers", err)
	}
	defer rows.Close()
	beats, seen := map[string]int64{}, map[string]string{}
	for rows.Next() {
		var id string
		var beat int64
		if err := rows.Scan(&id, &beat); err != nil {
			return nil, readError("workers", err)
		}
		beats[id], seen[id] = beat, strconv.FormatInt(beat, 10)
	}
	if err := rows.Err(); err != nil {
		return nil, readError("workers", err)
	}
	now := l.clock.now()
	mute := l.mute(ctx, l.watch.quiet(now, seen))
	out := map[string]int64{}
	for _, id := range l.watch.look(now, seen, mute, silence) {
		out[id] = beats[id]
	}
	return out, nil
}

// mute names those of some workers whose rows another transaction has locked: they
// may live and be kept from beating. Without an answer that is all of them.
func (l *Ledger) mute(ctx context.Context, workers []string) []string {
	if len(workers) == 0 {
		return nil
	}
	args := make([]any, len(workers))
	for i, w := range workers {
		args[i] = w
	}
	free := map[string]bool{}
	err := l.pulse.soon(ctx, func(t *txn) error {
		// An array of its own: when the caller gives up, the write goes on.
		rows, err := t.query(`SELECT id FROM evalq_workers WHERE id IN (`+list(len(args))+`)`+t.d.free, slices.Clone(args)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		found := map[string]bool{}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return unavailable("read", err)
			}
			found[id] = true
		}
		free = found
		if err := rows.Err(); err != nil {
			return unavailable("read", err)
		}
		rows.Close()
		// As they do it themselves: a lock of the whole table shows only then.
		_, err = t.exec(`UPDATE evalq_workers SET draining = draining WHERE id IN (`+list(len(args))+`)`, only(args, found)...)
		return err
	})
	if err != nil {
		return workers
	}
	return slices.DeleteFunc(workers, func(w string) bool { return free[w] })
}

// only is ids with those that are not among some replaced by an id of no worker, so
// that it stays one statement.
func only(ids []any, some map[string]bool) []any {
	out := slices.Clone(ids)
	for i, id := range out {
		if !some[id.(string)] {
			out[i] = ""
		}
	}
	return out
}

// orphans lists workers that have ended with jobs on record as running.
func (l *Ledger) orphans(ctx context.Context) ([]string, error) {
	rows, err := l.rows(ctx, `SELECT DISTINCT worker FROM evalq_jobs j WHERE state = 'running'
		AND NOT EXISTS (SELECT 1 FROM evalq_workers w WHERE w.id = j.worker AND w.ended_at = 0)`)
	if err != nil {
		return nil, readError("running jobs", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			return nil, readError("running jobs", err)
		}
		out = append(out, w)
	}
	return out, rows.Err()
}

// Bury takes it as a fact that a worker is gone and books the loss of what it
// ran. It answers how many jobs those were.
func (l *Ledger) Bury(ctx context.Context, worker string) (int, error) {
	return l.bury(ctx, worker, anyBeat)
}

// What stands for a worker's last beat: any, or that of one which has ended.
const (
	anyBeat = -1
	ended   = -2
)

// bury spares a worker that has beaten since. Jobs of which another transaction
// has locked something are left to the next time, as orphans.
func (l *Ledger) bury(ctx context.Context, worker string, beat int64) (int, error) {
	// No named result: when the caller gives up, the write goes on.
	lost := 0
	err := l.w.soon(ctx, func(t *txn) error {
		lost = 0
		if spared, err := l.end(t, worker, beat); err != nil || spared {
			return err
		}
		running, err := t.freeJobs(`state = 'running' AND worker = ?`, worker)
		if err != nil {
			return err
		}
		for _, j := range running {
			ok, err := t.attempt(func() error { return l.lose(t, j) })
			if err != nil {
				return err
			}
			if ok {
				lost++
			}
		}
		return nil
	})
	if lockedOnly(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ledger: bury worker %s: %w", worker, err)
	}
	return lost, nil
}

// end puts a worker's end on record, unless it has shown since that it lives.
func (l *Ledger) end(t *txn, worker string, beat int64) (spared bool, err error) {
	if beat == ended {
		return l.alive(t, worker)
	}
	n, err := t.changed(`UPDATE evalq_workers SET ended_at = CASE WHEN beat_at > 0 THEN beat_at ELSE 1 END
		WHERE id = ? AND ended_at = 0 AND (beats = ? OR ? < 0)`, worker, beat, beat)
	return n == 0 && beat != anyBeat, err
}

// BuryAll is for the start of a ledger that belongs to one process: whatever ran
// ran in a process that is gone.
func (l *Ledger) BuryAll(ctx context.Context) (int, error) {
	if !l.dialect.OneOwner {
		return 0, fmt.Errorf("ledger: bury all workers: the ledger has other processes: %w", tasks.ErrConflict)
	}
	err := l.w.do(ctx, func(t *txn) error {
		_, err := t.exec(`UPDATE evalq_workers SET ended_at = CASE WHEN beat_at > 0 THEN beat_at ELSE 1 END WHERE ended_at = 0`)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: bury all workers: %w", err)
	}
	return l.Recover(ctx)
}
