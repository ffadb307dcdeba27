package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"

	"evalq/tasks"
)

// maxBatch bounds how many writes share one commit, so that the first of them
// does not wait for all.
const maxBatch = 256

// sideFrom is how many requests wait when the side lane joins in, and the least
// that each lane takes while there are two: below that they do better with one
// commit for all.
const sideFrom = 8

// refusal is an error that a write returns before it has changed anything. It
// goes to its caller and leaves the batch alone.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(err error) error { return &refusal{err} }

// write is one caller's share of a commit: a change, or requests to accept
// together with those of the other callers.
type write struct {
	ctx   context.Context
	apply func(*txn) error
	asks  []*ask
	taken bool // guarded by writer.mu; the batch has formed
	again bool // a commit of it broke off, so it may be stored already
	left  bool // guarded by writer.mu; the side lane had it and could not do it
	done  chan struct{}
	err   error
	after []func()
	waits
}

// asksOnly reports whether the side lane may try it.
func (op *write) asksOnly() bool { return op.apply == nil && !op.left }

// writer groups concurrent writes into commits: while one commit is under way
// the next batch gathers behind it. All kinds of writes take turns on one lane. A
// second lane may take requests that wait beside it; see takeable.
type writer struct {
	db      *sql.DB
	dialect *Dialect
	clock   *dbClock
	// accepts stores the requests of all those writes. acceptsNew, which not every
	// database has, stores what it can in one statement, which is a transaction by
	// itself, and returns the writes that it left alone.
	accepts    func(*txn, []*write) error
	acceptsNew func(*txn, []*write) (left []*write, err error)
	main       *lane
	side       *lane // nil where one commit at a time is all that the database does
	apart      *apart
	mu         sync.Mutex
	queue      []*write
	asking     int // how many of them the side lane could take
	shut       bool
	lost       func() // told of each connection that is given up; may be nil
	wg         sync.WaitGroup
	refused    refusals
	// ctx ends when close has waited for long enough.
	ctx context.Context
	cut context.CancelFunc
}

// closeGrace is how long close lets the writes under way go on. What is cut off then is
// the same for its caller as a connection that breaks.
const closeGrace = 10 * time.Second

func newWriter(db *sql.DB, d *Dialect, c *dbClock) *writer {
	w := &writer{db: db, dialect: d, clock: c}
	w.ctx, w.cut = context.WithCancel(context.Background())
	w.main = &lane{w: w}
	w.apart = &apart{w: w, lane: &lane{w: w}, keys: map[naturalKey]int{}, poke: make(chan struct{}, 1)}
	return w
}

// do runs apply in a transaction and returns when it has been committed. When
// ctx ends before the batch has formed, nothing was done and ctx's error comes
// back; when it ends later, the commit goes on and the answer is
// tasks.ErrOutcomeUnknown.
//
// No write waits for a lock inside a commit. One that meets a lock of another
// transaction is tried again by itself for patience, and then its error is
// errLocked and tasks.ErrUnavailable.
func (w *writer) do(ctx context.Context, apply func(*txn) error) error {
	return w.await(&write{ctx: ctx, apply: apply, waits: waits{patience: patience}})
}

// soon is do for what is repeated anyway, such as a relay's rounds: it gives up
// on a lock almost at once.
func (w *writer) soon(ctx context.Context, apply func(*txn) error) error {
	return w.await(&write{ctx: ctx, apply: apply, waits: waits{patience: briefly}})
}

// accept is do for requests, whose answers are in them when it returns nil.
// After an error they belong to the commit that goes on.
func (w *writer) accept(ctx context.Context, asks []*ask) error {
	return w.await(&write{ctx: ctx, asks: asks, waits: waits{patience: patience}})
}

func (w *writer) await(op *write) error {
	ctx := op.ctx
	op.done, op.since = make(chan struct{}), time.Now()
	w.mu.Lock()
	if w.shut {
		w.mu.Unlock()
		return fmt.Errorf("ledger: closed: %w", tasks.ErrUnavailable)
	}
	w.queue = append(w.queue, op)
	if op.asksOnly() {
		w.asking++
	}
	w.rouse()
	w.mu.Unlock()
	select {
	case <-op.done:
	case <-ctx.Done():
		w.mu.Lock()
		taken := op.taken
		w.mu.Unlock()
		select {
		case <-op.done:
		default:
			if !taken {
				// drain sees the ended context and drops the write.
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w: %w", tasks.ErrOutcomeUnknown, context.Cause(ctx))
		}
	}
	return op.err
}

// close waits for the writes under way and refuses new ones.
func (w *writer) close() {
	w.mu.Lock()
	w.shut = true
	w.apart.tell()
	w.mu.Unlock()
	if !w.dialect.OneOwner { // a file gives an answer
		defer time.AfterFunc(closeGrace, w.cut).Stop()
	}
	w.wg.Wait()
	for _, l := range w.lanes() {
		l.close()
	}
	w.apart.lane.close()
}

func (w *writer) closing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shut
}

func (w *writer) lanes() []*lane {
	if w.side == nil {
		return []*lane{w.main}
	}
	return []*lane{w.main, w.side}
}

// rouse is called with mu held when the queue or what is under way has changed.
func (w *writer) rouse() {
	for _, l := range w.lanes() {
		l.tellGatherer()
	}
	if len(w.queue) > 0 && !w.main.busy {
		w.main.busy = true
		w.wg.Go(func() { w.drain(w.main) })
	}
	if w.side != nil && !w.side.busy && w.asking >= sideFrom && w.share(w.side, w.asking) > 0 && time.Since(w.side.failed) > sideRest {
		w.side.busy = true
		w.wg.Go(func() { w.drain(w.side) })
	}
}

// drain writes on one lane until there is nothing for it to take.
func (w *writer) drain(l *lane) {
	for {
		if l == w.side && !l.ready() {
			return
		}
		batch, more := w.take(l)
		if !more {
			return
		}
		began := time.Now()
		var left, locked []*write
		if l == w.main {
			locked = l.commit(batch)
		} else {
			left, _ = l.commitNew(batch)
		}
		w.settle(l, batch, left, locked)
		l.gather(len(batch)-len(left), time.Since(began))
	}
}

// take forms the next batch of a lane from the writes whose callers still wait.
func (w *writer) take(l *lane) (batch []*write, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	share := w.share(l, w.asking)
	var rest []*write
	l.asking, w.asking = 0, 0
	for _, op := range w.queue {
		asks := op.asksOnly()
		switch {
		case len(batch) == maxBatch, asks && l.asking == share, !w.takeable(l, op):
			rest = append(rest, op)
			if asks {
				w.asking++
			}
		case op.ctx.Err() != nil && !op.left:
			op.err = context.Cause(op.ctx)
			op.finish()
			more = true
		case w.apart.has(op.asks):
			w.apart.add(op) // behind the write that waits for the key's lock
			more = true
		default:
			op.taken, more = true, true
			batch = append(batch, op)
			if asks {
				l.asking++
			}
		}
	}
	w.queue, l.busy = rest, more
	if w.side != nil {
		l.noteKeys(batch)
	}
	return batch, more
}

// share is how many of n waiting requests a lane takes. When there are enough for
// two, each takes half of what waits and is under way, so that their batches stay
// of one size.
func (w *writer) share(l *lane, n int) int {
	if w.side == nil || l == w.main && w.side.away {
		return n
	}
	other := w.main
	if l == w.main {
		other = w.side
	}
	switch total := n + other.asking; {
	case total >= 2*sideFrom:
		return min(n, (total+1)/2)
	case l == w.side:
		return 0
	}
	return n
}

// takeable: the side lane takes requests alone, and returns to the main lane what
// is for jobs that exist and what goes wrong. No two batches under way in this
// process have a natural key in common, so neither waits for the other.
func (w *writer) takeable(l *lane, op *write) bool {
	if w.side == nil {
		return true
	}
	if l == w.side {
		return op.asksOnly() && !w.main.has(op.asks)
	}
	return !w.side.has(op.asks)
}

// settle answers what a lane has done, puts what it left in front of the queue,
// and apart what met a lock.
func (w *writer) settle(l *lane, batch, left, locked []*write) {
	for _, op := range left {
		op.left = true
	}
	for _, op := range batch {
		if op.left && l == w.side || slices.Contains(locked, op) {
			continue
		}
		op.finish()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l.asking, l.keys = 0, nil
	w.queue = slices.Concat(left, w.queue)
	for _, op := range locked {
		w.apart.add(op)
	}
	w.rouse()
}
