package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"evalq/tasks"
)

const (
	// patience is how long a caller's write is tried while another transaction
	// holds a lock that it needs.
	patience = 9 * time.Second
	// briefly is the patience of a write that is repeated soon: long enough for a
	// commit of another process, which is in the way for milliseconds.
	briefly = 200 * time.Millisecond
	// The pauses between two tries of one write.
	firstPause, lastPause = 10 * time.Millisecond, 250 * time.Millisecond
)

// errLocked: another transaction held a lock for longer than the write waits.
var errLocked = errors.New("another transaction holds a lock on it")

// WriteConns is how many connections the write handle of a shared ledger is to
// allow: two lanes of commits, those apart, two for signs of life, and one that
// takes the place of a broken one.
const WriteConns = 6

// waits is what a write knows of the locks that it met.
type waits struct {
	patience   time.Duration // from since on
	since, due time.Time     // when it came; when it is to be tried again
	tries      int           // how many of them met a lock
	met        error         // the lock that the last try met
	parent     *write        // of which it is one request
	open       int           // requests of it that are not answered yet
}

// finish answers the caller, who may have given up meanwhile.
func (op *write) finish() {
	for _, f := range op.after {
		f()
	}
	if op.parent == nil {
		close(op.done)
		return
	}
	op.asks[0].err = op.err
	if op.parent.open--; op.parent.open == 0 {
		close(op.parent.done)
	}
}

// apart has the writes that met a lock of another transaction. They are tried
// again and again on a connection of their own until the lock is gone or their
// patience is over, while the lanes go on without them.
type apart struct {
	w    *writer
	lane *lane
	poke chan struct{}

	// Guarded by writer.mu.
	waiting []*write
	keys    map[naturalKey]int // of their requests, those under way included
	busy    bool
}

// has is called with the writer's mu held, as are add, back and tell.
func (a *apart) has(asks []*ask) bool {
	return len(a.keys) > 0 && slices.ContainsFunc(asks, func(q *ask) bool { return a.keys[q.key] > 0 })
}

// add takes a write from a lane. Several requests of one caller go on one by one:
// the locks of some do not keep the others.
func (a *apart) add(op *write) {
	parts := []*write{op}
	if len(op.asks) > 1 {
		parts = nil
		for _, q := range op.asks {
			parts = append(parts, &write{ctx: op.ctx, asks: []*ask{q}, again: op.again, waits: waits{patience: op.patience, since: op.since, parent: op}})
		}
		op.open, op.taken = len(parts), true
	}
	for _, part := range parts {
		for _, q := range part.asks {
			a.keys[q.key]++
		}
		a.back(part)
	}
	if a.busy {
		a.tell()
		return
	}
	a.busy = true
	a.w.wg.Go(a.run)
}

// back has a write wait for its next try, the first one at once. Until then
// nothing of it is stored, so its caller may go.
func (a *apart) back(op *write) {
	op.due = time.Now()
	if op.met != nil {
		pause := min(firstPause<<min(op.tries, 10), lastPause)
		op.due = op.due.Add(pause/2 + rand.N(pause))
		op.tries++
	}
	op.taken = op.again
	a.waiting = append(a.waiting, op)
}

// tell wakes run.
func (a *apart) tell() {
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// run tries what is due until nothing waits.
func (a *apart) run() {
	for {
		batch, over, next := a.take()
		a.end(over)
		switch {
		case len(batch) > 0:
			left, locked, err := a.lane.around(batch)
			locked = append(locked, a.lane.oneByOne(left, err)...)
			a.end(slices.DeleteFunc(batch, func(op *write) bool { return slices.Contains(locked, op) }))
			a.w.mu.Lock()
			for _, op := range locked {
				a.back(op)
			}
			a.w.mu.Unlock()
		case next.IsZero():
			return
		default:
			a.rest(time.Until(next))
		}
	}
}

// take gives what is to be tried now, what has waited for too long, and when to
// look again; a zero time ends run.
func (a *apart) take() (batch, over []*write, next time.Time) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	now := time.Now()
	var rest []*write
	for _, op := range a.waiting {
		end := op.since.Add(op.patience)
		if a.w.shut {
			end = now
		}
		switch {
		case op.ctx.Err() != nil && !op.again:
			op.err = context.Cause(op.ctx)
			over = append(over, op)
		case op.tries > 0 && !now.Before(end):
			a.w.fail([]*write{op}, fmt.Errorf("%w for longer than %s: %w", errLocked, op.patience, op.met))
			over = append(over, op)
		case !now.Before(op.due) && len(batch) < maxBatch:
			op.taken, op.met = true, nil
			batch = append(batch, op)
		default:
			rest = append(rest, op)
			for _, at := range []time.Time{op.due, end} {
				if at.After(now) && (next.IsZero() || at.Before(next)) {
					next = at
				}
			}
		}
	}
	a.waiting = rest
	if len(batch) == 0 && len(rest) == 0 {
		if len(over) > 0 {
			next = now // answers them first
		} else {
			a.busy = false
		}
	} else if next.IsZero() {
		next = now
	}
	return batch, over, next
}

// end answers writes that wait no more.
func (a *apart) end(ops []*write) {
	if len(ops) == 0 {
		return
	}
	a.w.mu.Lock()
	for _, op := range ops {
		for _, q := range op.asks {
			if a.keys[q.key]--; a.keys[q.key] == 0 {
				delete(a.keys, q.key)
			}
		}
	}
	a.w.mu.Unlock()
	for _, op := range ops {
		op.finish()
	}
}

func (a *apart) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.poke:
	}
}

// lockedOnly reports whether a write failed because of another's lock and for no
// other reason, so that nothing was stored.
func lockedOnly(err error) bool {
	return errors.Is(err, errLocked) && !errors.Is(err, tasks.ErrOutcomeUnknown)
}
