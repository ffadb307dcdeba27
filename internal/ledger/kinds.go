package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"evalq/tasks"
)

const (
	// routesFor is how old a routing table may be that decides nothing for good.
	routesFor = time.Second
	// kindFor is how long a kind is known after the last process that had a handler
	// for it. Workers that have ended stay on record for as long at least.
	kindFor = workerFor
)

// Announce notes that a program brings handlers for the kinds: jobs of these are
// accepted from then on. It is for a process that has handlers and no worker;
// Join does it for a worker.
func (l *Ledger) Announce(ctx context.Context, kinds []tasks.Kind) error {
	kinds = slices.DeleteFunc(slices.Clone(kinds), tasks.Kind.Builtin)
	if len(kinds) == 0 {
		return nil
	}
	// In the order of the names, so that two processes that announce the same do not
	// wait for each other in a circle.
	slices.Sort(kinds)
	err := l.w.do(ctx, func(t *txn) error {
		now := ms(l.now())
		for _, k := range kinds {
			n, err := t.changed(`UPDATE evalq_kinds SET seen_at = ? WHERE kind = ?`, now, k)
			if err != nil {
				return err
			}
			if n > 0 {
				continue
			}
			if err := t.insertMissing(`INTO evalq_kinds (kind, seen_at) VALUES (?, ?)`, k, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: announce kinds: %w", err)
	}
	return nil
}

// insertMissing inserts a row unless its key is taken.
func (t *txn) insertMissing(into string, args ...any) error {
	statement := `INSERT IGNORE ` + into
	if t.d.returning {
		statement = `INSERT ` + into + ` ON CONFLICT DO NOTHING`
	}
	_, err := t.exec(statement, args...)
	return err
}

// announce puts on record what a worker handles.
func (t *txn) announce(w tasks.Worker) error {
	for _, k := range w.Kinds {
		if err := t.insertMissing(`INTO evalq_worker_kinds (worker, kind) VALUES (?, ?)`, w.ID, k); err != nil {
			return err
		}
	}
	return nil
}

// routing says which kinds the workers handle that take tasks now.
type routing struct {
	workers int
	all     int // of them those that handle every kind
	kinds   map[tasks.Kind]int
}

// handled reports whether a worker handles k.
func (r routing) handled(k tasks.Kind) bool { return r.all > 0 || r.kinds[k] > 0 }

// unhandled reports whether workers take tasks and none of them handles k. While
// no worker takes any, jobs wait in their queue for the first.
func (r routing) unhandled(k tasks.Kind) bool { return r.workers > 0 && !r.handled(k) }

// partly lists, in order, the kinds that some of the workers handle and others
// do not.
func (r routing) partly() []tasks.Kind {
	var out []tasks.Kind
	for _, k := range slices.Sorted(maps.Keys(r.kinds)) {
		if n := r.kinds[k] + r.all; n > 0 && n < r.workers {
			out = append(out, k)
		}
	}
	return out
}

const routingQuery = `SELECT w.id, coalesce(k.kind, '') FROM evalq_workers w
	LEFT JOIN evalq_worker_kinds k ON k.worker = w.id WHERE w.ended_at = 0 AND w.draining = 0`

// rowScanner is a *sql.Rows.
type rowScanner interface {
	scanner
	Next() bool
	Err() error
	Close() error
}

func scanRouting(rows rowScanner) (routing, error) {
	defer rows.Close()
	r := routing{kinds: map[tasks.Kind]int{}}
	seen := map[string]bool{}
	for rows.Next() {
		var worker string
		var kind tasks.Kind
		if err := rows.Scan(&worker, &kind); err != nil {
			return routing{}, unavailable("read", err)
		}
		if !seen[worker] {
			seen[worker] = true
			r.workers++
		}
		if kind == "" {
			r.all++
		} else {
			r.kinds[kind]++
		}
	}
	if err := rows.Err(); err != nil {
		return routing{}, unavailable("read", err)
	}
	return r, nil
}

// routing reads the table as it is.
func (t *txn) routing() (routing, error) {
	rows, err := t.query(routingQuery)
	if err != nil {
		return routing{}, err
	}
	return scanRouting(rows)
}

// knownRouting is a table that was read a while ago.
type knownRouting struct {
	routing
	at time.Time
}

// routes gives a table that is a second old at most. What this process does to
// its own workers is in it at once.
func (l *Ledger) routes(ctx context.Context) (routing, error) {
	now := l.clock.now()
	if known := l.routed.Load(); known != nil && now.Sub(known.at) < routesFor && !now.Before(known.at) {
		return known.routing, nil
	}
	rows, err := l.rows(ctx, routingQuery)
	if err != nil {
		return routing{}, readError("the workers' kinds", err)
	}
	r, err := scanRouting(rows)
	if err != nil {
		return routing{}, err
	}
	l.routed.Store(&knownRouting{r, now})
	return r, nil
}

// reroute forgets the table once the transaction is committed.
func (l *Ledger) reroute(t *txn) {
	t.after = append(t.after, func() { l.routed.Store(nil) }, l.notices.wake)
}

// Kinds lists the kinds that are known: the built-in ones, and those for which a
// worker or an announced program had a handler in the last 30 days.
func (l *Ledger) Kinds(ctx context.Context) ([]tasks.Kind, error) {
	out := tasks.Kinds()
	since := ms(l.now().Add(-kindFor))
	rows, err := l.rows(ctx, `SELECT kind FROM evalq_kinds WHERE seen_at > ? UNION SELECT k.kind FROM evalq_worker_kinds k
		JOIN evalq_workers w ON w.id = k.worker WHERE w.ended_at = 0 OR w.ended_at > ? ORDER BY 1`, since, since)
	if err != nil {
		return nil, readError("kinds", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k tasks.Kind
		if err := rows.Scan(&k); err != nil {
			return nil, readError("kinds", err)
		}
		if !k.Builtin() {
			out = append(out, k)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, readError("kinds", err)
	}
	return out, nil
}

// workerKinds lists, a living worker, the kinds that it handles.
func (l *Ledger) workerKinds(ctx context.Context) (map[string][]tasks.Kind, error) {
	rows, err := l.rows(ctx, `SELECT k.worker, k.kind FROM evalq_worker_kinds k JOIN evalq_workers w ON w.id = k.worker WHERE w.ended_at = 0 ORDER BY k.kind`)
	if err != nil {
		return nil, readError("the workers' kinds", err)
	}
	defer rows.Close()
	out := map[string][]tasks.Kind{}
	for rows.Next() {
		var worker string
		var kind tasks.Kind
		if err := rows.Scan(&worker, &kind); err != nil {
			return nil, readError("the workers' kinds", err)
		}
		out[worker] = append(out[worker], kind)
	}
	if err := rows.Err(); err != nil {
		return nil, readError("the workers' kinds", err)
	}
	return out, nil
}

// unhandledKinds counts the jobs that are held because no worker handles their
// kind.
func (l *Ledger) unhandledKinds(ctx context.Context) ([]tasks.UnhandledKind, error) {
	rows, err := l.rows(ctx, `SELECT kind, count(*), min(moved_at) FROM evalq_jobs WHERE hold <> '' AND hold = ? GROUP BY kind ORDER BY kind`, tasks.HoldNoWorker)
	if err != nil {
		return nil, readError("held jobs", err)
	}
	defer rows.Close()
	var out []tasks.UnhandledKind
	for rows.Next() {
		var u tasks.UnhandledKind
		var since int64
		if err := rows.Scan(&u.Kind, &u.Jobs, &since); err != nil {
			return nil, readError("held jobs", err)
		}
		u.Since = at(since)
		out = append(out, u)
	}
	if err := rows.Err(); err != nil {
		return nil, readError("held jobs", err)
	}
	return out, nil
}
