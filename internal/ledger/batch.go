package ledger

import (
	"context"
	"errors"
	"slices"
	"time"
)

// apply runs the batch's statements: first all requests to accept at once, then
// the changes one by one.
func (l *lane) apply(ctx context.Context, batch []*write) error {
	var asking []*write
	for _, op := range batch {
		op.err, op.after = nil, nil
		if op.apply == nil {
			asking = append(asking, op)
		}
	}
	if len(asking) > 0 {
		t := &txn{ctx: ctx, d: l.w.dialect, q: l}
		if err := t.run(func(t *txn) error { return l.w.accepts(t, asking) }); err != nil {
			return err
		}
		asking[0].after = t.after
	}
	for _, op := range batch {
		if op.apply == nil {
			continue
		}
		if err := l.change(op, &txn{ctx: ctx, d: l.w.dialect, q: l, again: op.again}); err != nil {
			return err
		}
	}
	return nil
}

// change runs one write that changes something.
func (l *lane) change(op *write, t *txn) error {
	if err := t.run(op.apply); err != nil {
		var r *refusal
		if !errors.As(err, &r) {
			return err
		}
		op.err = r.err
	}
	op.after = t.after
	return nil
}

// commitNew accepts, where one statement can, the requests of a batch that asks
// for nothing else, and returns the writes that are still to be done. What goes
// wrong is left to the transaction that follows. A connection that may have broken
// while it was idle is too: it fails at the BEGIN, before anybody has to wonder what
// it did. For a broken one that passes as whole the statement is the first word.
func (l *lane) commitNew(batch []*write) (left []*write, err error) {
	if l.w.acceptsNew == nil || !l.fresh() || l.due() || slices.ContainsFunc(batch, func(op *write) bool { return op.apply != nil }) {
		return batch, nil
	}
	ctx, cancel := context.WithTimeout(l.w.ctx, beginTimeout)
	defer cancel()
	if l.w.clock.sync(ctx, l.conn) != nil {
		return batch, nil
	}
	t := &txn{ctx: ctx, d: l.w.dialect, q: l}
	err = t.run(func(t *txn) (err error) {
		left, err = l.w.acceptsNew(t, batch)
		return err
	})
	if err == nil {
		l.used = time.Now()
		for _, f := range t.after {
			f()
		}
		return left, nil
	}
	if errors.Is(l.broken(err), errBroken) {
		l.disconnect()
		for _, op := range batch {
			op.again = true
		}
	}
	return batch, err
}

// maxGather bounds how long a batch is held back for those who may join it.
const maxGather = 2 * time.Millisecond

// gather gives those who were just answered, and who will often ask again at
// once, the time to meet in the next batch with those who wait already: together
// they take one commit where they would otherwise take turns. That is a fraction
// of the time of the last commit; a caller on his own does not wait.
func (l *lane) gather(answered int, took time.Duration) {
	w := l.w
	w.mu.Lock()
	wanted := min(len(w.queue)-w.asking+w.share(l, w.asking+answered), maxBatch)
	if wanted < 2 || len(w.queue) >= wanted {
		w.mu.Unlock()
		return
	}
	full := make(chan struct{})
	l.full, l.wanted = full, wanted
	w.mu.Unlock()
	timer := time.NewTimer(min(took/4, maxGather))
	defer timer.Stop()
	select {
	case <-full:
	case <-timer.C:
		w.mu.Lock()
		l.full = nil
		w.mu.Unlock()
	}
}

// tellGatherer is called with the writer's mu held when a write has joined the
// queue.
func (l *lane) tellGatherer() {
	if l.full != nil && len(l.w.queue) >= l.wanted {
		close(l.full)
		l.full = nil
	}
}
