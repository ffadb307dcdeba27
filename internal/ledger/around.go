package ledger

import (
	"context"
	"errors"
	"slices"
	"time"
)

// aroundFor bounds how long a transaction that goes around locks takes on more
// writes. Where the database waits before it says that there is a lock, it is over
// after one.
const aroundFor = 200 * time.Millisecond

// around commits, together, those of a batch that no lock is in the way of: each
// stands behind a savepoint. Locked are those that met a lock, and those that
// there was no time for. Err is why the writes that are left were not committed.
func (l *lane) around(batch []*write) (left, locked []*write, err error) {
	for len(batch) > 0 {
		s := &sieve{l: l}
		err := l.inTransaction(func(ctx context.Context) ([]*write, error) {
			s.ctx, s.until = ctx, time.Now().Add(aroundFor)
			err := s.pass(batch)
			return s.done, err
		})
		locked = append(locked, s.locked...)
		switch {
		case err == nil:
			return s.bad, slices.Concat(s.later, locked), s.why
		case !l.w.dialect.waited(err):
			return without(batch, s.locked), locked, err
		case len(s.locked) == 0: // the BEGIN or the COMMIT met it
			for _, op := range batch {
				op.met = err
			}
			return nil, slices.Concat(locked, batch), nil
		}
		// The lock has undone the whole transaction.
		batch = without(batch, s.locked)
	}
	return nil, locked, nil
}

func without(batch, some []*write) []*write {
	return slices.DeleteFunc(slices.Clone(batch), func(op *write) bool { return slices.Contains(some, op) })
}

// sieve is one transaction that goes around locks.
type sieve struct {
	l                        *lane
	ctx                      context.Context
	until                    time.Time
	done, locked, later, bad []*write
	why                      error // of the bad ones
}

func (s *sieve) pass(batch []*write) error {
	var asking, changing []*write
	for _, op := range batch {
		op.err, op.after = nil, nil
		if op.apply == nil {
			asking = append(asking, op)
		} else {
			changing = append(changing, op)
		}
	}
	if err := s.accept(asking); err != nil {
		return err
	}
	for _, op := range changing {
		if err := s.step([]*write{op}, func(t *txn) error { t.again = op.again; return s.l.change(op, t) }); err != nil {
			return err
		}
	}
	return nil
}

// accept accepts the requests together; when one of them meets a lock, each half
// for itself. Those apart have met one before and are tried one by one.
func (s *sieve) accept(ops []*write) error {
	switch {
	case len(ops) == 0:
		return nil
	case len(ops) > 1 && s.l == s.l.w.apart.lane:
		for i := range ops {
			if err := s.accept(ops[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	met := len(s.locked)
	err := s.step(ops, func(t *txn) error {
		err := t.run(func(t *txn) error { return s.l.w.accepts(t, ops) })
		ops[0].after = t.after
		return err
	})
	if err != nil || len(s.locked) == met || len(ops) == 1 {
		return err
	}
	s.locked = s.locked[:met]
	if err := s.accept(ops[:len(ops)/2]); err != nil {
		return err
	}
	return s.accept(ops[len(ops)/2:])
}

// step runs some writes behind a savepoint and notes what became of them.
func (s *sieve) step(ops []*write, do func(*txn) error) error {
	if time.Now().After(s.until) {
		for _, op := range ops {
			op.met = nil
		}
		s.later = append(s.later, ops...)
		return nil
	}
	if err := s.mark(s.ctx, "SAVEPOINT evalq_write"); err != nil {
		return err
	}
	err := do(&txn{ctx: s.ctx, d: s.l.w.dialect, q: s.l, mark: s.mark})
	if err == nil {
		s.done = append(s.done, ops...)
		return s.mark(s.ctx, "RELEASE SAVEPOINT evalq_write")
	}
	waited := s.l.w.dialect.waited(err)
	if waited {
		for _, op := range ops {
			op.met = err
		}
		s.locked = append(s.locked, ops...)
	}
	if !s.l.w.dialect.answered(err) || s.undo("evalq_write") != nil {
		return err
	}
	if !waited {
		s.bad, s.why = append(s.bad, ops...), err
	}
	return nil
}

func (s *sieve) undo(name string) error {
	return errors.Join(s.mark(s.ctx, "ROLLBACK TO SAVEPOINT "+name), s.mark(s.ctx, "RELEASE SAVEPOINT "+name))
}

// mark runs a statement of savepoints, none of which can be prepared everywhere.
func (s *sieve) mark(ctx context.Context, statement string) error {
	if _, err := s.l.conn.ExecContext(ctx, statement); err != nil {
		return unavailable("savepoint", s.l.w.dialect.explain(err))
	}
	return nil
}

// attempt runs what concerns one row of several. Ok is false when it met a lock of
// another transaction: what it did is undone then, and the others go on.
func (t *txn) attempt(do func() error) (ok bool, err error) {
	if t.mark == nil {
		// The first try of a batch: a lock has it repeated with savepoints.
		err := do()
		return err == nil, err
	}
	if err := t.mark(t.ctx, "SAVEPOINT evalq_row"); err != nil {
		return false, err
	}
	after := len(t.after)
	switch err := do(); {
	case err == nil:
		return true, t.mark(t.ctx, "RELEASE SAVEPOINT evalq_row")
	case !t.d.waited(err):
		return false, err
	default:
		t.after = t.after[:after]
		for _, s := range []string{"ROLLBACK TO SAVEPOINT evalq_row", "RELEASE SAVEPOINT evalq_row"} {
			if t.mark(t.ctx, s) != nil {
				return false, err
			}
		}
		return false, nil
	}
}
