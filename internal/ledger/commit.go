package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"evalq/tasks"
)

// maxTries bounds how often one write is repeated because others were in its
// way.
const maxTries = 8

// commit writes the batch in one transaction. If that fails because others were in
// its way, it is repeated, and finds what they did; then each write is tried alone,
// so that a bad one fails its own caller only. It waits for no lock: the writes
// that met one come back, and the others are committed without them.
func (l *lane) commit(batch []*write) (locked []*write) {
	batch, err := l.commitNew(batch)
	if len(batch) == 0 {
		return nil
	}
	if !l.w.dialect.waited(err) {
		err = l.transact(batch)
	}
	if len(batch) > 1 && l.w.dialect.again(err) && !l.w.dialect.waited(err) {
		err = l.transact(batch)
	}
	if l.w.dialect.waited(err) {
		batch, locked, err = l.around(batch)
	}
	return append(locked, l.oneByOne(batch, err)...)
}

// oneByOne tries each write of a batch alone when err is why they cannot be
// committed together.
func (l *lane) oneByOne(batch []*write, err error) (locked []*write) {
	for i, op := range batch {
		if err == nil {
			return locked
		}
		if errors.Is(err, errNoConnection) {
			l.w.fail(batch[i:], err)
			return locked
		}
		if i == 0 && len(batch) == 1 && !l.worthRepeating(err) {
			l.w.fail(batch, err)
			return locked
		}
		met, down := l.alone(op)
		if down != nil {
			l.w.fail(batch[i:], down)
			return locked
		}
		if met {
			locked = append(locked, op)
		}
	}
	return locked
}

// alone commits one write. Its own failure is in op; locked is set when it met a
// lock, down when the database cannot be reached, which is the failure of all that
// wait.
func (l *lane) alone(op *write) (locked bool, down error) {
	for try := 1; ; try++ {
		err := l.transact([]*write{op})
		switch {
		case err == nil:
			return false, nil
		case errors.Is(err, errNoConnection):
			return false, err
		case l.w.dialect.waited(err):
			op.met = err
			return true, nil
		case try == maxTries && errors.Is(err, errBroken):
			// The database can be reached, and the connection breaks at this write each
			// time: that is its answer.
			l.w.fail([]*write{op}, &refusedNow{fmt.Errorf("the connection broke %d times at the same write: %w", try, err)})
			return false, nil
		case try == maxTries || !l.worthRepeating(err), l.w.closing():
			l.w.fail([]*write{op}, err)
			return false, nil
		}
		// Two that are in each other's way must not return together.
		time.Sleep(time.Duration(try) * rand.N(4*time.Millisecond))
	}
}

func (l *lane) worthRepeating(err error) bool {
	return l.w.dialect.again(err) || errors.Is(err, errBroken)
}

// fail tells writes that nothing was stored, or that nobody knows.
func (w *writer) fail(batch []*write, err error) {
	err = w.dialect.verdict(err)
	w.refused.note(err)
	for _, op := range batch {
		op.err, op.after = err, nil
		if op.again {
			op.err = fmt.Errorf("%w: %w", tasks.ErrOutcomeUnknown, err)
		}
	}
}

var (
	// errNoConnection: the database could not be asked.
	errNoConnection = errors.New("no connection")
	// errBroken: the connection broke before the commit, which undoes all, or
	// during it, and then nobody knows.
	errBroken = errors.New("the connection broke")
)
