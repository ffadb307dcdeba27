package ledger

import (
	"sync"
	"time"

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

const (
	// maxKindWindow bounds the window of a kind that only some workers handle.
	maxKindWindow = 1000
	// windowEvery is how often such a window grows or shrinks.
	windowEvery = time.Second
)

// kindRounds remembers, a queue and kind that only some workers handle, at which user
// the round of its held jobs goes on, and how large its window is.
type kindRounds struct {
	mu  sync.Mutex
	all map[roundOf]*kindRound
}

type roundOf struct {
	queue tasks.Priority
	kind  tasks.Kind
}

type kindRound struct {
	after  int64 // the user who had the last turn
	size   int   // of the window
	since  time.Time
	queued int // tasks that waited then
	given  int // and that were handed out since
}

func (r *kindRounds) of(q tasks.Priority, k tasks.Kind) *kindRound {
	if r.all == nil {
		r.all = map[roundOf]*kindRound{}
	}
	one := r.all[roundOf{q, k}]
	if one == nil {
		one = &kindRound{}
		r.all[roundOf{q, k}] = one
	}
	return one
}

func (r *kindRounds) after(q tasks.Priority, k tasks.Kind) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of(q, k).after
}

func (r *kindRounds) goOn(q tasks.Priority, k tasks.Kind, user int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(q, k).after = user
}

func (r *kindRounds) gave(q tasks.Priority, k tasks.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(q, k).given++
}

// size is that of the window, of which queued places are taken, and least at the
// least. It doubles while the workers of the kind take half of it in a second, and
// goes back when they take little.
func (r *kindRounds) size(q tasks.Priority, k tasks.Kind, queued, least int, now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.of(q, k)
	if passed := now.Sub(w.since); passed >= windowEvery || passed < 0 {
		taken := float64(w.queued+w.given-queued) * float64(windowEvery) / float64(max(passed, windowEvery))
		switch {
		case taken >= float64(w.size)/2:
			w.size *= 2
		case taken <= float64(w.size)/8:
			w.size /= 2
		}
		w.since, w.queued, w.given = now, queued, 0
	}
	w.size = max(min(w.size, maxKindWindow), least)
	return w.size
}
