package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"evalq/internal/dberror"
	"evalq/tasks"
)

// newLanes is a bench with a side lane. Its transactions take no lock before they
// write.
func newLanes(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.db.SetMaxOpenConns(2)
	b.dialect.Begin = "BEGIN"
	b.side = &lane{w: b.writer}
	return b
}

// keyed is a request for the nth key.
func keyed(n int) *ask { return &ask{who: fmt.Sprint(n), key: naturalKey{report: int64(n)}} }

func TestRequestsAreAcceptedBesideACommitThatTakesLong(t *testing.T) {
	t.Parallel()
	b := newLanes(t)
	var blocked, beside, after atomic.Int64
	b.acceptsNew = func(t *txn, ops []*write) ([]*write, error) {
		if blocked.Load() == 1 {
			beside.Add(int64(len(ops)))
		} else {
			after.Add(int64(len(ops)))
		}
		return nil, nil
	}
	release := b.block()
	blocked.Store(1)
	done := make(chan error)
	for n := range 2 * sideFrom {
		go func() { done <- b.accept(t.Context(), []*ask{keyed(n)}) }()
	}
	for range sideFrom {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	blocked.Store(0)
	release()
	for range sideFrom {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if beside.Load() != sideFrom || after.Load() != sideFrom {
		t.Errorf("%d were accepted beside the commit and %d after it, want half of %d each", beside.Load(), after.Load(), 2*sideFrom)
	}
}

// TestNoKeyIsUnderWayTwiceAndEachRequestIsDoneOnce: with callers who want the same
// keys, changes between them, and a statement that leaves some and fails at times.
func TestNoKeyIsUnderWayTwiceAndEachRequestIsDoneOnce(t *testing.T) {
	t.Parallel()
	b := newLanes(t)
	var mu sync.Mutex
	under, done := map[naturalKey]*txn{}, map[*ask]int{}
	both := make(chan struct{}) // the first batch of the one lane waits for one of the other
	joined := sync.OnceFunc(func() { close(both) })
	enter := func(tx *txn, ops []*write) (leave func(stored []*write)) {
		if tx.q == prepared(b.side) {
			joined()
		}
		<-both
		mu.Lock()
		defer mu.Unlock()
		for _, op := range ops {
			for _, a := range op.asks {
				if other := under[a.key]; other != nil && other != tx {
					t.Errorf("key %v is in two batches", a.key)
				}
				under[a.key] = tx
			}
		}
		return func(stored []*write) {
			mu.Lock()
			defer mu.Unlock()
			for _, op := range ops {
				for _, a := range op.asks {
					delete(under, a.key)
				}
			}
			for _, op := range stored {
				for _, a := range op.asks {
					done[a]++
				}
			}
		}
	}
	b.acceptsNew = func(tx *txn, ops []*write) ([]*write, error) {
		leave := enter(tx, ops)
		// A statement takes as long as a turn of the others.
		if err := tx.pause(); err != nil {
			t.Error(err)
		}
		if rand.N(5) == 0 {
			leave(nil)
			return nil, errors.New("in the way")
		}
		n := rand.N(len(ops) + 1)
		leave(ops[n:])
		return slices.Clone(ops[:n]), nil
	}
	b.accepts = func(tx *txn, ops []*write) error {
		leave := enter(tx, ops)
		err := tx.pause()
		leave(ops)
		return err
	}
	var all []*ask
	var wg sync.WaitGroup
	for c := range 8 * sideFrom {
		var mine [][]*ask
		for range 12 {
			var asks []*ask
			for range 1 + rand.N(3) {
				asks = append(asks, keyed(rand.N(40*sideFrom)))
			}
			mine, all = append(mine, asks), append(all, asks...)
		}
		wg.Go(func() {
			for i, asks := range mine {
				if err := b.accept(t.Context(), asks); err != nil {
					t.Error(err)
				}
				if (c+i)%10 == 0 {
					if err := b.do(t.Context(), b.insert(100*c+i)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	b.close()
	for _, a := range all {
		if done[a] != 1 {
			t.Fatalf("a request was done %d times", done[a])
		}
	}
}

// pause has the database do something short.
func (t *txn) pause() error {
	_, err := t.exec(`SELECT 1`)
	return err
}

func TestWithoutAConnectionForTheSideLaneTheOtherDoesEverything(t *testing.T) {
	t.Parallel()
	b := newLanes(t)
	b.dialect.Session = []string{`INSERT INTO numbers (n) VALUES (1)`} // there can be only one
	var accepted atomic.Int64
	b.acceptsNew = func(t *txn, ops []*write) ([]*write, error) {
		if t.q != prepared(b.main) {
			return nil, errors.New("on the side lane")
		}
		accepted.Add(int64(len(ops)))
		return nil, nil
	}
	release := b.block()
	done := make(chan error)
	const callers = 8 * sideFrom
	for n := range callers {
		go func() { done <- b.accept(t.Context(), []*ask{keyed(n)}) }()
	}
	b.eventually("the side lane found no connection", func() bool {
		b.writer.mu.Lock()
		defer b.writer.mu.Unlock()
		return !b.side.failed.IsZero() && !b.side.busy
	})
	b.awaitLine(callers)
	release()
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if accepted.Load() != callers {
		t.Errorf("%d of %d were accepted", accepted.Load(), callers)
	}
}

func TestAWriteThatMeetsALockIsTriedApartAndTheOthersOfItsBatchAreCommitted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.db.SetMaxOpenConns(2)
	b.dialect.Begin = "BEGIN"
	waited := errors.New("the lock is not free")
	b.dialect.Fault = locks(waited)
	var locked atomic.Bool
	locked.Store(true)
	var apart atomic.Int64
	write := func(n int, keyLocked bool) func(*txn) error {
		return func(t *txn) error {
			if t.q == prepared(b.apart.lane) {
				apart.Add(1)
			}
			if keyLocked && locked.Load() {
				return waited
			}
			return b.insert(n)(t)
		}
	}
	release := b.block()
	results := make([]chan error, 4)
	for n := range results {
		results[n] = make(chan error, 1)
		go func() { results[n] <- b.do(t.Context(), write(n, n%2 == 0)) }()
		b.awaitLine(n + 1)
	}
	release()
	for _, n := range []int{1, 3} {
		if err := <-results[n]; err != nil {
			t.Errorf("write %d: %v", n, err)
		}
	}
	b.wantStored(1, 3)
	b.eventually("the others are tried apart", func() bool { return apart.Load() > 2 })
	if err := b.soon(t.Context(), write(9, true)); !errors.Is(err, errLocked) || !errors.Is(err, waited) {
		t.Errorf("who does not wait got %v", err)
	}
	locked.Store(false)
	for _, n := range []int{0, 2} {
		if err := <-results[n]; err != nil {
			t.Errorf("write %d: %v", n, err)
		}
	}
	b.wantStored(0, 1, 2, 3)
}

// locks takes one error for a lock of another transaction.
func locks(waited error) func(error) dberror.Fault {
	return func(err error) dberror.Fault {
		if errors.Is(err, waited) {
			return dberror.Fault{Kind: dberror.Locked}
		}
		return dberror.Fault{}
	}
}

func TestACallerWhoGivesUpWhileHisWriteWaitsForALockHasDoneNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.db.SetMaxOpenConns(2)
	waited := errors.New("the lock is not free")
	b.dialect.Fault = locks(waited)
	b.dialect.Begin = "BEGIN"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.do(ctx, func(*txn) error { return waited }) }()
	b.eventually("it waits", func() bool {
		b.writer.mu.Lock()
		defer b.writer.mu.Unlock()
		for _, op := range b.apart.waiting {
			if op.tries > 3 { // its next pause is long enough to be met in it
				cancel()
				return true
			}
		}
		return false
	})
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, tasks.ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
}

func TestRequestsForAKeyThatIsLockedWaitBehindEachOtherAndTheRestOfACallersGoOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.db.SetMaxOpenConns(2)
	b.dialect.Begin = "BEGIN"
	waited := errors.New("the lock is not free")
	b.dialect.Fault = locks(waited)
	var locked atomic.Bool
	locked.Store(true)
	var onMain, others atomic.Int64
	b.accepts = func(t *txn, ops []*write) error {
		for _, op := range ops {
			for _, q := range op.asks {
				switch {
				case q.key != keyed(1).key:
					others.Add(1)
				case t.q == prepared(b.main):
					onMain.Add(1)
				}
				if q.key == keyed(1).key && locked.Load() {
					return waited
				}
			}
		}
		return nil
	}
	done := make(chan error, 3)
	go func() { done <- b.accept(t.Context(), []*ask{keyed(2), keyed(1), keyed(3)}) }()
	waiting := func(n int) func() bool {
		return func() bool {
			b.writer.mu.Lock()
			defer b.writer.mu.Unlock()
			return b.apart.keys[keyed(1).key] == n && len(b.apart.keys) == 1
		}
	}
	b.eventually("the other two are accepted", waiting(1))
	met := onMain.Load()
	for range 2 {
		go func() { done <- b.accept(t.Context(), []*ask{keyed(1)}) }()
	}
	b.eventually("the next ones wait too", waiting(3))
	if onMain.Load() != met {
		t.Error("a request for a key that is known to be locked was tried with others")
	}
	locked.Store(false)
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
