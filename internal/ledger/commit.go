package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"evalq/tasks"
)

// maxTries bounds how often one write is repeated because others were in its
// way.
const maxTries = 8

// commit writes the batch in one transaction. If that fails because others were in
// its way, it is repeated, and finds what they did; then each write is tried alone,
// so that a bad one fails its own caller only. A lock that nobody lets go of is
// waited for once with the batch, and once more by the first write that needs it
// for a key.
func (l *lane) commit(batch []*write) {
	err := keptFrom(batch)
	if err == nil {
		batch, err = l.commitNew(batch)
	}
	if len(batch) == 0 {
		return
	}
	if !l.w.dialect.waited(err) {
		err = l.transact(batch)
	}
	if len(batch) > 1 && l.w.dialect.again(err) && !l.w.dialect.waited(err) {
		err = l.transact(batch)
	}
	kept := map[naturalKey]error{}
	for i, op := range batch {
		if err == nil {
			return
		}
		if n := slices.IndexFunc(op.asks, func(a *ask) bool { return kept[a.key] != nil }); n >= 0 {
			fail([]*write{op}, kept[op.asks[n].key])
			continue
		}
		if errors.Is(err, errNoConnection) {
			fail(batch[i:], err)
			return
		}
		if i == 0 && len(batch) == 1 && !l.worthRepeating(err) {
			fail(batch, err)
			return
		}
		if down := l.alone(op); down != nil {
			fail(batch[i:], down)
			return
		}
		if l.w.dialect.waited(op.err) {
			for _, a := range op.asks {
				kept[a.key] = op.err
			}
		}
	}
}

// acceptBeside is what the side lane does. The main lane finds the errors too, but
// for a lock that was waited for: that counts as the first time.
func (l *lane) acceptBeside(batch []*write) (left []*write) {
	left, err := l.commitNew(batch)
	if l.w.dialect.waited(err) {
		for _, op := range left {
			op.kept = err
		}
	}
	return left
}

// keptFrom is the error of a write that waited for a lock before.
func keptFrom(batch []*write) error {
	for _, op := range batch {
		if op.kept != nil {
			return op.kept
		}
	}
	return nil
}

// alone commits one write. Its own failure is in op; down is set when the
// database cannot be reached, which is the failure of all that wait.
func (l *lane) alone(op *write) (down error) {
	for try := 1; ; try++ {
		err := l.transact([]*write{op})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errNoConnection):
			return err
		case try == maxTries || l.w.dialect.waited(err) || !l.worthRepeating(err):
			fail([]*write{op}, err)
			return nil
		}
		// Two that are in each other's way must not return together.
		time.Sleep(time.Duration(try) * rand.N(4*time.Millisecond))
	}
}

func (l *lane) worthRepeating(err error) bool {
	return l.w.dialect.again(err) || errors.Is(err, errBroken)
}

// fail tells writes that nothing was stored, or that nobody knows.
func fail(batch []*write, err error) {
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
