package ledgertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"evalq/internal/ledger"
	"evalq/tasks"
)

// within fails when do has not returned in time. Before that it ends every
// connection, so that nothing else hangs.
func (w *cutWorld) within(d time.Duration, what string, do func()) {
	w.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(d):
		w.p.end()
		<-done
		w.t.Fatalf("%s takes longer than %s", what, d)
	}
}

// silentWrite freezes a process between its last statement and its COMMIT, with
// the lock of a queue in its hands.
func silentWrite(w *cutWorld) {
	j := w.accept(report(1, 1))
	win := ledger.Window{PerUser: 8, Total: 8}
	other := w.other()
	frozen := make(chan error, 1)
	w.p.hush.Store(true)
	go func() {
		_, err := w.Feed(w.ctx, tasks.Default, win)
		frozen <- err
	}()
	w.again(30*time.Second, "commit is lost", func() bool { return w.p.cuts.Load() == 1 })
	w.again(30*time.Second, "queue is free for others", func() bool {
		fed, err := other.Feed(w.ctx, tasks.Default, win)
		w.must(err)
		return len(fed.Jobs) == 1
	})
	w.within(70*time.Second, "a write whose commit is not answered", func() {
		if err := <-frozen; !errors.Is(err, tasks.ErrOutcomeUnknown) {
			w.t.Errorf("the frozen hand-over: %v", err)
		}
	})
	w.wantState(j.ID, tasks.Queued)
}

// again fails when ok has not become true in time. Before that it ends every
// connection, so that nothing else hangs.
func (w *cutWorld) again(d time.Duration, what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(d)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			w.p.end()
			w.t.Fatalf("in %s it did not happen that the %s", d, what)
		case <-look.C:
		}
	}
}

// silentReads has the relay look over connections that were silenced while they
// were idle.
func silentReads(w *cutWorld) {
	if _, err := w.Look(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	w.p.silence()
	w.within(60*time.Second, "a look over a silent connection", func() {
		for {
			if _, err := w.Look(context.WithoutCancel(w.ctx)); err == nil {
				return
			}
			select {
			case <-w.p.gone:
				return
			default:
			}
		}
	})
	w.within(60*time.Second, "a write over a silent connection", func() { w.accept(report(1, 2)) })
}

// silenceIsTold has the connections of both pools silenced while they are idle. The
// writer finds out first, and no read waits for what it knows.
func silenceIsTold(w *cutWorld) {
	var all sync.WaitGroup
	for range 8 { // as many as the pool has
		all.Go(func() { _, _ = w.Look(w.ctx) })
	}
	all.Wait()
	w.accept(report(1, 1))
	w.p.silence()
	w.within(60*time.Second, "a write over a silent connection", func() { w.accept(report(1, 2)) })
	w.within(10*time.Second, "a look after that", func() {
		for range 8 {
			if _, err := w.Look(w.ctx); err != nil {
				w.t.Error(err)
			}
		}
	})
}

// silentAfterwards has a connection silenced that has just been used. The next
// write's first word on it is given up as soon as that on one which was idle for
// long.
func silentAfterwards(w *cutWorld) {
	w.accept(report(1, 1))
	w.p.silence()
	w.within(28*time.Second, "a write over a connection that has just fallen silent", func() { w.accept(report(1, 2)) })
}
