package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
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

func TestThoseWhoWantOneKeyThatIsKeptWaitForItTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	waited := errors.New("the lock took too long")
	b.dialect.Again = func(err error) bool { return errors.Is(err, waited) }
	b.dialect.Waited = b.dialect.Again
	var tried []string
	b.accepts = func(_ *txn, ops []*write) error {
		who := ""
		for _, op := range ops {
			who += op.asks[0].who
		}
		tried = append(tried, who)
		if who == "2" {
			return nil
		}
		return waited
	}
	one := func(n int) *write { return &write{ctx: t.Context(), asks: []*ask{keyed(n)}} }
	for name, c := range map[string]struct {
		kept error // on the side lane
		want string
	}{
		"from the first time on": {nil, "[1121 1 2]"},
		"after the side lane":    {waited, "[1 2]"},
	} {
		tried = nil
		batch := []*write{one(1), one(1), one(2), one(1)}
		batch[0].kept = c.kept
		b.main.commit(batch)
		for i, op := range batch {
			if errors.Is(op.err, waited) != (op.asks[0].who == "1") {
				t.Errorf("%s: write %d got %v", name, i, op.err)
			}
		}
		if got := fmt.Sprint(tried); got != c.want {
			t.Errorf("%s: tried were %s, want %s", name, got, c.want)
		}
	}
}

func TestALockThatNobodyLetsGoOfIsWaitedForTwiceAtTheMost(t *testing.T) {
	t.Parallel()
	waited := errors.New("the lock took too long")
	for name, c := range map[string]struct {
		alone      bool // nobody else in the batch
		transact   bool // not tried by one statement
		tries, all int
	}{
		"by one statement":             {true, false, 2, 2},
		"by one statement for several": {false, false, 2, 3},
		"by a transaction":             {true, true, 2, 2},
		"by a transaction of several":  {false, true, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.dialect.Again = func(err error) bool { return errors.Is(err, waited) }
			b.dialect.Waited = b.dialect.Again
			tries, all := 0, 0
			try := func(_ *txn, ops []*write) error {
				all++
				for _, op := range ops {
					if op.asks[0].who == "1" {
						tries++
						return waited
					}
				}
				return nil
			}
			b.accepts = try
			if !c.transact {
				b.acceptsNew = func(t *txn, ops []*write) ([]*write, error) { return nil, try(t, ops) }
			}
			batch := []*write{{ctx: t.Context(), asks: []*ask{keyed(1)}}}
			if !c.alone {
				batch = append(batch, &write{ctx: t.Context(), asks: []*ask{keyed(2)}})
			}
			if err := b.do(t.Context(), b.insert(1)); err != nil { // opens the connection
				t.Fatal(err)
			}
			b.main.commit(batch)
			if !errors.Is(batch[0].err, waited) {
				t.Errorf("the one got %v, want %v", batch[0].err, waited)
			}
			if !c.alone && batch[1].err != nil {
				t.Errorf("the other got %v", batch[1].err)
			}
			if tries != c.tries || all != c.all {
				t.Errorf("%d tries of %d waited for it, want %d of %d", tries, all, c.tries, c.all)
			}
		})
	}
}
