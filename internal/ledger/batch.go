package ledger

import (
	"context"
	"errors"
	"slices"
	"time"
)

// apply runs the batch's statements: first all requests to accept at once, then
// the changes one by one.
func (w *writer) apply(ctx context.Context, batch []*write) error {
	var asking []*write
	for _, op := range batch {
		op.err, op.after = nil, nil
		if op.apply == nil {
			asking = append(asking, op)
		}
	}
	if len(asking) > 0 {
		t := &txn{ctx: ctx, d: w.dialect, q: w}
		if err := t.run(func(t *txn) error { return w.accepts(t, asking) }); err != nil {
			return err
		}
		asking[0].after = t.after
	}
	for _, op := range batch {
		if op.apply == nil {
			continue
		}
		t := &txn{ctx: ctx, d: w.dialect, q: w, again: op.again}
		if err := t.run(op.apply); err != nil {
			var r *refusal
			if !errors.As(err, &r) {
				return err
			}
			op.err = r.err
		}
		op.after = t.after
	}
	return nil
}

// trustFor is how long a connection is taken to be whole after its last use.
const trustFor = time.Second

// commitNew accepts, where one statement can, the requests of a batch that asks
// for nothing else, and returns the writes that are still to be done. What goes
// wrong is left to the transaction that follows. A connection that may have broken
// while it was idle is too: it fails at the BEGIN, before anybody has to wonder what
// it did.
func (w *writer) commitNew(batch []*write) []*write {
	if w.acceptsNew == nil || w.conn == nil || time.Since(w.used) > trustFor ||
		slices.ContainsFunc(batch, func(op *write) bool { return op.apply != nil }) {
		return batch
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if w.clock.sync(ctx, w.conn) != nil {
		return batch
	}
	t := &txn{ctx: ctx, d: w.dialect, q: w}
	left := batch
	err := t.run(func(t *txn) (err error) {
		left, err = w.acceptsNew(t, batch)
		return err
	})
	if err == nil {
		w.used = time.Now()
		for _, f := range t.after {
			f()
		}
		return left
	}
	if errors.Is(w.broken(err), errBroken) {
		w.disconnect()
		for _, op := range batch {
			op.again = true
		}
	}
	return batch
}

// maxGather bounds how long a batch is held back for those who may join it.
const maxGather = 2 * time.Millisecond

// gather gives those who were just answered, and who will often ask again at
// once, the time to meet in the next batch with those who wait already: together
// they take one commit where they would otherwise take turns. That is a fraction
// of the time of the last commit; a caller on his own does not wait.
func (w *writer) gather(answered int, took time.Duration) {
	w.mu.Lock()
	wanted := min(len(w.queue)+answered, maxBatch)
	if wanted < 2 || len(w.queue) >= wanted {
		w.mu.Unlock()
		return
	}
	full := make(chan struct{})
	w.full, w.wanted = full, wanted
	w.mu.Unlock()
	timer := time.NewTimer(min(took/4, maxGather))
	defer timer.Stop()
	select {
	case <-full:
	case <-timer.C:
		w.mu.Lock()
		w.full = nil
		w.mu.Unlock()
	}
}

// tellGatherer is called with mu held when a write has joined the queue.
func (w *writer) tellGatherer() {
	if w.full != nil && len(w.queue) >= w.wanted {
		close(w.full)
		w.full = nil
	}
}
