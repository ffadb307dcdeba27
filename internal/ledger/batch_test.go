package ledger

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ask is a write that asks to accept n, put in line behind those before it.
func (b *bench) ask(place, n int) (result func() error) {
	b.t.Helper()
	done := make(chan error, 1)
	go func() { done <- b.accept(b.t.Context(), []*ask{{who: fmt.Sprint(n)}}) }()
	b.awaitLine(place)
	return func() error { return <-done }
}

// acceptor stores what is asked for as numbers, in one go.
type acceptor struct {
	b     *bench
	calls [][]string
}

func (a *acceptor) accept(t *txn, ops []*write) error {
	var call []string
	for _, op := range ops {
		for _, ask := range op.asks {
			call = append(call, ask.who)
			if _, err := t.exec(`INSERT INTO numbers (n) VALUES (?)`, ask.who); err != nil {
				return err
			}
		}
	}
	a.calls = append(a.calls, call)
	return nil
}

func TestRequestsOfABatchAreAcceptedTogetherAndABadOneFailsItsCallerOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := &acceptor{b: b}
	b.accepts = a.accept
	if err := b.do(t.Context(), b.insert(5)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		asks  []int
		calls string
		fails int
	}{
		{[]int{1, 2, 3}, "[[1 2 3]]", -1},
		{[]int{4, 5, 6}, "[[4] [6]]", 1}, // 5 is there: the batch fails, and then one by one
	} {
		a.calls = nil
		release := b.block()
		var results []func() error
		for i, n := range c.asks {
			results = append(results, b.ask(i+1, n))
		}
		release()
		for i, result := range results {
			if err := result(); (err != nil) != (i == c.fails) {
				t.Errorf("%v: request %d got %v", c.asks, i, err)
			}
		}
		if got := fmt.Sprint(a.calls); got != c.calls {
			t.Errorf("%v were accepted as %s, want %s", c.asks, got, c.calls)
		}
	}
	b.wantStored(1, 2, 3, 4, 5, 6)
}

func TestOneStatementServesABatchOfRequestsAndLeavesTheRestToTheTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := &acceptor{b: b}
	var alone [][]string
	fail := errors.New("in the way")
	var answer error
	b.accepts = a.accept
	b.acceptsNew = func(t *txn, ops []*write) (left []*write, err error) {
		var call []string
		for _, op := range ops {
			call = append(call, op.asks[0].who)
		}
		alone = append(alone, call)
		if answer != nil {
			return nil, answer
		}
		return ops[1:], a.accept(t, ops[:1])
	}
	asks := func(change bool, numbers ...int) {
		t.Helper()
		a.calls, alone = nil, nil
		release := b.block()
		var results []func() error
		for i, n := range numbers {
			results = append(results, b.ask(i+1, n))
		}
		if change {
			done := make(chan error, 1)
			go func() { done <- b.do(t.Context(), func(*txn) error { return nil }) }()
			b.awaitLine(len(numbers) + 1)
			results = append(results, func() error { return <-done })
		}
		release()
		for i, result := range results {
			if err := result(); err != nil {
				t.Errorf("%d of %v: %v", i, numbers, err)
			}
		}
	}
	want := func(what, statement, transaction string) {
		t.Helper()
		if got := fmt.Sprint(alone); got != statement {
			t.Errorf("%s: the statement was for %s, want %s", what, got, statement)
		}
		if got := fmt.Sprint(a.calls); got != transaction {
			t.Errorf("%s: accepted were %s, want %s", what, got, transaction)
		}
	}
	asks(false, 1, 2, 3)
	want("requests alone", "[[1 2 3]]", "[[1] [2 3]]")
	asks(true, 4, 5)
	want("with a change among them", "[]", "[[4 5]]")
	answer = fail
	asks(false, 6, 7)
	want("when the statement fails", "[[6 7]]", "[[6 7]]")
	answer = nil
	b.main.used = time.Now().Add(-2 * trustFor)
	b.main.commit([]*write{{ctx: t.Context(), asks: []*ask{{who: "8"}}}})
	b.wantStored(1, 2, 3, 4, 5, 6, 7, 8)
	if got := fmt.Sprint(alone); got != "[[6 7]]" {
		t.Errorf("a connection that was idle got the statement: %s", got)
	}
}

func TestPortionsCoverEverythingInFewSizes(t *testing.T) {
	t.Parallel()
	sizes := map[int]bool{}
	for n := range 500 {
		left := n
		for left > 0 {
			size := portion(left)
			if size < 1 || size > left || size > maxRows {
				t.Fatalf("of %d rows a statement takes %d", left, size)
			}
			sizes[size] = true
			left -= size
		}
	}
	if len(sizes) != 18 {
		t.Errorf("%d sizes of statements, want 18", len(sizes))
	}
}

func TestABatchWaitsForThoseWhoWereJustAnsweredButNotForLong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waiting, answered, join int
		took, want              time.Duration
	}{
		"a caller on his own":    {0, 1, 0, time.Second, 0},
		"nobody to wait for":     {2, 0, 0, time.Second, 0},
		"all come back":          {1, 2, 2, 80 * time.Millisecond, 200 * time.Microsecond},
		"one stays away":         {1, 2, 1, 4 * time.Millisecond, time.Millisecond},
		"nobody comes":           {0, 2, 0, time.Second, maxGather},
		"the batch is full":      {maxBatch, 5, 0, time.Second, 0},
		"no more fit than these": {maxBatch - 1, 5, 1, time.Second, 100 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWriter(nil, new(SQLite()), nil)
				w.main.busy = true // drain is not to begin
				w.queue = slices.Repeat([]*write{{}}, c.waiting)
				var wg sync.WaitGroup
				for i := range c.join {
					wg.Go(func() {
						time.Sleep(time.Duration(i+1) * 100 * time.Microsecond)
						w.mu.Lock()
						w.queue = append(w.queue, &write{})
						w.main.tellGatherer()
						w.mu.Unlock()
					})
				}
				begin := time.Now()
				w.main.gather(c.answered, c.took)
				if got := time.Since(begin); got != c.want {
					t.Errorf("waited %s, want %s", got, c.want)
				}
				wg.Wait()
			})
		})
	}
}
