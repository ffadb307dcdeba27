package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"evalq/tasks"
)

// feedChunk bounds how many jobs one call of Feed hands out, so that other
// writes get their turn between two.
const feedChunk = 200

// feedVisits bounds how many users one call of Feed finds with a full window, since
// each costs a look. The next call goes on with the next user.
const feedVisits = 500

// ripenChunk bounds how many jobs one call of Ripen makes ready.
const ripenChunk = 2000

// Window says how full a queue may be.
type Window struct {
	PerUser int // waiting tasks of one user in the queue
	Total   int // waiting tasks in the queue, with those that wait for a retry
	// After is the user at whom the round robin goes on; Feed answers the next.
	After int64
	// Busy is set when jobs of the queue may be held for busy workers, as Outlook
	// says.
	Busy bool
}

// Fed is what Feed hands out.
type Fed struct {
	Jobs  []tasks.Job
	After int64
	More  bool // ready jobs may be left that fit the window
	// Elsewhere is set when another relay is at this queue just now, so nothing
	// was looked at.
	Elsewhere bool
	// Waiting is how many tasks of the queue waited before these.
	Waiting int
	// Held is how many ready jobs wait for a worker of their kind instead.
	Held int
}

// Feed moves ready jobs of a queue to queued, within the window and round robin
// by user, in each user's order of acceptance. The caller puts them into Asynq
// in the order given. It moves them before that, so that a worker that gets one
// finds it queued; a job that never arrives in Asynq is found by InRedis.
//
// Jobs of a kind that no worker handles are held instead. A kind that only some
// workers handle has a window of its own, because others pass its tasks on: of
// PerUser tasks in all, more while its workers take them fast. What does not fit is
// held too, so that it keeps no job of another kind waiting.
func (l *Ledger) Feed(ctx context.Context, queue tasks.Priority, win Window) (Fed, error) {
	routes, err := l.routes(ctx)
	if err != nil {
		return Fed{}, fmt.Errorf("ledger: feed %s: %w", queue, err)
	}
	var busy []tasks.Kind
	if win.Busy {
		if busy, err = l.heldKinds(ctx, tasks.HoldWorkersBusy, queue); err != nil {
			return Fed{}, fmt.Errorf("ledger: feed %s: %w", queue, err)
		}
	}
	var fed Fed
	err = l.w.soon(ctx, func(t *txn) error {
		fed = Fed{After: win.After}
		if t.again {
			return refuse(tasks.ErrOutcomeUnknown) // what was handed out then is found by InRedis
		}
		mine, err := t.soleFeeder(queue)
		if err != nil || !mine {
			fed.Elsewhere = !mine
			return err
		}
		own := &kindWindows{routing: routes, room: map[tasks.Kind]int{}}
		waiting, total, err := t.waiting(queue, own, &l.rounds, win.PerUser, l.clock.now())
		if err != nil {
			return err
		}
		fed.Waiting = total
		free := min(win.Total-total, feedChunk)
		if free <= 0 {
			return nil
		}
		if err := l.feedBusy(t, queue, busy, own, free, &fed); err != nil {
			return err
		}
		if free -= len(fed.Jobs); free <= 0 {
			fed.More = true
			return nil
		}
		picked, err := t.pick(queue, win, waiting, free)
		if err != nil {
			return err
		}
		fed.After, fed.More = picked.after, picked.more
		for _, j := range picked.interleave(free) {
			if err := l.handOut(t, j, own, &fed); err != nil {
				return err
			}
		}
		// What is held has taken no place: there may be more behind it.
		fed.More = fed.More || fed.Held > 0
		return nil
	})
	if err != nil {
		return Fed{}, fmt.Errorf("ledger: feed %s: %w", queue, err)
	}
	return fed, nil
}

// handOut moves a ready job, or one that waited for busy workers, to queued, or
// holds it when no worker is to have it yet.
func (l *Ledger) handOut(t *txn, j *job, own *kindWindows, fed *Fed) error {
	hold := own.take(j.Kind)
	ok, err := t.attempt(func() error {
		if j.State == tasks.Held {
			if err := l.deliverAgain(t, j, "relay", "the workers of its kind have room"); err != nil {
				return err
			}
			j.DueAt = at(0)
		}
		switch hold {
		case tasks.HoldNoWorker:
			return l.holdUnhandled(t, j, "relay")
		case tasks.HoldWorkersBusy:
			return l.holdAt(t, j, hold, "relay", l.now().Add(busyLook))
		}
		if !countable(j) {
			if err := l.nextDelivery(t, j); err != nil {
				return err
			}
		}
		return l.moveTo(t, j, tasks.Queued, "")
	})
	switch {
	case err != nil || !ok:
		return err
	case hold != tasks.HoldNone:
		fed.Held++
	default:
		fed.Jobs = append(fed.Jobs, j.Job)
		if _, bounded := own.room[j.Kind]; bounded {
			l.rounds.gave(j.Priority, j.Kind)
		}
	}
	return nil
}

// moveTo is a move of the relay's, saved.
func (l *Ledger) moveTo(t *txn, j *job, to tasks.State, why string) error {
	if err := l.move(t, j, to, "relay", why); err != nil {
		return err
	}
	return l.save(t, j)
}

// soleFeeder takes the queue for this transaction, so that two relays together
// keep to its window. It does not wait: whoever has it feeds it.
func (t *txn) soleFeeder(queue tasks.Priority) (bool, error) {
	if t.d.OneOwner {
		return true, nil
	}
	var name string
	return t.row([]any{&name}, `SELECT name FROM evalq_queues WHERE name = ?`+t.d.free, queue)
}

// waiting counts the queued jobs of a queue by user, and in all, with the
// retrying ones: their tasks are in Redis too. Kinds with windows of their own
// count into those, which hold each or more, and not by user.
func (t *txn) waiting(queue tasks.Priority, own *kindWindows, rounds *kindRounds, each int, now time.Time) (map[int64]int, int, error) {
	var total int
	if _, err := t.row([]any{&total}, `SELECT count(*) FROM evalq_jobs WHERE state = 'retrying' AND queue = ?`, queue); err != nil {
		return nil, 0, err
	}
	others, args := ``, []any{queue}
	for _, k := range own.partly() {
		var n int
		if _, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_jobs WHERE state = 'queued' AND queue = ? AND due_at = 0 AND kind = ?`, queue, k); err != nil {
			return nil, 0, err
		}
		own.room[k] = rounds.size(queue, k, n, each, now) - n
		total += n
		others, args = others+` AND kind <> ?`, append(args, k)
	}
	rows, err := t.query(`SELECT user_id, count(*) FROM evalq_jobs WHERE state = 'queued' AND queue = ? AND due_at = 0`+others+` GROUP BY user_id`, args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	byUser := map[int64]int{}
	for rows.Next() {
		var user int64
		var n int
		if err := rows.Scan(&user, &n); err != nil {
			return nil, 0, unavailable("read", err)
		}
		byUser[user] = n
		total += n
	}
	return byUser, total, rows.Err()
}

// hand is what pick found: each user's ready jobs, in the order of the round.
type hand struct {
	users [][]*job
	after int64
	more  bool
}

// pick visits users with ready jobs from win.After on, round and round the ids,
// each at most once. Skipping from user to user along the index costs the same
// whether a user has one job waiting or a million.
func (t *txn) pick(queue tasks.Priority, win Window, waiting map[int64]int, free int) (hand, error) {
	h := hand{after: win.After}
	found, full, wrapped, first := 0, 0, false, int64(0)
	for found < free && full < feedVisits {
		user, ok, err := t.nextUser(queue, h.after)
		if err != nil {
			return hand{}, err
		}
		if !ok {
			if wrapped || h.after == 0 {
				return h, nil
			}
			wrapped, h.after = true, 0
			continue
		}
		if user == first || (wrapped && user > win.After) {
			return h, nil
		}
		if first == 0 {
			first = user
		}
		h.after = user
		quota := min(win.PerUser-waiting[user], free)
		if quota <= 0 {
			full++
			continue
		}
		jobs, err := t.freeJobs(`state = 'accepted' AND queue = ? AND due_at = 0 AND user_id = ? ORDER BY seq LIMIT ?`, queue, user, quota)
		if err != nil {
			return hand{}, err
		}
		h.users = append(h.users, jobs)
		found += len(jobs)
	}
	h.more = found >= free
	return h, nil
}

func (t *txn) nextUser(queue tasks.Priority, after int64) (user int64, ok bool, err error) {
	ok, err = t.row([]any{&user}, `SELECT user_id FROM evalq_jobs
		WHERE state = 'accepted' AND queue = ? AND due_at = 0 AND user_id > ? ORDER BY user_id LIMIT 1`, queue, after)
	return user, ok, err
}

// interleave deals one job of each user in turn, n at the most.
func (h hand) interleave(n int) []*job {
	var out []*job
	for round := 0; ; round++ {
		dealt := false
		for _, jobs := range h.users {
			if round >= len(jobs) {
				continue
			}
			if len(out) == n {
				return out
			}
			out, dealt = append(out, jobs[round]), true
		}
		if !dealt {
			return out
		}
	}
}

// Unfeed takes back a hand-over that did not reach Redis. It changes nothing
// when the job has moved on, or is locked by another transaction: then InRedis
// finds it.
func (l *Ledger) Unfeed(ctx context.Context, ids []string, why string) error {
	err := l.w.soon(ctx, func(t *txn) error {
		for _, id := range ids {
			found, err := t.freeJobs(`id = ? AND state = 'queued'`, id)
			if err != nil {
				return err
			}
			for _, j := range found {
				if _, err := t.attempt(func() error { return l.moveTo(t, j, tasks.Accepted, why) }); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: take back: %w", err)
	}
	return nil
}

// Ripen makes ready what has become due: accepted jobs whose time has come, and
// held jobs that are to be looked at again. It answers how many; there may be
// more.
func (l *Ledger) Ripen(ctx context.Context) (int, error) {
	// No named result: when the caller gives up, the write goes on.
	ripe := 0
	err := l.w.soon(ctx, func(t *txn) error {
		now := ms(l.now())
		n, err := t.ripenAccepted(now)
		if err != nil {
			return err
		}
		held, err := t.freeJobs(`state = 'held' AND (due_at <= ? OR moved_at > ?) LIMIT ?`, now, now+setBack, feedChunk)
		if err != nil {
			return err
		}
		ripe = n
		for _, j := range held {
			ok, err := t.attempt(func() error { return l.dueAgain(t, j) })
			if err != nil {
				return err
			}
			if ok {
				ripe++
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: ripen: %w", err)
	}
	return ripe, nil
}

// dueAgain looks again at a held job that is due.
func (l *Ledger) dueAgain(t *txn, j *job) error {
	if j.Hold == tasks.HoldNoWorker {
		return l.waitOver(t, j)
	}
	return l.afresh(t, j, "relay", "due")
}

// ripenAccepted leaves out jobs that another transaction has locked. It changes
// the rows by their keys: with a subquery in place of the
// list, MariaDB goes through all accepted jobs and locks each.
func (t *txn) ripenAccepted(now int64) (ripe int, err error) {
	due, err := t.seqs(`state = 'accepted' AND due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ?`, now, ripenChunk)
	if err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(due, feedChunk) {
		some := func(chunk []int64) []any {
			args := []any{now}
			for i := range feedChunk { // always as many, so that it is one statement
				args = append(args, chunk[min(i, len(chunk)-1)])
			}
			return args
		}
		args := some(chunk)
		if t.d.free != "" {
			free, err := t.seqs(`state = 'accepted' AND due_at > 0 AND due_at <= ? AND seq IN (`+list(feedChunk)+`)`+t.d.free, args...)
			if err != nil {
				return 0, err
			}
			if len(free) == 0 {
				continue
			}
			args = some(free)
		}
		n, err := t.changed(`UPDATE evalq_jobs SET due_at = 0 WHERE state = 'accepted' AND due_at > 0 AND due_at <= ? AND seq IN (`+list(feedChunk)+`)`, args...)
		if err != nil {
			return 0, err
		}
		ripe += int(n)
	}
	return ripe, nil
}

// Outlook is what the relay looks at each second.
type Outlook struct {
	Ripe      bool                    // Ripen would find something
	Ready     map[tasks.Priority]bool // Feed would, the window aside
	Busy      map[tasks.Priority]bool // jobs are held for busy workers
	Unhandled bool                    // a job is held because no worker handles its kind
	Slots     int                     // of the living workers
}

// Look reads the Outlook, in one query.
func (l *Ledger) Look(ctx context.Context) (Outlook, error) {
	const (
		ready = `EXISTS (SELECT 1 FROM evalq_jobs WHERE state = 'accepted' AND queue = ? AND due_at = 0)`
		busy  = `EXISTS (SELECT 1 FROM evalq_jobs WHERE hold <> '' AND hold = ? AND queue = ?)`
	)
	now := ms(l.now())
	query := `SELECT EXISTS (SELECT 1 FROM evalq_jobs WHERE state = 'accepted' AND due_at > 0 AND due_at <= ?)
		OR EXISTS (SELECT 1 FROM evalq_jobs WHERE state = 'held' AND (due_at <= ? OR moved_at > ?)),
		EXISTS (SELECT 1 FROM evalq_jobs WHERE hold <> '' AND hold = ?), (SELECT coalesce(sum(slots), 0) FROM evalq_workers WHERE ended_at = 0)`
	args := []any{now, now, now + setBack, tasks.HoldNoWorker}
	var o Outlook
	found := []any{&o.Ripe, &o.Unhandled, &o.Slots}
	queues := tasks.Priorities()
	isReady, isBusy := make([]bool, len(queues)), make([]bool, len(queues))
	for i, q := range queues {
		query += `, ` + ready + `, ` + busy
		args = append(args, q, tasks.HoldWorkersBusy, q)
		found = append(found, &isReady[i], &isBusy[i])
	}
	if err := l.row(ctx, query, args...).Scan(found...); err != nil {
		return Outlook{}, fmt.Errorf("ledger: look out: %w", err)
	}
	o.Ready, o.Busy = map[tasks.Priority]bool{}, map[tasks.Priority]bool{}
	for i, q := range queues {
		o.Ready[q], o.Busy[q] = isReady[i], isBusy[i]
	}
	return o, nil
}
