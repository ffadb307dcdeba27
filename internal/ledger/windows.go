package ledger

import (
	"sync"

	"evalq/tasks"
)

// kindWindows are the windows of kinds that only some workers handle. Every other
// worker that takes a task of such a kind passes it on, so few of them are in
// Asynq, however many jobs wait.
type kindWindows struct {
	routing
	room map[tasks.Kind]int // tasks that still fit; a kind without a window is absent
}

// take says why a job of the kind is not to be handed out; when it is, it takes its
// place.
func (w *kindWindows) take(k tasks.Kind) tasks.Hold {
	if w.unhandled(k) {
		return tasks.HoldNoWorker
	}
	room, bounded := w.room[k]
	if !bounded {
		return tasks.HoldNone
	}
	if room <= 0 {
		return tasks.HoldWorkersBusy
	}
	w.room[k] = room - 1
	return tasks.HoldNone
}

// fits is how many jobs of the kind may be taken up that wait for busy workers,
// most at the most.
func (w *kindWindows) fits(k tasks.Kind, most int) int {
	if room, bounded := w.room[k]; bounded {
		return max(0, min(room, most))
	}
	return most
}

// feedBusy hands out jobs that were held because the workers of their kind were
// busy, round robin by user, as many as have room by now.
func (l *Ledger) feedBusy(t *txn, queue tasks.Priority, kinds []tasks.Kind, own *kindWindows, free int, fed *Fed) error {
	for _, k := range kinds {
		n := own.fits(k, free-len(fed.Jobs)-fed.Held)
		if n == 0 {
			continue
		}
		jobs, err := l.busyJobs(t, queue, k, n)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if err := l.handOut(t, j, own, fed); err != nil {
				return err
			}
		}
	}
	return nil
}

// busyJobs lists held jobs of a kind, one of each user in turn.
func (l *Ledger) busyJobs(t *txn, queue tasks.Priority, k tasks.Kind, n int) ([]*job, error) {
	var out []*job
	after := l.rounds.after(queue, k)
	for first := int64(0); len(out) < n; {
		var user int64
		found, err := t.row([]any{&user}, `SELECT user_id FROM evalq_jobs WHERE `+heldFor+` AND user_id > ? ORDER BY user_id LIMIT 1`, tasks.HoldWorkersBusy, queue, k, after)
		if err != nil {
			return nil, err
		}
		if !found && after == 0 {
			break
		}
		if !found {
			after = 0
			continue
		}
		if user == first {
			break
		}
		if first == 0 {
			first = user
		}
		after = user
		jobs, err := t.freeJobs(heldFor+` AND user_id = ? AND state = 'held' ORDER BY seq LIMIT ?`, tasks.HoldWorkersBusy, queue, k, user, max(1, n/4))
		if err != nil {
			return nil, err
		}
		out = append(out, jobs[:min(len(jobs), n-len(out))]...)
	}
	l.rounds.goOn(queue, k, after)
	return out, nil
}

// userRounds remembers at which user each round goes on.
type userRounds struct {
	mu   sync.Mutex
	last map[roundOf]int64
}

type roundOf struct {
	queue tasks.Priority
	kind  tasks.Kind
}

func (r *userRounds) after(q tasks.Priority, k tasks.Kind) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[roundOf{q, k}]
}

func (r *userRounds) goOn(q tasks.Priority, k tasks.Kind, user int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[roundOf]int64{}
	}
	r.last[roundOf{q, k}] = user
}
